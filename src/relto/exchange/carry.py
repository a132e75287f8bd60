"""Carrying: what goes into a bundle for a partner, and what becomes of what one holds. docs/spec/exchange.md.

A bundle is one more way between two parties, and proves nothing by itself: who hands it over may have put it together.
So all that it holds is verified as if it had come over the wire, but nothing in it that does not verify is held against
the party whose name it bears.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from relto.bounds import BOUNDS
from relto.clock import SECOND_MS
from relto.envelope.card import signed_card
from relto.errors import MalformedError, NotForUsError, OurError, ProofError, ReltoError
from relto.exchange import cards, documents, heads, receive
from relto.exchange.answer import answer
from relto.exchange.books import Books, Stream
from relto.exchange.bundle import CHAIN_BYTES, MAGIC, PREFIX_BYTES, BundleHeader, Frame, Kind, Volume
from relto.exchange.cards import OWN_CARD
from relto.exchange.core import Core, accepted, card_of
from relto.exchange.link import HELD_BACK_MS, STICK, link_of
from relto.exchange.page import open_batch_of
from relto.exchange.share import open_streams, share
from relto.exchange.steps import Read, Receipts, Steps, Write

LEAST_BYTES = 64 * 1024

_FRAME_BYTES = PREFIX_BYTES + CHAIN_BYTES
_RESERVED_BYTES = len(MAGIC) + 2 * (_FRAME_BYTES + 1024)  # the first line, header and end

Size = tuple[int, int, int]  # first n, last n, bytes of a page


class MissingPagesError(OurError):
    """A bundle goes on where an earlier one has not been read."""


class VolumePlan(msgspec.Struct, frozen=True):
    """One file: its header, what it holds beside pages, and the pages after which numbers."""

    header: BundleHeader
    papers: tuple[Frame, ...]
    pages: tuple[Size, ...]

    @property
    def size_bytes(self) -> int:
        """How large the file is at the most."""
        held = sum(_FRAME_BYTES + len(each.content) for each in self.papers)
        return _RESERVED_BYTES + held + sum(_FRAME_BYTES + size for _, _, size in self.pages)


class Taken(msgspec.Struct, frozen=True):
    """What became of one frame: how many releases were new, whether it was known already, or why it is refused."""

    kind: Kind
    releases: int = 0
    known: bool = False
    refused: str = ""


def load(
    core: Core, peer: str, *, after_n: int | None = None, max_bytes: int, everything: bool = False
) -> Steps[tuple[VolumePlan, ...]]:
    """What to carry to a partner: first the pages are made that its stream has no window for, then all is weighed.

    ``after_n`` is the last release that the partner has; that of its newest receipt if not given. ``everything``: also
    what waits for its turn on a thin link, which then waits for the stick.

    Raises:
        OurError: in quarantine, no page ends there, or it does not fit into volumes of this size.
        UnknownPartyError, ExpiredError: no partner, or its card is over.
    """
    yield Read(lambda books: _check_recipient(core, books, peer))
    yield Write(lambda books: _open(core, books, peer, everything))
    packed: bool = yield Read(lambda books: link_of(books, peer).packed)
    while everything or not packed:
        moved = yield from share(core, peer, STICK)
        if not moved:
            break
    planned: tuple[VolumePlan, ...] = yield Read(lambda books: _plan(core, books, peer, after_n, max_bytes))
    return planned


def answering(core: Core, peer: str) -> Steps[tuple[VolumePlan, ...]]:
    """What to carry back: our papers and the receipt for what is stored, and no page.

    Raises:
        UnknownPartyError, ExpiredError: no partner, or its card is over.
    """

    def plan(books: Books) -> tuple[VolumePlan, ...]:
        core.partner(books, peer)
        stream = books.stream(peer)
        next_n = stream.next_n if stream else 1
        return _spread(core, peer, _papers(core, books, peer), [], next_n, BOUNDS.bundle_bytes)

    planned: tuple[VolumePlan, ...] = yield Read(plan)
    return planned


def page_at(peer: str, first_n: int) -> Steps[bytes]:
    """The page of a partner's stream that begins with this release."""
    page: bytes | None = yield Read(lambda books: books.page_after(peer, first_n - 1))
    if page is None:
        raise OurError("is not there any more.", field=f"page {first_n}", remedy="Write the bundle anew.")
    return page


