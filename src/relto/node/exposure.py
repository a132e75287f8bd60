"""Exposure: what a party had of us at any moment since an instant, also what is long deleted, here or there.

The list errs to one side only: what may have been there is on it. An item leaves it when its retention at the party
was over before the instant, or when the party had receipted its withdrawal by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, select

from relto.errors import OurError
from relto.item import PARTY
from relto.node.node import Node
from relto.store.books import SqlBooks
from relto.store.schema import releases


class Exposed(msgspec.Struct, frozen=True):
    """One release that a party held: which item and version, how much of it, and whose it is beside ours.

    ``expires_ms`` is when its retention ends, ``withdrawn_ms`` when we released its withdrawal; None if there is none.
    """

    item: str
    version: int
    view: str
    level: str
    originators: tuple[str, ...]
    released_ms: int
    expires_ms: int | None
    withdrawn_ms: int | None


class Exposure(msgspec.Struct, frozen=True):
    """The list, and the parties who are to be told of theirs: of each, how many of the releases are on it."""

    party: str
    since_ms: int
    releases: tuple[Exposed, ...]
    third: dict[str, int]


_R = releases.c
_COLUMNS = (_R.id, _R.version, _R.view, _R.level, _R.originators, _R.released_ms, _R.expires_ms, _R.n)


def exposure(node: Node, party: str, since_ms: int = 0) -> Exposure:
    """Everything that a party held from us at any moment since an instant, in the order in which it went.

    Raises:
        OurError: it is no party's id.
    """
    if PARTY.fullmatch(party) is None or party == node.party:
        raise OurError(f"{party[:20]!r} is no other party's id.", field="party", remedy="Write it as JPN.")
    with node.store.database.read() as connection:
        found = tuple(_held(connection, party, since_ms))
    third: Counter[str] = Counter()
    for originators, number in Counter(each.originators for each in found).items():
        third.update({name: number for name in originators if name not in (node.party, party)})
    return Exposure(party, since_ms, found, dict(sorted(third.items())))


def _held(connection: Connection, party: str, since_ms: int) -> Iterator[Exposed]:
    stream = SqlBooks(connection).stream(party)
    sure_n = stream.receipted_n if stream and (stream.receipted_ms or since_ms) < since_ms else 0
    ends = select(_R.id, _R.n, _R.released_ms).where(_R.recipient == party, _R.view == "nothing").order_by(_R.n)
    ended: dict[bytes, tuple[int, int]] = {row[0]: (row[1], row[2]) for row in connection.execute(ends)}
    lasting = _R.expires_ms.is_(None) | (_R.expires_ms > since_ms)
    query = select(*_COLUMNS).where(_R.recipient == party, _R.view != "nothing", lasting).order_by(_R.n)
    split: dict[str, tuple[str, ...]] = {}
    for id, version, view, level, originators, released_ms, expires_ms, n in connection.execute(query):
        end_n, end_ms = ended.get(id, (0, None))
        if n < end_n <= sure_n:
            continue
        if originators not in split:
            split[originators] = tuple(originators.split())
        withdrawn_ms = end_ms if end_n > n else None  # else this one came after the withdrawal
        yield Exposed(id.hex(), version, view, level, split[originators], released_ms, expires_ms, withdrawn_ms)
