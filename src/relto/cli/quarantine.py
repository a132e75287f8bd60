"""``relto quarantine``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.errors import OurError
from relto.exchange.books import Books
from relto.item import PARTY
from relto.node import read
from relto.node.node import Node


@click.group("quarantine")
def command() -> None:
    """Stop everything to a party, or of an item, at once; no agreement lifts it. Running nodes follow by themselves."""


@command.command()
@click.argument("name")
@output
def add(out: Output, name: str) -> None:
    """Put NAME, a party's id or an item's id, into quarantine."""
    with out.node() as node:
        found = name if PARTY.fullmatch(name) else read.header_of(read.find(node, name)).id
        _told(out, _change(node, add=frozenset({found})))


@command.command()
@click.argument("name")
@output
def lift(out: Output, name: str) -> None:
    """Lift the quarantine of NAME, as relto quarantine ls writes it. What waited meanwhile is not sent again."""
    with out.node() as node, node.store.read() as books:
        if name not in books.quarantined():
            raise OurError("is not in quarantine.", field=name, remedy="See: relto quarantine ls.")
    with out.node() as node:
        _told(out, _change(node, lift=frozenset({name})))


@command.command("ls")
@output
def listing(out: Output) -> None:
    """List what is in quarantine."""
    with out.node() as node, node.store.read() as books:
        _told(out, books.quarantined())


def _change(node: Node, add: frozenset[str] = frozenset(), lift: frozenset[str] = frozenset()) -> frozenset[str]:
    def change(books: Books) -> frozenset[str]:
        names = (books.quarantined() | add) - lift
        books.set_quarantined(names)
        return names

    return node.store.write(change)


def _told(out: Output, names: frozenset[str]) -> None:
    out.result(sorted(names), "\n".join(sorted(names)) or "nothing is in quarantine")