def _check_recipient(core: Core, books: Books, peer: str) -> None:
    core.partner(books, peer)
    if peer in books.quarantined():
        raise OurError("is in quarantine.", field=peer, remedy="Lift it first: relto quarantine lift.")


def _open(core: Core, books: Books, peer: str, everything: bool) -> None:
    open_streams(core, books)
    if everything:
        books.hasten(peer, HELD_BACK_MS, core.now_ms())


def _plan(core: Core, books: Books, peer: str, after_n: int | None, max_bytes: int) -> tuple[VolumePlan, ...]:
    stream = books.stream(peer)
    if stream is None:
        return _spread(core, peer, _papers(core, books, peer), [], 1, max_bytes)
    start_n = stream.receipted_n if after_n is None else after_n
    _check_start(books, stream, start_n)
    sizes = books.page_sizes(peer, start_n, BOUNDS.bundle_frames)
    return _spread(core, peer, _papers(core, books, peer), sizes, stream.next_n, max_bytes)


def _check_start(books: Books, stream: Stream, after_n: int) -> None:
    if after_n and (after_n >= stream.next_n or books.chain_at(stream.recipient, after_n) is None):
        raise OurError(
            f"no page for {stream.recipient} ends at release {after_n}.",
            field="after",
            remedy=f"Leave it out; its newest receipt is for {stream.receipted_n}.",
        )


def _papers(core: Core, books: Books, peer: str) -> tuple[Frame, ...]:
    """Everything but pages: our card, the agreements with the partner, our log's head, the receipt that we owe."""
    card, inbound, head = books.secret(OWN_CARD), books.inbound(peer), books.head()
    papers = [Frame(Kind.CARD, card)] if card else []
    papers += [Frame(Kind.AGREEMENT, each) for each in documents.agreements_for(core, books, peer)]
    papers += [Frame(Kind.HEAD, head.note)] if head.size else []
    papers += [Frame(Kind.RECEIPT, receive.receipt(core, inbound))] if inbound.next_n > 1 else []
    return tuple(papers)


def _spread(
    core: Core, peer: str, papers: tuple[Frame, ...], sizes: Sequence[Size], next_n: int, max_bytes: int
) -> tuple[VolumePlan, ...]:
    """Spread pages over as few files as hold them; the papers stand in the first."""
    if max_bytes < LEAST_BYTES:
        raise OurError(f"{max_bytes} bytes is too little.", field="max-bytes", remedy=f"At least {LEAST_BYTES}.")
    now_ms, room_bytes = core.now_ms(), min(max_bytes, BOUNDS.bundle_bytes) - _RESERVED_BYTES
    loads = list(_loads(papers, sizes, room_bytes))
    if len(loads) > BOUNDS.bundle_volumes:
        raise OurError(f"{len(loads)} volumes.", field="max-bytes", remedy="Allow larger volumes.")
    volumes = []
    for number, held in enumerate(loads, start=1):
        later = next((each[0][0] for each in loads[number - 1 :] if each), next_n)
        header = BundleHeader(1, core.party, peer, now_ms, later, Volume(number, len(loads)))
        volumes.append(VolumePlan(header, papers if number == 1 else (), tuple(held)))
    return tuple(volumes)


def _loads(papers: tuple[Frame, ...], sizes: Sequence[Size], room_bytes: int) -> Iterator[list[Size]]:
    held: list[Size] = []
    used, frames = sum(_FRAME_BYTES + len(each.content) for each in papers), len(papers) + 2
    if used > room_bytes:
        raise OurError(f"the papers alone have {used} bytes.", field="max-bytes", remedy="Allow larger volumes.")
    for first_n, last_n, size_bytes in sizes:
        cost = _FRAME_BYTES + size_bytes
        full = used + cost > room_bytes or frames >= BOUNDS.bundle_frames
        if full and used:
            yield held
            held, used, frames = [], 0, 2
        if used + cost > room_bytes:
            raise OurError(f"page {first_n} has {size_bytes} bytes.", field="max-bytes", remedy="Allow larger volumes.")
        held.append((first_n, last_n, size_bytes))
        used, frames = used + cost, frames + 1
    yield held


