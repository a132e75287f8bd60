"""Receiving: ask for the next page of a peer's stream, verify it, store it, and only then acknowledge.

Effect exactly once: where we are in the stream moves in the transaction that stores the items, so a page that comes
again is refused as not the next, and one whose receipt was lost is not asked for again. The receipt is sent until the
peer has taken it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from relto.agreements.terms import Terms
from relto.bounds import BOUNDS
from relto.clock import SECOND_MS
from relto.envelope.card import PartyCard
from relto.envelope.merkle import leaf_hash
from relto.errors import MalformedError, OurError, PeerError
from relto.exchange import filing, heads, incidents, provenance
from relto.exchange.books import URGENCIES, WITHDRAWAL, Arrival, Books, Filed, Inbound, SeenHead
from relto.exchange.core import Core, accepted, card_of
from relto.exchange.link import link_of
from relto.exchange.messages import Receipt, open_batch, sign_receipt
from relto.exchange.packed import pack
from relto.exchange.page import Arrived, Position, log_origin, open_page
from relto.exchange.provenance import Chain
from relto.exchange.resuming import awaited
from relto.exchange.steps import Ask, Pages, Read, Receipts, Steps, Write
from relto.exchange.withdraw import check_arrived, is_withdrawal, open_withdrawal
from relto.formats.arriving import check_content, title
from relto.item import AgreementRef, Item, Release
from relto.log.checkpoint import Checkpoint

UNREAD = "unread-peers"
_msgpack = msgspec.msgpack.Encoder()


class FrozenError(OurError):
    """No page of this party is taken until an incident is closed."""


class TermsUnknownError(PeerError):
    """A release rests on an agreement that this node does not hold signed and in force."""

    peer_text = "agreement"


def pull(core: Core, peer: str, *, wait_ms: int = 0) -> Steps[int]:
    """Ask for a peer's next page, store and acknowledge it; returns how many releases it held, 0 if there is none.

    Raises:
        PeerError: the page is refused; nothing of it is stored. OurError: the peer cannot be reached.
    """
    inbound: Inbound = yield Read(lambda books: books.inbound(peer))
    if (yield Read(lambda books: peer in core.rules(books).frozen or awaited(books, peer))):
        return 0
    if inbound.receipted_n < inbound.next_n - 1:
        yield from acknowledge(core, inbound)
    page: bytes = yield Ask(peer, Pages(inbound.next_n - 1, min(wait_ms, BOUNDS.poll_wait_ms)))
    if not page:
        yield Write(lambda books: _synced(core, books, peer))
        return 0
    arrived, moved = yield from accept(core, peer, page)
    yield from acknowledge(core, moved)
    return arrived


def accept(core: Core, peer: str, page: bytes, *, handed_over: bool = False) -> Steps[tuple[int, Inbound]]:
    """Verify a page of a peer's stream and store it; when this returns, it is durable.

    ``handed_over``: it did not come from the peer itself, so what is wrong with it is nothing against the peer.

    Raises:
        PeerError: it is refused, and nothing of it is stored; what it proves against the peer is kept.
    """
    try:
        arrived: Arrived = yield Read(lambda books: _verified(core, books, peer, page))
        chains: tuple[Chain, ...] = yield Read(lambda books: provenance.chains(books, arrived))
        stored: tuple[int, Inbound] = yield Write(lambda books: _store(core, books, peer, arrived, chains))
    except PeerError as error:
        refusal = error
        if not handed_over:
            yield Write(lambda books: incidents.note_refused(core, books, peer, refusal))
        raise
    return stored


def position(books: Books, peer: str) -> Position:
    """Where we are in a peer's stream and log."""
    inbound = books.inbound(peer)
    seen = Checkpoint(log_origin(peer, inbound.log), inbound.log_size, inbound.log_root)
    return Position(inbound.next_n, inbound.chain, seen)


def _verified(core: Core, books: Books, peer: str, page: bytes) -> Arrived:
    card = core.partner(books, peer)
    if peer in core.rules(books).frozen:
        raise FrozenError(f"{peer} is frozen.", field="incident", remedy="See: relto incident ls.")
    arrived = open_page(
        page,
        us=core.party,
        peer=peer,
        keys=card.node,
        sealing=core.sealing,
        position=position(books, peer),
        now_ms=core.now_ms(),
    )
    _check_releases(core, books, card, arrived)
    return arrived


