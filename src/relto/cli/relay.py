"""``relto relay``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.exchange import relay


@click.group("relay")
def command() -> None:
    """Carry sealed pages between partners that cannot reach each other. Nothing is carried that is not allowed here."""


@command.command()
@click.argument("a")
@click.argument("b")
@output
def allow(out: Output, a: str, b: str) -> None:
    """Carry between A and B, both ways. This node sees who sends to whom and how much, and can read none of it."""
    with out.node() as node:
        node.store.write(lambda books: relay.allow(books, a, b))
    _told(out)


@command.command()
@click.argument("a")
@click.argument("b")
@output
def deny(out: Output, a: str, b: str) -> None:
    """Carry no more between A and B; what waits between them is forgotten."""
    with out.node() as node:
        node.store.write(lambda books: relay.deny(books, a, b))
    _told(out)


@command.command("ls")
@output
def listing(out: Output) -> None:
    """List the pairs between which this node carries, and what waits."""
    _told(out)


def _told(out: Output) -> None:
    with out.node() as node, node.store.read() as books:
        allowed = sorted(relay.pairs(books))
        held = {(c.sender, c.recipient): (c, parcels, size) for c, parcels, size in relay.waits(books)}
    ways = [way for a, b in allowed for way in ((a, b), (b, a))]
    value = []
    for way in ways:
        parcels, size_bytes = held[way][1:] if way in held else (0, 0)
        carried = held[way][0].last_n if way in held else 0
        value.append(
            {"from": way[0], "to": way[1], "carried": carried, "waiting": parcels, "waiting_bytes": size_bytes}
        )
    rows = [
        (str(e["from"]), str(e["to"]), f"{e['carried']:,}", f"{e['waiting']:,}", f"{e['waiting_bytes']:,}")
        for e in value
    ]
    out.table(value, ("FROM", "TO", "CARRIED", "WAITING", "BYTES"), rows, empty="this node carries for nobody")