# --- taking ---


def check_header(core: Core, books: Books, header: BundleHeader) -> None:
    """Refuse a bundle that is not of a partner for us, or of a time that has not come.

    Raises:
        NotForUsError, UnknownPartyError, MalformedError: it says so itself.
    """
    if header.to != core.party:
        raise NotForUsError(f"is for {header.to}, not for {core.party}.", field="bundle", remedy="Give it to them.")
    accepted(books, header.by)
    ahead_ms = header.created_ms - core.now_ms()
    if ahead_ms > BOUNDS.future_ms:
        raise MalformedError(
            f"was made {ahead_ms // SECOND_MS} s in the future.", field="bundle", remedy="Compare the clocks."
        )


def take(core: Core, peer: str, frame: Frame) -> Steps[Taken]:
    """Take one frame of a peer's bundle; what is not good is refused by itself, but a page stops the bundle.

    Raises:
        PeerError: a page is refused; nothing of it is stored. MissingPagesError: pages before it have not come yet.
    """
    if frame.kind is Kind.PAGE:
        arrived = yield from _take_page(core, peer, frame.content)
        return Taken(frame.kind, releases=arrived, known=arrived == 0)
    try:
        known = yield from _take_paper(core, peer, frame)
    except ReltoError as error:
        return Taken(frame.kind, refused=f"{frame.kind.name.lower()}: {error}")
    return Taken(frame.kind, known=known)


def _take_paper(core: Core, peer: str, frame: Frame) -> Steps[bool]:
    content = frame.content
    known = False
    match frame.kind:
        case Kind.CARD:
            known = yield Write(lambda books: _take_card(core, books, peer, content))
        case Kind.AGREEMENT:
            yield Write(lambda books: documents.take_agreement(core, books, content))
        case Kind.HEAD:
            yield from heads.shown(core, peer, (content,))
        case Kind.RECEIPT:
            yield from answer(core, peer, Receipts(content))
    return known


def _take_card(core: Core, books: Books, peer: str, envelope: bytes) -> bool:
    """Take a partner's card; returns whether it, or a newer one, was known. Old sticks are no attack."""
    card, known = signed_card(envelope, pinned=None), accepted(books, peer)
    if card.party != peer:
        raise NotForUsError(f"is {card.party}'s, not {peer}'s.", field="card", remedy="Give it to that party.")
    if card.authority == card_of(known).authority and card.version < card_of(known).version:
        return True
    return cards.take(core, books, envelope).card is None


def _take_page(core: Core, peer: str, page: bytes) -> Steps[int]:
    """Take a page if it is the next; returns how many releases it held, 0 if it is stored already."""
    known: bool = yield Read(lambda books: _is_stored(core, books, peer, page))
    if known:
        return 0
    arrived, _ = yield from receive.accept(core, peer, page, handed_over=True)
    return arrived


def _is_stored(core: Core, books: Books, peer: str, page: bytes) -> bool:
    card, inbound = core.partner(books, peer), books.inbound(peer)
    batch, statement = open_batch_of(page, us=core.party, peer=peer, keys=card.node, sealing=core.sealing)
    if batch.first_n > inbound.next_n:
        raise MissingPagesError(
            f"begins at release {batch.first_n} of {peer}, and {inbound.next_n} is the next here.",
            field="bundle",
            remedy=f"Read the volume before it first, or ask for a bundle after {inbound.next_n - 1}.",
        )
    if batch.first_n == inbound.next_n:
        return False
    stored = books.arrived_at(peer, batch.first_n)
    if stored is None or stored.statement != statement:
        raise ProofError(
            f"release {batch.first_n} of {peer} came in another page before.",
            field="batch",
            remedy="Keep the file as evidence; ask the party.",
        )
    return True


def owed(books: Books, peer: str) -> int:
    """Up to which release of a peer's stream we hold everything."""
    return books.inbound(peer).next_n - 1
