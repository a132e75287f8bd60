"""Routes: how we reach a partner where we cannot, or do not want to, connect to it: by a relay. docs/spec/exchange.md.

One round hands to the relay what the partner does not have yet and takes from it what the partner left there. Nothing
rests on the relay's word: a page is verified as if it had come over the wire, a receipt bears the partner's signature,
and what is not receipted goes again. What does not verify is held against the relay, not against the partner.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from relto.bounds import BOUNDS
from relto.clock import DAY_MS
from relto.errors import ExpiredError, MalformedError, OurError, PeerError, UnknownPartyError
from relto.exchange import carry, documents, incidents, receive
from relto.exchange.answer import answer
from relto.exchange.books import Books, Inbound, Stream
from relto.exchange.bundle import Frame, Kind
from relto.exchange.core import Core
from relto.exchange.parcel import What, is_parcel, open_parcel, write_parcel
from relto.exchange.receive import TermsUnknownError
from relto.exchange.relay import Handed, Kept
from relto.exchange.steps import Ask, Collect, Deposit, Pages, Read, Receipts, Steps, Write

# What our own state does not allow yet: the parcel stays at the relay, and is tried again in the next round.
_NOT_YET = (TermsUnknownError, ExpiredError, UnknownPartyError)
T = TypeVar("T")


class Left(msgspec.Struct, frozen=True):
    """A page that was left with the relay: the last release in it, the relay's number for it, and when."""

    last_n: int
    parcel_n: int
    left_ms: int


class Route(msgspec.Struct, frozen=True):
    """The relay for a partner, and how far the two of us are by it.

    ``only``: never connect directly. ``collected_n`` is the relay's number up to which we took what the partner left;
    ``left`` are the pages that are with it and not receipted; ``quiet_polls`` counts the rounds since it says that the
    first of them was collected.
    """

    via: str = ""
    only: bool = False
    collected_n: int = 0
    left: tuple[Left, ...] = ()
    told: str = ""
    receipted_n: int = 0
    quiet_polls: int = 0


class Carried(msgspec.Struct, frozen=True):
    """What one round came to: releases that arrived, parcels left with the relay, and why others were refused."""

    arrived: int = 0
    left: int = 0
    refused: tuple[str, ...] = ()


def route_of(books: Books, party: str) -> Route:
    """The route to a partner; direct unless somebody has said otherwise."""
    stored = books.secret(_name(party))
    return msgspec.json.decode(stored, type=Route) if stored else Route()


def set_route(books: Books, party: str, via: str, *, only: bool = False) -> None:
    """Say by which relay a partner is reached when it cannot be directly, or, with an empty ``via``, by none.

    Raises:
        OurError: the partner or the relay is no partner, or both are one.
    """
    for name in (party, via) if via else (party,):
        if books.partner(name) is None:
            raise OurError("is no partner.", field=name, remedy="See: relto partner ls.")
    if party == via:
        raise OurError("cannot relay to itself.", field="via", remedy="Name another partner.")
    known = route_of(books, party)
    _keep(books, party, msgspec.structs.replace(known, only=only) if known.via == via else Route(via, only))


def _keep(books: Books, party: str, route: Route) -> None:
    books.put_setting(_name(party), msgspec.json.encode(route))


def _change(party: str, **changed: object) -> Steps[None]:
    def job(books: Books) -> None:
        _keep(books, party, msgspec.structs.replace(route_of(books, party), **changed))

    yield Write(job)


def _name(party: str) -> str:
    return f"route {party}"


def by_relay(core: Core, peer: str) -> Steps[Carried]:
    """One round with the relay of a partner; nothing, if there is none.

    Raises:
        OurError: the relay cannot be reached. PeerError: it refuses, or answers nonsense.
    """
    route: Route = yield Read(lambda books: route_of(books, peer))
    if not route.via:
        return Carried()
    yield Read(lambda books: core.partner(books, peer))
    arrived, refused, handed = yield from _collect(core, peer, route.via)
    left = yield from _leave_documents(core, peer, route.via)
    left += yield from _leave_receipt(core, peer, route.via)
    left += yield from _leave_pages(core, peer, route.via, handed)
    return Carried(arrived, left, refused)


# --- taking ---


def _collect(core: Core, peer: str, relay: str) -> Steps[tuple[int, tuple[str, ...], Handed]]:
    """Take what the partner left with the relay, at most so many parcels a round."""
    arrived, refused = 0, []
    handed = Handed(0, 0, b"", 0, 0)
    for _ in range(BOUNDS.relay_round):
        route: Route = yield Read(lambda books: route_of(books, peer))
        handed = _answered((yield Ask(relay, Collect(peer, route.collected_n))), Handed)
        if handed.last_n < route.collected_n:  # the relay has begun anew
            yield from _change(peer, collected_n=0)
            continue
        if not handed.content:
            break
        if handed.n <= route.collected_n:
            raise MalformedError("hands over what was collected.", field="relay", remedy="Route by another relay.")
        try:
            arrived += yield from _take(core, peer, relay, handed.content)
        except _NOT_YET as error:
            refused.append(str(error))
            break
        except (PeerError, carry.MissingPagesError) as error:
            refused.append(str(error))
        yield from _change(peer, collected_n=handed.n)
    return arrived, tuple(refused), handed


