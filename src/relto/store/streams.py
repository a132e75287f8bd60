"""Streams in the store: outgoing with their pages and what waits for its hour, incoming with what proves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from relto.envelope.merkle import EMPTY_ROOT
from relto.exchange.messages import FIRST_CHAIN
from relto.store.schema import arrivals, deferred, inbounds, pages, releases, streams, tallies


class Stream(msgspec.Struct, frozen=True):
    """How far an outgoing stream is: items looked at, releases made, log size its recipient will have seen."""

    recipient: str
    scanned_seq: int
    next_n: int
    chain: str
    log_size: int
    receipted_n: int
    receipt: bytes | None = None
    receipted_ms: int | None = None


class Inbound(msgspec.Struct, frozen=True):
    """How far a peer's stream is stored here, and the newest checkpoint of the peer that was verified."""

    peer: str
    next_n: int = 1
    chain: str = FIRST_CHAIN
    log_size: int = 0
    log_root: bytes = EMPTY_ROOT
    receipted_n: int = 0
    synced_ms: int = 0


class Arrival(msgspec.Struct, frozen=True):
    """What proves the items of one received batch: also when some of them, or the peer's card, are long gone.

    ``hashes`` are the leaf hashes of the batch, ``entries`` those of the peer's log, 32 bytes each, in order.
    """

    peer: str
    first_n: int
    card: bytes
    hashes: bytes
    statement: bytes
    proof: bytes
    entries: bytes
    records: bytes


def open_stream(connection: Connection, recipient: str, scanned_seq: int) -> None:
    """Begin a stream that looks at items after ``scanned_seq`` only; an existing one is left alone."""
    row = Stream(recipient, scanned_seq, 1, FIRST_CHAIN, 0, 0)
    connection.execute(insert(streams).on_conflict_do_nothing(), msgspec.structs.asdict(row))


def stream(connection: Connection, recipient: str) -> Stream | None:
    """One outgoing stream."""
    row = connection.execute(select(streams).where(streams.c.recipient == recipient)).first()
    return Stream(*row) if row else None


def all_streams(connection: Connection) -> list[Stream]:
    """All outgoing streams."""
    return [Stream(*row) for row in connection.execute(select(streams).order_by(streams.c.recipient))]


def advance(connection: Connection, moved: Stream) -> None:
    """Store how far a stream is now."""
    values = msgspec.structs.asdict(moved)
    connection.execute(update(streams).where(streams.c.recipient == moved.recipient).values(**values))


def add_page(
    connection: Connection, recipient: str, first_n: int, last_n: int, chain: str, content: bytes, created_ms: int
) -> None:
    """Keep a page until its recipient asks for it; the chain is the one that its receipt must name."""
    connection.execute(
        pages.insert().values(
            recipient=recipient, first_n=first_n, last_n=last_n, chain=chain, content=content, created_ms=created_ms
        )
    )


def page_after(connection: Connection, recipient: str, n: int) -> bytes | None:
    """The page that begins right after release ``n``, or None if there is none (yet)."""
    query = select(pages.c.content).where(pages.c.recipient == recipient, pages.c.first_n == n + 1)
    return connection.execute(query).scalar()


def chain_at(connection: Connection, recipient: str, n: int) -> str | None:
    """The chain value after release ``n``, if a page ends there."""
    query = select(pages.c.chain).where(pages.c.recipient == recipient, pages.c.last_n == n)
    return connection.execute(query).scalar()


def add_releases(connection: Connection, rows: Sequence[tuple[str, int, int, int]]) -> None:
    """Remember which item is which release: (recipient, n, item seq, leaf index)."""
    names = ("recipient", "n", "item", "leaf")
    connection.execute(releases.insert(), [dict(zip(names, row, strict=True)) for row in rows])


def defer(connection: Connection, recipient: str, due: Sequence[tuple[int, int]]) -> None:
    """Keep items (seq, due_ms) for later."""
    rows = [{"recipient": recipient, "item": seq, "due_ms": due_ms} for seq, due_ms in due]
    if rows:
        connection.execute(insert(deferred).on_conflict_do_nothing(), rows)


def due(connection: Connection, recipient: str, now_ms: int, limit: int) -> list[int]:
    """The items whose hour has come."""
    query = select(deferred.c.item).where(deferred.c.recipient == recipient, deferred.c.due_ms <= now_ms)
    return list(connection.execute(query.order_by(deferred.c.due_ms, deferred.c.item).limit(limit)).scalars())


def recipients_due(connection: Connection, now_ms: int) -> list[str]:
    """Whose deferred items' hour has come."""
    query = select(deferred.c.recipient).where(deferred.c.due_ms <= now_ms).distinct()
    return list(connection.execute(query).scalars())


def settle(connection: Connection, recipient: str, seqs: Sequence[int]) -> None:
    """Forget deferred items: they were released, or are withheld now."""
    if seqs:
        gone = (deferred.c.recipient == recipient) & deferred.c.item.in_(seqs)
        connection.execute(delete(deferred).where(gone))


def waiting(connection: Connection) -> dict[str, int]:
    """How many items wait for their hour, by recipient."""
    query = select(deferred.c.recipient, func.count()).group_by(deferred.c.recipient)
    return {row[0]: row[1] for row in connection.execute(query)}


def all_deferred(connection: Connection) -> list[tuple[str, int]]:
    """Everything that waits for its hour: (recipient, item seq)."""
    return [(row[0], row[1]) for row in connection.execute(select(deferred.c.recipient, deferred.c.item))]


def tally(connection: Connection, recipient: str, counts: dict[tuple[str, str], int]) -> None:
    """Add to the counts of decisions by (verdict, reason)."""
    statement = insert(tallies)
    added = statement.on_conflict_do_update(
        index_elements=["recipient", "verdict", "reason"], set_={"count": tallies.c.count + statement.excluded.count}
    )
    rows: list[dict[str, Any]] = [
        {"recipient": recipient, "verdict": verdict, "reason": reason, "count": number}
        for (verdict, reason), number in sorted(counts.items())
    ]
    if rows:
        connection.execute(added, rows)


def tallied(connection: Connection) -> list[tuple[str, str, str, int]]:
    """All counts: (recipient, verdict, reason, count)."""
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(select(tallies))]


def inbound(connection: Connection, peer: str) -> Inbound:
    """How far a peer's stream is stored; a new one begins at 1."""
    row = connection.execute(select(inbounds).where(inbounds.c.peer == peer)).first()
    return Inbound(*row) if row else Inbound(peer)


def all_inbounds(connection: Connection) -> list[Inbound]:
    """All incoming streams."""
    return [Inbound(*row) for row in connection.execute(select(inbounds).order_by(inbounds.c.peer))]


def move_inbound(connection: Connection, moved: Inbound) -> None:
    """Store how far a peer's stream is now."""
    values = msgspec.structs.asdict(moved)
    connection.execute(insert(inbounds).values(**values).on_conflict_do_update(index_elements=["peer"], set_=values))


def add_arrival(connection: Connection, arrival: Arrival) -> int:
    """Keep what proves a batch; returns its number."""
    key = connection.execute(arrivals.insert().values(**msgspec.structs.asdict(arrival))).inserted_primary_key
    return int(key[0]) if key else 0


def arrival(connection: Connection, number: int) -> Arrival | None:
    """What proves one batch."""
    columns = [arrivals.c[name] for name in Arrival.__struct_fields__]
    row = connection.execute(select(*columns).where(arrivals.c.id == number)).first()
    return Arrival(*row) if row else None
