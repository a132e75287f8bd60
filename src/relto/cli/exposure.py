"""``relto exposure``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.cli.times import INSTANT
from relto.clock import format_utc
from relto.node.exposure import exposure


@click.command("exposure")
@click.option("--party", required=True, help="The party whose node was read by others.")
@click.option("--since", "since_ms", type=INSTANT, default=0, help="Since when, as 2026-11-10T00:00:00Z.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many lines to print.")
@output
def command(out: Output, party: str, since_ms: int, limit: int) -> None:
    """List what a party had of us at any moment since a time, also what is deleted since. With --json, all of it."""
    with out.node() as node:
        found = exposure(node, party, since_ms)
    rows = [
        (
            each.item[:12],
            str(each.version),
            each.view,
            each.level,
            " ".join(each.originators),
            format_utc(each.released_ms),
            format_utc(each.withdrawn_ms) if each.withdrawn_ms is not None else "",
        )
        for each in found.releases[:limit]
    ]
    columns = ("ITEM", "VERSION", "VIEW", "LEVEL", "ORIGINATORS", "RELEASED", "WITHDRAWN")
    out.table(found, columns, rows, empty=f"{party} had nothing of us")
    tell = "".join(f"; {name} is to be told of {number:,}" for name, number in found.third.items())
    out.note(f"{len(found.releases):,} releases{tell}")
