"""The state after a loss: with whom the node goes on again, and what came back, by partner and united."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, select

from relto.exchange.core import halted, log_number
from relto.exchange.recover import Counts, counted
from relto.exchange.resuming import resuming
from relto.node.node import Node
from relto.store.schema import floors, items, releases


class Partner(msgspec.Struct, frozen=True):
    """One partner: whether it has compared its heads with ours, and what it returned."""

    party: str
    heard: bool
    returned: Counts


class Recovery(msgspec.Struct, frozen=True):
    """All partners, and what came back united: versions of our own items that were ever released to anybody.

    ``released`` is the sum of ``originals``, which are here whole, ``renditions``, of which only less is here,
    ``withdrawn`` and ``missing``.
    """

    resuming: bool
    halted: str
    log: int
    partners: tuple[Partner, ...]
    released: int = 0
    originals: int = 0
    renditions: int = 0
    withdrawn: int = 0
    missing: int = 0


def recovery(node: Node) -> Recovery:
    """How far the node is; all zero if it never lost anything."""
    with node.store.read() as books:
        now = resuming(books)
        state = Recovery(now is not None, halted(books), log_number(books), ())
        if now is None:
            return state
        partners = tuple(
            Partner(each.party, each.party in now.heard, counted(books, each.party)) for each in books.partners()
        )
    with node.store.database.read() as connection:
        return msgspec.structs.replace(state, partners=partners, **_united(connection, node.party))


def _united(connection: Connection, party: str) -> dict[str, int]:
    went = _versions(connection, select(releases.c.id, releases.c.version).where(_ours(party)))
    whole = _versions(
        connection, select(items.c.id, items.c.version).where(items.c.by == "", items.c.view != "nothing")
    )
    part = select(items.c.id, items.c.version).where(items.c.by != "", items.c.origin == party, items.c.header != b"")
    in_part = _versions(connection, part)
    dead = select(floors.c.id, floors.c.version).where(floors.c.party == party, floors.c.dead == 1)
    below = dict(_versions(connection, dead))
    withdrawn = {each for each in went - whole - in_part if each[1] < below.get(each[0], 0)}
    return {
        "released": len(went),
        "originals": len(went & whole),
        "renditions": len((went & in_part) - whole),
        "withdrawn": len(withdrawn),
        "missing": len(went - whole - in_part - withdrawn),
    }


def _ours(party: str) -> ColumnElement[bool]:
    """Releases of our own contents; those of which nothing is known any more count as ours."""
    return (releases.c.view != "nothing") & releases.c.originators.in_(["", party])


def _versions(connection: Connection, query: Select[Any]) -> set[tuple[bytes, int]]:
    return {(row[0], row[1]) for row in connection.execute(query)}
