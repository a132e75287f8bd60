"""Items in the store: insert, find, count. Every reader's query passes ``Reading``; no other way leads to the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, or_, select, update

from relto.exchange.books import Filed, Floor, Stored
from relto.store.dialect import insert
from relto.store.schema import floors, items

_STEP = 500  # values in one IN list
_COLUMNS = tuple(items.c[name] for name in Stored.__struct_fields__)


class Reading(msgspec.Struct, frozen=True):
    """What a local reader may see now.

    Nothing whose retention is over, nothing in quarantine, nothing that was withdrawn or has a newer version, nothing
    of a party in ``unread``, whose withdrawals are not all here yet, and no statement, which says something about an
    item and is none.
    """

    now_ms: int
    quarantined: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()

    def over(self, query: Select[Any]) -> Select[Any]:
        """The query, limited to what may be read."""
        held = or_(items.c.expires_ms.is_(None), items.c.expires_ms > self.now_ms)
        current = and_(held, items.c.standing == "current", items.c.view != "nothing")
        hidden = [bytes.fromhex(each) for each in self.quarantined]
        query = query.where(and_(current, items.c.id.not_in(hidden)) if hidden else current)
        return query.where(items.c.by.not_in(self.unread)) if self.unread else query


class Selection(msgspec.Struct, frozen=True):
    """Which items to list: newest observation first, a page at a time."""

    kinds: tuple[str, ...] = ()
    by: str | None = None
    text: str = ""
    limit: int = 50
    offset: int = 0


class Records:
    """The items and their floors."""

    _connection: Connection

    def insert_items(self, filed: Sequence[Filed]) -> int:
        """Store items; those already stored with the same bytes are left alone. Returns how many were new."""
        if not filed:
            return 0
        before = self.last_seq()
        self._connection.execute(insert(items).on_conflict_do_nothing(), [_row(each) for each in filed])
        return self._connection.execute(select(func.count()).where(items.c.seq > before)).scalar() or 0

    def floors(self, ids: Iterable[str]) -> Mapping[tuple[str, str], Floor]:
        """What was spoken of last of these items, by (party, id)."""
        found = {}
        for step in _steps(ids):
            query = select(floors.c.party, floors.c.id, floors.c.version, floors.c.dead).where(floors.c.id.in_(step))
            for party, key, version, dead in self._connection.execute(query):
                found[party, key.hex()] = Floor(party, key.hex(), version, bool(dead))
        return found

    def raise_floors(self, raised: Sequence[Floor]) -> None:
        """Remember the highest version spoken of; a floor never falls, and a dead one lives again only above itself."""
        if not raised:
            return
        statement = insert(floors)
        new = statement.excluded
        higher = (floors.c.version < new.version) | ((floors.c.version == new.version) & (floors.c.dead < new.dead))
        written = statement.on_conflict_do_update(
            index_elements=["id", "party"], set_={"version": new.version, "dead": new.dead}, where=higher
        )
        rows = [
            {"id": bytes.fromhex(each.id), "party": each.party, "version": each.version, "dead": int(each.dead)}
            for each in raised
        ]
        self._connection.execute(written, rows)

    def supersede(self, id: str, below: int, *, by: str | None = None, origin: str | None = None) -> int:
        """Hide the versions below one: those that ``by`` released to us, or all of ``origin``. Returns how many."""
        older = _older(id, below, by, origin) & (items.c.standing == "current")
        return self._connection.execute(update(items).where(older).values(standing="superseded")).rowcount

    def erase(self, id: str, below: int, *, by: str | None = None, origin: str | None = None) -> int:
        """Withdraw the versions below one and erase what was received; our own originals stay, but go nowhere."""
        older = _older(id, below, by, origin) & (items.c.standing != "withdrawn")
        nothing = {"header": b"", "content": b"", "hops": b"", "title": ""}
        received = update(items).where(older & (items.c.by != "")).values(standing="withdrawn", **nothing)
        own = update(items).where(older & (items.c.by == "")).values(standing="withdrawn")
        return self._connection.execute(received).rowcount + self._connection.execute(own).rowcount

    def equivocal(self, by: str, ids: Sequence[str]) -> list[tuple[str, int, tuple[bytes, ...]]]:
        """Of these items, the versions of which a party released other bytes than before: (id, version, headers)."""
        found: dict[tuple[str, int, int], list[bytes]] = {}
        for step in _steps(ids):
            query = select(items.c.id, items.c.version, items.c.edition, items.c.header)
            query = query.where(items.c.id.in_(step), items.c.by == by, items.c.view != "nothing")
            for key, version, edition, header in self._connection.execute(query.order_by(items.c.seq)):
                found.setdefault((key.hex(), version, edition), []).append(header)
        return [(key, version, tuple(headers)) for (key, version, _), headers in found.items() if len(headers) > 1]

    def versions(self, id: str) -> list[Stored]:
        """Everything ever stored under an id, oldest first, whatever its standing: no reader may be given this."""
        query = select(*_COLUMNS).where(items.c.id == bytes.fromhex(id)).order_by(items.c.seq)
        return [Stored(*row) for row in self._connection.execute(query)]

    def after(self, seq: int, limit: int) -> list[Stored]:
        """The next routine items of the release queue that still stand, in the order in which they were stored."""
        query = select(*_COLUMNS).where(items.c.seq > seq, items.c.urgency == 0, items.c.standing == "current")
        return [Stored(*row) for row in self._connection.execute(query.order_by(items.c.seq).limit(limit))]

    def urgent_after(self, seq: int, limit: int) -> list[Stored]:
        """The next urgent items of the release queue that still stand."""
        query = select(*_COLUMNS).where(items.c.seq > seq, items.c.urgency > 0, items.c.standing == "current")
        return [Stored(*row) for row in self._connection.execute(query.order_by(items.c.seq).limit(limit))]

    def by_seq(self, seqs: Sequence[int]) -> list[Stored]:
        """These items as far as they still stand, in the order of their numbers."""
        query = select(*_COLUMNS).where(items.c.seq.in_(seqs), items.c.standing == "current").order_by(items.c.seq)
        return [Stored(*row) for row in self._connection.execute(query)]

    def standing(self, seqs: Sequence[int]) -> frozenset[int]:
        """Which of these still stand."""
        found: set[int] = set()
        for at in range(0, len(seqs), _STEP):
            query = select(items.c.seq).where(items.c.seq.in_(seqs[at : at + _STEP]), items.c.standing == "current")
            found.update(self._connection.execute(query).scalars())
        return frozenset(found)

    def last_seq(self) -> int:
        """The number of the newest item, 0 if there is none."""
        return self._connection.execute(select(func.max(items.c.seq))).scalar() or 0

    def purge(self, now_ms: int) -> int:
        """Remove what is over its retention; its floors stay. Returns how many."""
        return self._connection.execute(delete(items).where(items.c.expires_ms <= now_ms)).rowcount

    def find(self, item_id: str, reading: Reading) -> list[Stored]:
        """Everything held under an id: own or received, newest version and best view first."""
        query = reading.over(select(*_COLUMNS).where(items.c.id == bytes.fromhex(item_id)))
        ordered = query.order_by(items.c.version.desc(), items.c.by, items.c.seq)
        return [Stored(*row) for row in self._connection.execute(ordered)]

    def starting_with(self, prefix: str, reading: Reading) -> list[str]:
        """The ids that begin with these hex digits, at most ten."""
        low = bytes.fromhex((prefix + "0" * 32)[:32])
        high = bytes.fromhex((prefix + "f" * 32)[:32])
        query = reading.over(select(items.c.id).where(items.c.id.between(low, high)).distinct().limit(10))
        return [row.id.hex() for row in self._connection.execute(query)]

    def listing(self, selection: Selection, reading: Reading) -> list[Stored]:
        """One page of what a reader may see."""
        query = reading.over(_selected(select(*_COLUMNS), selection))
        query = query.order_by(items.c.observed_ms.desc(), items.c.seq.desc())
        query = query.limit(selection.limit).offset(selection.offset)
        return [Stored(*row) for row in self._connection.execute(query)]

    def count(self, selection: Selection, reading: Reading) -> int:
        """How many there are on all pages: only what the reader may see is counted."""
        query = reading.over(_selected(select(func.count()).select_from(items), selection))
        return self._connection.execute(query).scalar() or 0

    def holdings(self, reading: Reading) -> list[tuple[str, str, str, int]]:
        """How many items are held by (kind, view, by)."""
        columns = (items.c.kind, items.c.view, items.c.by)
        query = reading.over(select(*columns, func.count()).group_by(*columns).order_by(*columns))
        return [(row[0], row[1], row[2], row[3]) for row in self._connection.execute(query)]


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
        "standing": filed.standing,
        "urgency": filed.urgency,
        "hops": filed.hops,
        "header": filed.item.header_bytes,
        "content": filed.item.content,
    }


def _older(id: str, below: int, by: str | None, origin: str | None) -> ColumnElement[bool]:
    """The contents of an item below a version; a statement about it is no content, and stays."""
    older = and_(items.c.id == bytes.fromhex(id), items.c.version < below, items.c.view != "nothing")
    if by is not None:
        older = older & (items.c.by == by)
    return older & (items.c.origin == origin) if origin is not None else older


def _steps(ids: Iterable[str]) -> Iterable[list[bytes]]:
    keys = [bytes.fromhex(each) for each in ids]
    return (keys[at : at + _STEP] for at in range(0, len(keys), _STEP))


def _selected(query: Select[Any], selection: Selection) -> Select[Any]:
    if selection.kinds:
        query = query.where(items.c.kind.in_(selection.kinds))
    if selection.by is not None:
        query = query.where(items.c.by == selection.by)
    if selection.text:
        query = query.where(items.c.title.icontains(selection.text, autoescape=True))
    return query