def _take(core: Core, peer: str, relay: str, content: bytes) -> Steps[int]:
    """Take one parcel or page; what proves something against the relay is noted."""
    try:
        if is_parcel(content):
            yield from _take_parcel(core, peer, content)
            return 0
        return (yield from _take_page(core, peer, content))
    except carry.MissingPagesError as error:
        gap = error.reason
        yield Write(lambda books: incidents.note_gap(core, books, relay, peer, gap))
        raise
    except _NOT_YET:
        raise
    except PeerError as error:
        refusal = error
        yield Write(lambda books: incidents.note_carried(core, books, relay, peer, refusal))
        raise


def _take_page(core: Core, peer: str, page: bytes) -> Steps[int]:
    taken = yield from carry.take(core, peer, Frame(Kind.PAGE, page))
    if taken.known:  # it was left again, so our receipt may never have come
        yield from _change(peer, receipted_n=0)
    return taken.releases


def _take_parcel(core: Core, peer: str, content: bytes) -> Steps[None]:
    def opened(books: Books) -> tuple[What, bytes]:
        statement, inside = open_parcel(
            content,
            us=core.party,
            peer=peer,
            keys=core.partner(books, peer).node,
            sealing=core.sealing,
            now_ms=core.now_ms(),
        )
        return statement.what, inside

    what, inside = yield Read(opened)
    if what == "receipt":
        yield from answer(core, peer, Receipts(inside))
    else:
        yield from documents.take(core, peer, inside)


# --- leaving ---


def _leave(relay: str, content: bytes) -> Steps[Kept]:
    return _answered((yield Ask(relay, Deposit(content))), Kept)


def _leave_documents(core: Core, peer: str, relay: str) -> Steps[int]:
    """Leave our documents where they have changed since."""
    content: bytes = yield Read(lambda books: documents.write(core, books, peer))
    digest = hashlib.sha256(content).hexdigest()
    route: Route = yield Read(lambda books: route_of(books, peer))
    if route.told == digest:
        return 0
    kept = yield from _leave(relay, (yield from _sealed(core, peer, "documents", content)))
    if kept.n:
        yield from _change(peer, told=digest)
    return int(kept.n > 0)


def _leave_receipt(core: Core, peer: str, relay: str) -> Steps[int]:
    """Leave the receipt for what is stored of the partner's stream."""
    inbound: Inbound = yield Read(lambda books: books.inbound(peer))
    route: Route = yield Read(lambda books: route_of(books, peer))
    stored_n = inbound.next_n - 1
    if stored_n <= max(route.receipted_n, inbound.receipted_n):
        return 0
    envelope = receive.receipt(core, inbound)
    kept = yield from _leave(relay, (yield from _sealed(core, peer, "receipt", envelope)))
    if kept.n:
        yield from _change(peer, receipted_n=stored_n)
    return int(kept.n > 0)


def _sealed(core: Core, peer: str, what: What, content: bytes) -> Steps[bytes]:
    sealing: str = yield Read(lambda books: core.partner(books, peer).sealing)
    return write_parcel(
        what,
        content,
        by=core.party,
        to=peer,
        batch=core.entropy(16).hex(),
        now_ms=core.now_ms(),
        node=core.signer,
        recipient=bytes.fromhex(sealing),
        content_key=core.entropy(32),
    )


def _leave_pages(core: Core, peer: str, relay: str, handed: Handed) -> Steps[int]:
    """Leave the pages that the partner has not receipted and the relay does not hold, as far as it takes them."""
    stream: Stream | None = yield Read(lambda books: books.stream(peer))
    if stream is None:
        return 0
    route: Route = yield Read(lambda books: route_of(books, peer))
    waiting = _waiting(route, stream, handed, core.now_ms() - BOUNDS.relay_days * DAY_MS)
    before = len(waiting)
    while len(waiting) < BOUNDS.relay_parcels:
        after_n = waiting[-1].last_n if waiting else stream.receipted_n
        sizes = yield Read(lambda books, after_n=after_n: books.page_sizes(peer, after_n, 1))  # type: ignore[misc]
        page = (yield from answer(core, peer, Pages(after_n))) if sizes else b""
        kept = (yield from _leave(relay, page)) if page else Kept(0)
        if not kept.n:
            break
        waiting.append(Left(sizes[0][1], kept.n, core.now_ms()))
    polls = _quiet_polls(route, waiting, handed)
    if (route.left, route.quiet_polls) != (tuple(waiting), polls):
        yield from _change(peer, left=tuple(waiting), quiet_polls=polls)
    if polls >= BOUNDS.receipt_gap_polls:
        after_n = stream.receipted_n
        yield Write(lambda books: incidents.note_unreceipted(core, books, relay, peer, after_n))
        yield from _change(peer, left=(), quiet_polls=0, told="")  # all of it goes again
    return len(waiting) - before


def _waiting(route: Route, stream: Stream, handed: Handed, since_ms: int) -> list[Left]:
    """The pages that are with the relay still: not receipted, not too old, and of numbers that it knows."""
    waiting = [each for each in route.left if each.last_n > stream.receipted_n]
    gone = any(each.parcel_n > handed.kept_n or each.left_ms < since_ms for each in waiting)
    return [] if gone else waiting


def _quiet_polls(route: Route, waiting: list[Left], handed: Handed) -> int:
    """For how many rounds the relay says that the first page was collected, and no receipt has come."""
    if not waiting or waiting[0].parcel_n > handed.fetched_n:
        return 0
    return route.quiet_polls + 1 if waiting[0] in route.left[:1] else 1


def _answered(content: bytes, form: type[T]) -> T:
    """An answer of the relay."""
    try:
        return msgspec.msgpack.decode(content, type=form)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(str(error), field="relay", remedy="See docs/spec/exchange.md.") from None
