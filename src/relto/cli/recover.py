"""``relto recover``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.node.recovery import recovery


@click.command("recover")
@output
def command(out: Output) -> None:
    """Show how far this node is after a loss: who has compared, and what each partner returned of our own."""
    with out.node() as node:
        found = recovery(node)
    rows = [
        (
            each.party,
            "yes" if each.heard else "waiting",
            *(f"{number:,}" for number in (each.returned.releases, each.returned.originals, each.returned.renditions)),
            *(f"{number:,}" for number in (each.returned.withdrawals, each.returned.passed_on)),
            *(f"{number:,}" for number in (each.returned.void, each.returned.missing)),
        )
        for each in found.partners
    ]
    columns = (
        "PARTY",
        "COMPARED",
        "RELEASES",
        "ORIGINALS",
        "RENDITIONS",
        "WITHDRAWALS",
        "PASSED ON",
        "VOID",
        "MISSING",
    )
    out.table(found, columns, rows, empty="no partners yet" if found.resuming else "this node lost nothing")
    if found.resuming:
        out.note(
            f"release log {found.log}; of {found.released:,} versions that were released, {found.originals:,} are here "
            f"whole, {found.renditions:,} in part, {found.withdrawn:,} were withdrawn, {found.missing:,} are lost"
        )
    if found.halted:
        out.note(f"halted: {found.halted}")
