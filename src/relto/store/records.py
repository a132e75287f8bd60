"""Items in the store: insert, find, count. Every reader's query passes ``Reading``; no other way leads to the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, delete, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from relto.item import Item
from relto.store.schema import floors, items


class Filed(msgspec.Struct, frozen=True):
    """An item as it is to be kept. ``by`` is the party that released it to us, empty for our own."""

    item: Item
    title: str
    by: str = ""
    edition: int = 0
    view: str = "full"
    received_ms: int = 0
    expires_ms: int | None = None
    arrival: int | None = None
    place: int | None = None


class Stored(msgspec.Struct, frozen=True):
    """A row of the item table; header and content are the bytes that were signed."""

    seq: int
    by: str
    edition: int
    view: str
    title: str
    received_ms: int
    expires_ms: int | None
    arrival: int | None
    place: int | None
    header: bytes
    content: bytes


class Reading(msgspec.Struct, frozen=True):
    """What a local reader may see now: nothing whose retention is over and nothing in quarantine."""

    now_ms: int
    quarantined: frozenset[str] = frozenset()

    def over(self, query: Select[Any]) -> Select[Any]:
        """The query, limited to what may be read."""
        held = or_(items.c.expires_ms.is_(None), items.c.expires_ms > self.now_ms)
        hidden = [bytes.fromhex(each) for each in self.quarantined]
        return query.where(and_(held, items.c.id.not_in(hidden)) if hidden else held)


def file_items(connection: Connection, filed: Sequence[Filed]) -> int:
    """Store items; those already stored with the same bytes are left alone. Returns how many were new."""
    if not filed:
        return 0
    before = connection.execute(select(func.max(items.c.seq))).scalar() or 0
    connection.execute(insert(items).on_conflict_do_nothing(), [_row(each) for each in filed])
    raise_floors(connection, (each.item for each in filed))
    return connection.execute(select(func.count()).where(items.c.seq > before)).scalar() or 0


def _row(filed: Filed) -> dict[str, Any]:
    header = filed.item.header
    return {
        "id": bytes.fromhex(header.id),
        "version": header.version,
        "by": filed.by,
        "edition": filed.edition,
        # Our own record under a key stays as it was first stored; a peer's other bytes are kept beside the first.
        "digest": hashlib.sha256(filed.item.header_bytes).digest() if filed.by else bytes(32),
        "origin": header.origin,
        "kind": header.kind,
        "view": filed.view,
        "title": filed.title,
        "observed_ms": header.observed_ms,
        "received_ms": filed.received_ms,
        "expires_ms": filed.expires_ms,
        "arrival": filed.arrival,
        "place": filed.place,
        "header": filed.item.header_bytes,
        "content": filed.item.content,
    }


def raise_floors(connection: Connection, found: Iterable[Item]) -> None:
    """Remember the highest version seen of each item; a floor never falls."""
    rows = [
        {"origin": item.header.origin, "id": bytes.fromhex(item.header.id), "version": item.header.version}
        for item in found
    ]
    statement = insert(floors)
    raised = func.max(floors.c.version, statement.excluded.version)
    connection.execute(statement.on_conflict_do_update(index_elements=["origin", "id"], set_={"version": raised}), rows)


_COLUMNS = tuple(items.c[name] for name in Stored.__struct_fields__)


def after(connection: Connection, seq: int, limit: int) -> list[Stored]:
    """The next items of the release queue, in the order in which they were stored."""
    query = select(*_COLUMNS).where(items.c.seq > seq).order_by(items.c.seq).limit(limit)
    return [_stored(row) for row in connection.execute(query)]


def by_seq(connection: Connection, seqs: Sequence[int]) -> list[Stored]:
    """These items, in the order of their numbers."""
    query = select(*_COLUMNS).where(items.c.seq.in_(seqs)).order_by(items.c.seq)
    return [_stored(row) for row in connection.execute(query)]


def last_seq(connection: Connection) -> int:
    """The number of the newest item, 0 if there is none."""
    return connection.execute(select(func.max(items.c.seq))).scalar() or 0


def find(connection: Connection, item_id: str, reading: Reading) -> list[Stored]:
    """Everything held under an id: own or received, newest version and best view first."""
    query = reading.over(select(*_COLUMNS).where(items.c.id == bytes.fromhex(item_id)))
    return [_stored(row) for row in connection.execute(query.order_by(items.c.version.desc(), items.c.by, items.c.seq))]


def starting_with(connection: Connection, prefix: str, reading: Reading) -> list[str]:
    """The ids that begin with these hex digits, at most ten."""
    low = bytes.fromhex((prefix + "0" * 32)[:32])
    high = bytes.fromhex((prefix + "f" * 32)[:32])
    query = reading.over(select(items.c.id).where(items.c.id.between(low, high)).distinct().limit(10))
    return [row.id.hex() for row in connection.execute(query)]


class Selection(msgspec.Struct, frozen=True):
    """Which items to list: newest observation first, a page at a time."""

    kinds: tuple[str, ...] = ()
    by: str | None = None
    text: str = ""
    limit: int = 50
    offset: int = 0


def listing(connection: Connection, selection: Selection, reading: Reading) -> list[Stored]:
    """One page of what a reader may see."""
    query = reading.over(_selected(select(*_COLUMNS), selection))
    query = (
        query.order_by(items.c.observed_ms.desc(), items.c.seq.desc()).limit(selection.limit).offset(selection.offset)
    )
    return [_stored(row) for row in connection.execute(query)]


def count(connection: Connection, selection: Selection, reading: Reading) -> int:
    """How many there are on all pages: only what the reader may see is counted."""
    query = reading.over(_selected(select(func.count()).select_from(items), selection))
    return connection.execute(query).scalar() or 0


def holdings(connection: Connection, reading: Reading) -> list[tuple[str, str, str, int]]:
    """How many items are held by (kind, view, by)."""
    columns = (items.c.kind, items.c.view, items.c.by)
    query = reading.over(select(*columns, func.count()).group_by(*columns).order_by(*columns))
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]


def purge(connection: Connection, now_ms: int) -> int:
    """Remove what is over its retention; its floors stay. Returns how many."""
    return connection.execute(delete(items).where(items.c.expires_ms <= now_ms)).rowcount


def _selected(query: Select[Any], selection: Selection) -> Select[Any]:
    if selection.kinds:
        query = query.where(items.c.kind.in_(selection.kinds))
    if selection.by is not None:
        query = query.where(items.c.by == selection.by)
    if selection.text:
        query = query.where(items.c.title.icontains(selection.text, autoescape=True))
    return query


def _stored(row: Sequence[Any]) -> Stored:
    return Stored(*row)
