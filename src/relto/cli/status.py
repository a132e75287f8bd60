"""``relto status``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.clock import format_utc
from relto.node.report import report


@click.command("status")
@output
def command(out: Output) -> None:
    """Show what the node holds, decided, sent and received."""
    with out.node() as node:
        found = report(node)
    if out.as_json:
        out.result(found, "")
        return
    out.note(f"{found.party}: {found.items:,} items held, {found.log_size:,} leaves in the log")
    if found.halted:
        out.note(f"HALTED, nothing is released: {found.halted}")
    if found.incidents:
        out.note(f"{found.incidents:,} open incidents; see: relto incident ls")
    rows = [
        (
            party,
            *(f"{number:,}" for number in (link.released, link.receipted, link.delayed, link.unscanned, link.received)),
            format_utc(link.synced_ms) if link.synced_ms else "never",
        )
        for party, link in found.links.items()
    ]
    columns = ("PARTNER", "RELEASED", "RECEIPTED", "DELAYED", "TO LOOK AT", "RECEIVED", "LAST SYNCED")
    out.table(found, columns, rows, empty="no links yet")
