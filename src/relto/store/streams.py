"""Streams in the store: outgoing with their pages and what waits for its hour, incoming with what proves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from relto.exchange.books import Arrival, Inbound, Released, Stream, Waiting
from relto.store.dialect import insert
from relto.store.schema import arrivals, deferred, inbounds, items, pages, receipts, releases, streams, tallies

_STEP = 500  # values in one IN list
_RELEASED = tuple(releases.c[name] for name in Released.__struct_fields__)
_STREAM = tuple(streams.c[name] for name in Stream.__struct_fields__)
_INBOUND = tuple(inbounds.c[name] for name in Inbound.__struct_fields__)


class Streams:
    """Outgoing streams with their pages and what waits for its hour, and incoming ones with what proves them."""

    _connection: Connection

    def open_stream(self, stream: Stream) -> None:
        """Begin a stream; an existing one is left alone."""
        self._connection.execute(insert(streams).on_conflict_do_nothing(), msgspec.structs.asdict(stream))

    def stream(self, recipient: str) -> Stream | None:
        """One outgoing stream."""
        row = self._connection.execute(select(*_STREAM).where(streams.c.recipient == recipient)).first()
        return Stream(*row) if row else None

    def all_streams(self) -> list[Stream]:
        """All outgoing streams."""
        return [Stream(*row) for row in self._connection.execute(select(*_STREAM).order_by(streams.c.recipient))]

    def advance(self, moved: Stream) -> None:
        """Store how far a stream is now; each receipt is kept beside it, with the hour at which it was taken."""
        values = msgspec.structs.asdict(moved)
        self._connection.execute(update(streams).where(streams.c.recipient == moved.recipient).values(**values))
        if moved.receipt is not None:
            taken = {"recipient": moved.recipient, "up_to_n": moved.receipted_n, "taken_ms": moved.receipted_ms}
            kept = insert(receipts).values(**taken, envelope=moved.receipt)
            self._connection.execute(kept.on_conflict_do_nothing())

    def receipted_at(self, recipient: str, n: int) -> int | None:
        """When the first receipt was taken that covers release ``n``; None if there is none yet."""
        query = select(func.min(receipts.c.taken_ms)).where(receipts.c.recipient == recipient, receipts.c.up_to_n >= n)
        return self._connection.execute(query).scalar()

    def add_page(self, recipient: str, first_n: int, last_n: int, chain: str, content: bytes, created_ms: int) -> None:
        """Keep a page until its recipient asks for it; the chain is the one that its receipt must name."""
        self._connection.execute(
            pages.insert().values(
                recipient=recipient, first_n=first_n, last_n=last_n, chain=chain, content=content, created_ms=created_ms
            )
        )

    def page_after(self, recipient: str, n: int) -> bytes | None:
        """The page that begins right after release ``n``, or None if there is none (yet)."""
        query = select(pages.c.content).where(pages.c.recipient == recipient, pages.c.first_n == n + 1)
        return self._connection.execute(query).scalar()

    def page_sizes(self, recipient: str, n: int, limit: int) -> list[tuple[int, int, int]]:
        """The pages that begin after release ``n``, in order: (first n, last n, bytes)."""
        query = select(pages.c.first_n, pages.c.last_n, func.length(pages.c.content))
        query = query.where(pages.c.recipient == recipient, pages.c.first_n > n).order_by(pages.c.first_n).limit(limit)
        return [(row[0], row[1], row[2]) for row in self._connection.execute(query)]

    def chain_at(self, recipient: str, n: int) -> str | None:
        """The chain value after release ``n``, if a page ends there."""
        query = select(pages.c.chain).where(pages.c.recipient == recipient, pages.c.last_n == n)
        return self._connection.execute(query).scalar()

    def unreceipted(self, recipient: str) -> Waiting:
        """How much of a stream is made and not receipted yet."""
        of = (pages.c.recipient == recipient) & (streams.c.recipient == recipient)
        query = select(func.count(), func.coalesce(func.sum(func.length(pages.c.content)), 0))
        row = self._connection.execute(query.where(of, pages.c.last_n > streams.c.receipted_n)).one()
        return Waiting(int(row[0]), int(row[1]))

    def add_releases(self, rows: Sequence[Released]) -> None:
        """Remember what went to whom; this outlives the item."""
        self._connection.execute(
            releases.insert(), [msgspec.structs.asdict(row) | {"id": bytes.fromhex(row.id)} for row in rows]
        )

    def held(self, recipient: str, ids: Iterable[str]) -> Mapping[str, Released]:
        """The last that went to a recipient of each of these items."""
        keys = [bytes.fromhex(each) for each in ids]
        found: dict[str, Released] = {}
        for at in range(0, len(keys), _STEP):
            query = select(*_RELEASED).where(
                releases.c.recipient == recipient, releases.c.id.in_(keys[at : at + _STEP])
            )
            found |= {row.id: row for row in map(_released, self._connection.execute(query.order_by(releases.c.n)))}
        return found

    def releases_of(self, id: str) -> list[Released]:
        """Who ever got an item, in the order of each stream."""
        query = select(*_RELEASED).where(releases.c.id == bytes.fromhex(id))
        return [_released(row) for row in self._connection.execute(query.order_by(releases.c.recipient, releases.c.n))]

    def ids_spoken_of(self, prefix: str) -> list[str]:
        """The ids that begin with these hex digits of all that was ever stored or released, at most ten.

        No reader may be given this: also what is withdrawn, purged or in quarantine is among them.
        """
        low, high = (bytes.fromhex((prefix + digit * 32)[:32]) for digit in "0f")
        stored = select(items.c.id).where(items.c.id.between(low, high))
        sent = select(releases.c.id).where(releases.c.id.between(low, high))
        return [row[0].hex() for row in self._connection.execute(stored.union(sent).limit(10))]

    def withdrawn_since(self, recipient: str, n: int, limit: int) -> list[Released]:
        """The withdrawals in a stream after release ``n``."""
        query = select(*_RELEASED).where(releases.c.recipient == recipient, releases.c.n > n)
        query = query.where(releases.c.view == "nothing").order_by(releases.c.n).limit(limit)
        return [_released(row) for row in self._connection.execute(query)]

    def released_to(self, recipient: str, *, held_since_ms: int) -> list[Released]:
        """What a recipient held at any moment since an instant: released, and neither over nor withdrawn before it."""
        query = select(*_RELEASED).where(releases.c.recipient == recipient).order_by(releases.c.n)
        lasting = releases.c.expires_ms.is_(None) | (releases.c.expires_ms > held_since_ms)
        return [_released(row) for row in self._connection.execute(query.where(lasting))]

    def releases_made(self) -> dict[str, int]:
        """How many releases went to each recipient."""
        query = select(releases.c.recipient, func.count()).group_by(releases.c.recipient)
        return {row[0]: row[1] for row in self._connection.execute(query)}

    def defer(self, recipient: str, due: Sequence[tuple[int, int]]) -> None:
        """Keep items (seq, due_ms) for later."""
        rows = [{"recipient": recipient, "item": seq, "due_ms": due_ms} for seq, due_ms in due]
        if rows:
            self._connection.execute(insert(deferred).on_conflict_do_nothing(), rows)

    def due(self, recipient: str, now_ms: int, limit: int) -> list[int]:
        """The items whose hour has come."""
        query = select(deferred.c.item).where(deferred.c.recipient == recipient, deferred.c.due_ms <= now_ms)
        return list(self._connection.execute(query.order_by(deferred.c.due_ms, deferred.c.item).limit(limit)).scalars())

    def due_count(self, recipient: str, due_from_ms: int) -> int:
        """How many items wait for an hour from this one on."""
        of = (deferred.c.recipient == recipient) & (deferred.c.due_ms >= due_from_ms)
        return self._connection.execute(select(func.count()).select_from(deferred).where(of)).scalar() or 0

    def hasten(self, recipient: str, due_from_ms: int, due_ms: int) -> int:
        """Give the items that wait for an hour from this one on an earlier one. Returns how many."""
        of = (deferred.c.recipient == recipient) & (deferred.c.due_ms >= due_from_ms)
        return self._connection.execute(update(deferred).where(of).values(due_ms=due_ms)).rowcount

    def recipients_due(self, now_ms: int) -> list[str]:
        """Whose deferred items' hour has come."""
        query = select(deferred.c.recipient).where(deferred.c.due_ms <= now_ms).distinct()
        return list(self._connection.execute(query).scalars())

    def settle(self, recipient: str, seqs: Sequence[int]) -> None:
        """Forget deferred items: they were released, or are withheld now."""
        if seqs:
            gone = (deferred.c.recipient == recipient) & deferred.c.item.in_(seqs)
            self._connection.execute(delete(deferred).where(gone))

    def waiting(self) -> dict[str, int]:
        """How many items wait for their hour, by recipient."""
        query = select(deferred.c.recipient, func.count()).group_by(deferred.c.recipient)
        return {row[0]: row[1] for row in self._connection.execute(query)}

    def all_deferred(self) -> list[tuple[str, int]]:
        """Everything that waits for its hour: (recipient, item seq)."""
        return [(row[0], row[1]) for row in self._connection.execute(select(deferred.c.recipient, deferred.c.item))]

    def tally(self, recipient: str, counts: dict[tuple[str, str], int]) -> None:
        """Add to the counts of decisions by (verdict, reason)."""
        statement = insert(tallies)
        added = statement.on_conflict_do_update(
            index_elements=["recipient", "verdict", "reason"],
            set_={"count": tallies.c.count + statement.excluded.count},
        )
        rows: list[dict[str, Any]] = [
            {"recipient": recipient, "verdict": verdict, "reason": reason, "count": number}
            for (verdict, reason), number in sorted(counts.items())
        ]
        if rows:
            self._connection.execute(added, rows)

    def tallied(self) -> list[tuple[str, str, str, int]]:
        """All counts: (recipient, verdict, reason, count)."""
        return [(row[0], row[1], row[2], row[3]) for row in self._connection.execute(select(tallies))]

    def inbound(self, peer: str) -> Inbound:
        """How far a peer's stream is stored; a new one begins at 1."""
        row = self._connection.execute(select(*_INBOUND).where(inbounds.c.peer == peer)).first()
        return Inbound(*row) if row else Inbound(peer)

    def all_inbounds(self) -> list[Inbound]:
        """All incoming streams."""
        return [Inbound(*row) for row in self._connection.execute(select(*_INBOUND).order_by(inbounds.c.peer))]

    def move_inbound(self, moved: Inbound) -> None:
        """Store how far a peer's stream is now."""
        values = msgspec.structs.asdict(moved)
        self._connection.execute(
            insert(inbounds).values(**values).on_conflict_do_update(index_elements=["peer"], set_=values)
        )

    def add_arrival(self, arrival: Arrival) -> int:
        """Keep what proves a batch; returns its number."""
        key = self._connection.execute(arrivals.insert().values(**msgspec.structs.asdict(arrival))).inserted_primary_key
        return int(key[0]) if key else 0

    def arrival(self, number: int) -> Arrival | None:
        """What proves one batch."""
        columns = [arrivals.c[name] for name in Arrival.__struct_fields__]
        row = self._connection.execute(select(*columns).where(arrivals.c.id == number)).first()
        return Arrival(*row) if row else None

    def arrived_at(self, peer: str, first_n: int) -> Arrival | None:
        """What proves the batch of a peer's stream that began with this release."""
        columns = [arrivals.c[name] for name in Arrival.__struct_fields__]
        query = select(*columns).where(arrivals.c.peer == peer, arrivals.c.first_n == first_n)
        row = self._connection.execute(query.order_by(arrivals.c.id.desc()).limit(1)).first()
        return Arrival(*row) if row else None


def _released(row: Sequence[Any]) -> Released:
    recipient, n, item, leaf, key, *rest = row
    return Released(recipient, n, item, leaf, key.hex(), *rest)