def _check_releases(core: Core, books: Books, card: PartyCard, arrived: Arrived) -> None:
    """Each release must rest on agreements between the two of us that held when it was made, and on kinds we know."""
    ours = {
        standing.terms.ref: standing.terms
        for standing in core.rules(books).standings
        if {entry.id for entry in standing.terms.parties} <= standing.signed_by
    }
    for item in arrived.items:
        if release_of(item).time_ms > core.now_ms() + BOUNDS.future_ms:
            raise MalformedError("is released in the future.", field="release.time_ms", remedy="Compare clocks.")
        if is_withdrawal(item.header):
            check_arrived(item)
        else:
            _check_content(core, item)
            _check_grounds(core, card, item, ours)


def _check_content(core: Core, item: Item) -> None:
    if item.header.kind not in core.kinds:
        raise MalformedError(f"is of the unknown kind {item.header.kind}.", field="kind", remedy="Update this node.")
    check_content(item.header, item.content, core.kinds[item.header.kind].shape)


def _check_grounds(core: Core, card: PartyCard, item: Item, ours: dict[AgreementRef, Terms]) -> None:
    release = release_of(item)
    for ref in release.agreements:
        terms = ours.get(ref)
        if terms is None or not (terms.party(core.party) and terms.party(card.party)):
            raise TermsUnknownError(
                f"{card.party} released under {ref.id} v{ref.version}, which is not signed here in that text.",
                field="release.agreements",
                remedy="Compare: relto agreement show.",
            )
        over = terms.term.until_ms is not None and release.time_ms >= terms.term.until_ms
        if release.time_ms < terms.term.from_ms or over:
            raise TermsUnknownError(
                f"{ref.id} v{ref.version} did not hold when it was released.", field="release", remedy="Tell the peer."
            )
    if not release.agreements:
        raise TermsUnknownError("names no agreement.", field="release.agreements", remedy="Tell the peer.")


def _store(core: Core, books: Books, peer: str, arrived: Arrived, chains: tuple[Chain, ...]) -> tuple[int, Inbound]:
    before = books.inbound(peer)
    if (before.next_n, before.chain) != (arrived.batch.first_n, arrived.batch.previous):  # another process was faster
        return 0, before
    open_batch(arrived.statement, core.partner(books, peer).node)  # its keys may be void since the page was verified
    now_ms = core.now_ms()
    number = books.add_arrival(
        Arrival(
            peer=peer,
            first_n=arrived.batch.first_n,
            card=accepted(books, peer).card,
            hashes=b"".join(leaf_hash(item.header_bytes) for item in arrived.items),
            statement=arrived.statement,
            proof=_msgpack.encode(arrived.proof),
            entries=b"".join(arrived.entries),
            records=_msgpack.encode(arrived.records),
            received_ms=now_ms,
            salts=b"".join(arrived.salts),
        )
    )
    filed = [
        _filed(core, item, peer, number, place, chain.hops)
        for place, (item, chain) in enumerate(zip(arrived.items, chains, strict=True))
    ]
    result = filing.file(books, [each for each in filed if not is_withdrawal(each.item.header)])
    for equivocal in result.equivocal:
        incidents.note_equivocation(core, books, peer, *equivocal)
    for each, chain in zip(filed, chains, strict=True):
        header = each.item.header
        if chain.fault:
            incidents.note_bad_hops(core, books, peer, f"{header.id} v{header.version}", chain.fault, chain.refused)
        if is_withdrawal(header):
            _bury(books, each)
    return arrived.batch.count, _move(core, books, before, arrived)


def _move(core: Core, books: Books, before: Inbound, arrived: Arrived) -> Inbound:
    checkpoint, now_ms = arrived.position.checkpoint, core.now_ms()
    moved = msgspec.structs.replace(
        before,
        next_n=arrived.position.next_n,
        chain=arrived.position.chain,
        log_size=checkpoint.size,
        log_root=checkpoint.root,
        synced_ms=now_ms,
    )
    books.move_inbound(moved)
    note = arrived.proof.checkpoint
    head = SeenHead(before.peer, before.log, checkpoint.size, checkpoint.root, note, now_ms)
    heads.arrived(core, books, before, head)
    return moved


