"""The relay: a party carries sealed parcels between two of its partners. docs/spec/exchange.md, "Relay".

It sees who sends to whom, a random id and a size, and nothing else. It carries only between partners for whom its
operator has allowed it, keeps no more of a pair than its bounds, and forgets what was collected or is too old. What it
says of its own numbers is its word alone: order, chain and receipts are checked by the two ends.
"""

from __future__ import annotations

import msgspec

from relto.bounds import BOUNDS
from relto.clock import DAY_MS
from relto.errors import MalformedError, NotForUsError, OurError
from relto.exchange.books import Books, Carriage, Parcel
from relto.exchange.core import Core
from relto.exchange.page import batch_id
from relto.exchange.steps import Read, Steps, Write

ALLOWED = "relay"
Pair = tuple[str, str]

_encoder = msgspec.msgpack.Encoder()


class Kept(msgspec.Struct, frozen=True):
    """The relay's answer to a deposit: under which number it keeps it, 0 if as much of the pair waits as may."""

    n: int


class Handed(msgspec.Struct, frozen=True):
    """The relay's answer to a collection: the next parcel, empty if there is none, and the newest number of the pair.

    The other way round, ``kept_n`` is the newest number of what the asker left, and ``fetched_n`` up to where that was
    collected.
    """

    n: int
    last_n: int
    content: bytes
    kept_n: int
    fetched_n: int


def pairs(books: Books) -> frozenset[Pair]:
    """The pairs between which this node carries, each in order of name."""
    stored = (books.secret(ALLOWED) or b"").decode().split("\n")
    return frozenset((a, b) for a, _, b in (line.partition(" ") for line in stored if line))


def allow(books: Books, a: str, b: str) -> None:
    """Carry between two partners, both ways.

    Raises:
        OurError: they are not two partners, or too many pairs are allowed already.
    """
    if a == b or books.partner(a) is None or books.partner(b) is None:
        raise OurError("are not two partners.", field=f"{a} {b}", remedy="See: relto partner ls.")
    wanted = pairs(books) | {_pair(a, b)}
    if len(wanted) > BOUNDS.relay_pairs:
        raise OurError(f"over {BOUNDS.relay_pairs} pairs.", field="relay", remedy="Deny one first: relto relay deny.")
    _set_pairs(books, wanted)


def deny(books: Books, a: str, b: str) -> None:
    """Carry no more between two parties; what waits between them is forgotten.

    Raises:
        OurError: it was not allowed.
    """
    if _pair(a, b) not in pairs(books):
        raise OurError("is not allowed.", field=f"{a} {b}", remedy="See: relto relay ls.")
    _set_pairs(books, pairs(books) - {_pair(a, b)})
    for sender, recipient in ((a, b), (b, a)):
        books.drop_parcels(sender, recipient, books.carriage(sender, recipient).last_n)


def deposit(core: Core, books: Books, sender: str, content: bytes) -> bytes:
    """Keep a parcel for a partner until it collects it; the same parcel again changes nothing.

    Raises:
        NotForUsError: this node does not carry between the two. MalformedError, TooLargeError: neither page nor parcel.
    """
    recipient, batch = batch_id(content)
    _check_pair(books, sender, recipient)
    if not 1 <= len(batch) <= BOUNDS.text_chars:
        raise MalformedError("has no id.", field="parcel", remedy="See docs/spec/exchange.md.")
    now_ms, before = core.now_ms(), books.carriage(sender, recipient)
    books.drop_old_parcels(now_ms - BOUNDS.relay_days * DAY_MS)
    known = books.parcel_number(sender, recipient, batch)
    if known is not None:
        return _encoder.encode(Kept(known))
    waiting = books.waiting_parcels(sender, recipient)
    if waiting.pages >= BOUNDS.relay_parcels or waiting.bytes + len(content) > BOUNDS.relay_bytes:
        return _encoder.encode(Kept(0))
    n = before.last_n + 1
    books.add_parcel(Parcel(sender, recipient, n, batch, content, now_ms))
    books.move_carriage(msgspec.structs.replace(before, last_n=n))
    return _encoder.encode(Kept(n))


def collect(core: Core, recipient: str, sender: str, after_n: int) -> Steps[bytes]:
    """The next parcel of a pair after a number; what is not after it has been stored and is forgotten.

    Raises:
        NotForUsError: this node does not carry between the two.
    """

    def find(books: Books) -> tuple[Handed, bool]:
        _check_pair(books, sender, recipient)
        now, back = books.carriage(sender, recipient), books.carriage(recipient, sender)
        found = books.parcel_after(sender, recipient, after_n, core.now_ms() - BOUNDS.relay_days * DAY_MS)
        n, content = (found.n, found.content) if found else (0, b"")
        handed = Handed(n, now.last_n, content, back.last_n, back.collected_n)
        return handed, min(after_n, now.last_n) > now.collected_n

    def forget(books: Books) -> None:
        now = books.carriage(sender, recipient)
        collected_n = max(now.collected_n, min(after_n, now.last_n))
        books.drop_parcels(sender, recipient, collected_n)
        books.move_carriage(msgspec.structs.replace(now, collected_n=collected_n))

    handed, stale = yield Read(find)
    if stale:
        yield Write(forget)
    return _encoder.encode(handed)


def waits(books: Books) -> list[tuple[Carriage, int, int]]:
    """What waits between each pair: parcels and bytes."""
    found = [(each, books.waiting_parcels(each.sender, each.recipient)) for each in books.carriages()]
    return [(each, waiting.pages, waiting.bytes) for each, waiting in found]


def _check_pair(books: Books, sender: str, recipient: str) -> None:
    """INVARIANT: no open relay; and who asks is not told whether the other is a partner at all."""
    halted = {sender, recipient} & books.quarantined()
    known = books.partner(sender) is not None and books.partner(recipient) is not None
    if halted or not known or _pair(sender, recipient) not in pairs(books):
        raise NotForUsError(
            f"nothing is carried from {sender[:16]} to {recipient[:16]}.",
            field="relay",
            remedy="Allow it, if both agree: relto relay allow.",
        )


def _pair(a: str, b: str) -> Pair:
    return (a, b) if a < b else (b, a)


def _set_pairs(books: Books, wanted: frozenset[Pair]) -> None:
    books.put_setting(ALLOWED, "\n".join(f"{a} {b}" for a, b in sorted(wanted)).encode())
