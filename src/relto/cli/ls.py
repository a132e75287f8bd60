"""``relto ls``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.clock import format_utc
from relto.exchange.books import Stored
from relto.labels import banner, overall
from relto.node import read
from relto.store.records import Selection


@click.command("ls")
@click.option("--kind", "kinds", multiple=True, help="Only this kind, such as maritime.detection.")
@click.option("--from", "by", default=None, help="Only what this party released to us; OWN for our own.")
@click.option("--text", default="", help="Only titles with this text.")
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, type=click.IntRange(0))
@output
def command(out: Output, kinds: tuple[str, ...], by: str | None, text: str, limit: int, offset: int) -> None:
    """List the items that are held, newest observation first."""
    selection = Selection(kinds, "" if by == "OWN" else by, text, limit, offset)
    with out.node() as node:
        found, total = read.listing(node, selection)
    rows = [_row(each) for each in found]
    value = {"total": total, "items": [_value(each) for each in found]}
    out.table(value, ("ITEM", "KIND", "VIEW", "FROM", "OBSERVED", "TITLE", "MARKING"), rows, empty="no items")
    if total > len(found):
        out.note(f"{offset + 1:,} to {offset + len(found):,} of {total:,}; --offset shows more")


def _row(stored: Stored) -> tuple[str, ...]:
    header = read.header_of(stored)
    observed = format_utc(header.observed_ms)
    marking = banner(overall(header.label))
    return header.id[:12], header.kind, stored.view, stored.by or "own", observed, stored.title, marking


def _value(stored: Stored) -> dict[str, object]:
    header = read.header_of(stored)
    return {
        "id": header.id,
        "version": header.version,
        "kind": header.kind,
        "view": stored.view,
        "from": stored.by or header.origin,
        "origin": header.origin,
        "observed_ms": header.observed_ms,
        "received_ms": stored.received_ms,
        "title": stored.title,
        "marking": banner(overall(header.label)),
        "release": header.release,
    }