def _bury(books: Books, filed: Filed) -> None:
    """Apply a withdrawal, and queue it for those to whom we passed the item on."""
    header = filed.item.header
    whole = filed.by == header.origin
    filing.bury(books, header.id, header.version, by=filed.by, party=filed.by, whole=whole)
    if not whole and _is_originators(books, filed.item):
        filing.bury(books, header.id, header.version, by=filed.by, party=header.origin, whole=True)
    books.insert_items([filed])


def _is_originators(books: Books, item: Item) -> bool:
    """Whether the statement in a withdrawal is its originator's. If not, it counts as the word of who released it.

    It is not refused: who passed it on may not know the originator, and one bad statement must not stop a stream.
    """
    originator = books.partner(item.header.origin)
    if not item.content or originator is None:
        return False
    with contextlib.suppress(PeerError):
        open_withdrawal(item.content, item.header, card_of(originator).node)
        return True
    return False


def recall(books: Books, peer: str, withdrawn: Sequence[tuple[str, int]], *, more: bool = False) -> None:
    """Apply what a peer says it has withdrawn of its own releases to us, before the pages that say so have come.

    ``more``: it has withdrawn more than it could say, so nothing of it is read or passed on before its pages are here.
    """
    for id, version in withdrawn:
        filing.bury(books, id, version, by=peer, party=peer, whole=True)
    _set_unread(books, peer, more)


def unread(books: Books) -> frozenset[str]:
    """The peers of whose releases nothing may be read or passed on, since not all their withdrawals are here."""
    return frozenset((books.secret(UNREAD) or b"").decode().split())


def _set_unread(books: Books, peer: str, behind: bool) -> None:
    known = unread(books)
    wanted = known | {peer} if behind else known - {peer}
    if wanted != known:
        books.put_setting(UNREAD, " ".join(sorted(wanted)).encode())


def _filed(core: Core, item: Item, peer: str, arrival: int, place: int, hops: bytes) -> Filed:
    release, now_ms = release_of(item), core.now_ms()
    retention_s = release.duties.retention_s
    withdrawal = is_withdrawal(item.header)
    return Filed(
        item=item,
        title="Withdrawal" if withdrawal else title(item.header, item.content),
        by=peer,
        edition=release.edition,
        view=release.view,
        received_ms=now_ms,
        expires_ms=None if retention_s is None else now_ms + retention_s * SECOND_MS,
        arrival=arrival,
        place=place,
        urgency=WITHDRAWAL if withdrawal else URGENCIES[core.kinds[item.header.kind].urgency],
        hops=hops,
    )


def release_of(item: Item) -> Release:
    """The release that an arrived item names.

    Raises:
        MalformedError: it names none.
    """
    if item.header.release is None:
        raise MalformedError("is not a release.", field="item", remedy="Tell the peer.")
    return item.header.release


def _synced(core: Core, books: Books, peer: str) -> None:
    """There is no further page: whatever the peer has withdrawn is here."""
    books.move_inbound(msgspec.structs.replace(books.inbound(peer), synced_ms=core.now_ms()))
    _set_unread(books, peer, behind=False)


def acknowledge(core: Core, inbound: Inbound) -> Steps[None]:
    """Send the receipt for everything stored, and remember that it was taken."""
    peer, up_to_n = inbound.peer, inbound.next_n - 1
    packed: bool = yield Read(lambda books: link_of(books, peer).packed)
    signed = receipt(core, inbound)
    yield Ask(peer, Receipts(pack(signed) if packed else signed))

    def done(books: Books) -> None:
        now = books.inbound(peer)
        if up_to_n > now.receipted_n:
            books.move_inbound(msgspec.structs.replace(now, receipted_n=up_to_n))

    yield Write(done)


def receipt(core: Core, inbound: Inbound) -> bytes:
    """The signed receipt for what is stored of a peer's stream."""
    stored = Receipt(
        v=1,
        by=core.party,
        to=inbound.peer,
        up_to_n=inbound.next_n - 1,
        chain=inbound.chain,
        log=inbound.log,
        log_size=inbound.log_size,
        log_root=inbound.log_root.hex(),
        time_ms=core.now_ms(),
    )
    return sign_receipt(stored, core.signer)
