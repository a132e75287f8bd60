"""Recovering: how a party that lost its node goes on with its partners, and gets back what it had released to them.

Both streams between two partners go on where the one who lost nothing says that they stand. What that partner holds of
ours comes back in the order of the stream: header and content as it has them, with the batch statement, the log's
proofs and the card under which we had signed. All of that is verified by our own keys of that time, so no partner can
give us what we never released, and leave nothing out unseen: each number of the stream is accounted for.
docs/spec/exchange.md, "After a loss".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from relto.bounds import BOUNDS
from relto.clock import SECOND_MS
from relto.envelope.card import PartyCard, signed_card
from relto.envelope.keys import fingerprint
from relto.envelope.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    leaf_hash,
    root,
    root_nodes,
    verify_consistency,
    verify_range,
)
from relto.errors import MalformedError, NotForUsError, ProofError, TooLargeError
from relto.exchange import filing
from relto.exchange.books import RETURNED, ROUTINE, WITHDRAWAL, Arrival, Books, Filed, Floor, Released, Stream
from relto.exchange.cards import OWN_CARD, signed_card_of
from relto.exchange.core import HALTED, LOG_NUMBER, Core, halted, log_number
from relto.exchange.messages import FIRST_CHAIN, Batch, open_batch
from relto.exchange.page import LogProof, log_origin, sha256
from relto.exchange.resuming import RESTORED, awaited, heard, resuming
from relto.exchange.share import level_of
from relto.exchange.steps import Ask, Read, Returns, Steps, Write
from relto.exchange.withdraw import is_withdrawal, open_withdrawal
from relto.formats.arriving import title
from relto.item import Header, Item, parse_item
from relto.log.checkpoint import Checkpoint, open_checkpoint
from relto.log.leaf import LeafRecord, open_leaf, record_bytes
from relto.release.reasons import AS_HELD
from relto.strict import canonical

T = TypeVar("T")

_STEP = 16
_COUNTS = "returned:"
_encoder = msgspec.msgpack.Encoder()


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a stream stands: the next number, the chain value before it, and the head of the log that goes with it."""

    next_n: int
    chain: str
    log: int
    size: int
    root: bytes


class Returned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One batch that we had released, as its recipient holds it: what proves it, and what is left of its items.

    ``items`` are (place in the batch, header, content); what is over its retention or was withdrawn is not there.
    """

    card: bytes
    hashes: bytes
    statement: bytes
    proof: bytes
    entries: bytes
    records: bytes
    salts: bytes
    received_ms: int
    items: tuple[tuple[int, bytes, bytes], ...]


class ReturnedPage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Some batches in the order of the stream. An empty page is the end."""

    v: int
    batches: tuple[Returned, ...]


class Counts(msgspec.Struct, frozen=True):
    """What came back from one partner, release by release; they add up to ``releases``.

    ``originals`` are whole, byte for byte as we had them; ``renditions`` less than whole; ``withdrawals`` our own
    statements; ``passed_on`` other parties' items; ``void`` was signed by keys that were void already; ``missing`` the
    partner holds no more.
    """

    releases: int = 0
    originals: int = 0
    renditions: int = 0
    withdrawals: int = 0
    passed_on: int = 0
    void: int = 0
    missing: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Counts(*(a + b for a, b in pairs))


# --- what a partner answers ---


def stored_place(books: Books, peer: str) -> Place:
    """How far the asker's stream is stored here."""
    inbound = books.inbound(peer)
    return Place(inbound.next_n, inbound.chain, inbound.log, inbound.log_size, inbound.log_root)


def sent_place(books: Books, peer: str) -> Place | None:
    """Where our stream to the asker goes on: behind what it has receipted."""
    stream = books.stream(peer)
    if stream is None:
        return None
    waiting = books.page_keys(peer)
    size = waiting[0].grown_from if waiting else stream.log_size
    chain = books.chain_at(peer, stream.receipted_n) if stream.receipted_n else FIRST_CHAIN
    if chain is None or size > books.head().size:
        return None
    found = root_nodes(books.log_nodes(), size) if size else EMPTY_ROOT
    return Place(stream.receipted_n + 1, chain, log_number(books), size, found)


def returns(books: Books, peer: str, after_n: int) -> bytes:
    """What we hold of the asker's releases to us; also in quarantine, for it is the asker's own information."""
    batches: list[Returned] = []
    size_bytes = 0
    for number, arrival in books.arrivals_after(peer, after_n, _STEP):
        found = _returned(books, number, arrival)
        size_bytes += sum(len(header) + len(content) for _, header, content in found.items) + len(found.proof)
        if batches and size_bytes > BOUNDS.returns_bytes:
            break
        batches.append(found)
    return _encoder.encode(ReturnedPage(1, tuple(batches)))


def _returned(books: Books, number: int, arrival: Arrival) -> Returned:
    items = [
        (stored.place, stored.header, stored.content)
        for stored in books.arrived(number)
        if stored.header and stored.place is not None and stored.standing != "revoked"
    ]
    return Returned(
        card=arrival.card,
        hashes=arrival.hashes,
        statement=arrival.statement,
        proof=arrival.proof,
        entries=arrival.entries,
        records=arrival.records,
        salts=arrival.salts,
        received_ms=arrival.received_ms,
        items=tuple(items),
    )


# --- what we do with it ---


def resume(core: Core, peer: str, stored: Place | None, sent: Place | None) -> Steps[None]:
    """Compare with a partner after a loss, get back what it holds of ours, and go on with it; else do nothing.

    Raises:
        PeerError: what it tells does not prove; nothing goes to it, and nothing of it is taken, until it does.
    """
    if stored is None or not (yield Read(lambda books: awaited(books, peer))):
        return
    known: Stream = yield Write(lambda books: _stream(books, peer))
    while known.next_n < stored.next_n:
        after_n = known.next_n - 1
        content: bytes = yield Ask(peer, Returns(after_n))
        batches = _parse(content)
        known = yield Write(lambda books, found=batches: _take_back(core, books, peer, found))  # type: ignore[misc]
        if known.next_n - 1 == after_n:
            raise MalformedError(
                f"says that it has {stored.next_n - 1} releases of ours, and returns {after_n}.",
                field="returns",
                remedy="Compare with the partner: what is missing is not accounted for.",
            )
    place = stored
    yield Write(lambda books: _go_on(core, books, peer, place, sent))


def _stream(books: Books, peer: str) -> Stream:
    newest = books.last_seq()
    books.open_stream(Stream(peer, newest, newest, 1, FIRST_CHAIN, 0, 0))
    stream = books.stream(peer)
    if stream is None:
        raise MalformedError("has no stream.", field=peer, remedy="Report this.")
    return stream


def _go_on(core: Core, books: Books, peer: str, stored: Place, sent: Place | None) -> None:
    """Take both streams up where the partner says that they stand, if our log can be continued for it."""
    now, stream = resuming(books), _stream(books, peer)
    if now is None or stored.log != log_number(books):
        return  # it does not have our newest card yet
    if not _one_log(books, stored):
        if halted(books).startswith(RESTORED):
            text = (
                f"{RESTORED}{peer} has seen release log {stored.log} at size {stored.size}, "
                "which is not in the log here: begin a new one with relto partner invite --new-log"
            )
            books.put_setting(HALTED, text.encode())
        return
    if _chain_before(books, stream, stored.next_n) != stored.chain:
        raise ProofError("stands in our stream where that never was.", field="stored", remedy="Keep it as evidence.")
    if now.remake:
        _remake(core, books, stream, stored)
    if now.adopt and sent is not None:
        _adopt(books, peer, sent)
    heard(books, peer)


def _chain_before(books: Books, stream: Stream, n: int) -> str | None:
    if n == stream.next_n:
        return stream.chain
    return books.chain_at(stream.recipient, n - 1) if n > 1 else FIRST_CHAIN


def _one_log(books: Books, stored: Place) -> bool:
    """Whether the head that the partner has seen is in our log as it is here."""
    if stored.size > books.head().size:
        return False
    return stored.size == 0 or root_nodes(books.log_nodes(), stored.size) == stored.root


def _remake(core: Core, books: Books, stream: Stream, stored: Place) -> None:
    """Take back the pages that did not arrive, and queue what was in them anew."""
    items = books.drop_unreceived(stream.recipient, stored.next_n - 1)
    books.defer(stream.recipient, [(seq, core.now_ms()) for seq in dict.fromkeys(items) if seq])
    books.advance(
        msgspec.structs.replace(
            stream,
            next_n=stored.next_n,
            chain=stored.chain,
            log_size=stored.size,
            receipted_n=stored.next_n - 1,
        )
    )


def _adopt(books: Books, peer: str, sent: Place) -> None:
    """Go on in the peer's stream behind the pages that are closed for keys we no longer have."""
    before = books.inbound(peer)
    if sent.next_n > before.next_n:
        moved = msgspec.structs.replace(
            before,
            next_n=sent.next_n,
            chain=sent.chain,
            log=sent.log,
            log_size=sent.size,
            log_root=sent.root,
            receipted_n=sent.next_n - 1,
        )
        books.move_inbound(moved)


def _parse(content: bytes) -> tuple[Returned, ...]:
    if len(content) > BOUNDS.page_bytes:
        raise TooLargeError(f"{len(content)} bytes.", field="returns", remedy="Tell the peer.")
    try:
        page = msgspec.msgpack.decode(content, type=ReturnedPage)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(str(error), field="returns", remedy="See docs/spec/exchange.md.") from None
    return page.batches


class _Verified(msgspec.Struct, frozen=True):
    """One batch of ours that came back, with everything in it checked.

    ``proven``: the log's entries open to the records. Else these are the partner's word, and nothing rests on them.
    """

    batch: Batch
    card: PartyCard
    checkpoint: Checkpoint
    records: tuple[LeafRecord, ...]
    proven: bool
    items: tuple[tuple[int, Item], ...]
    void: bool


def _take_back(core: Core, books: Books, peer: str, batches: Sequence[Returned]) -> Stream:
    """Verify and store what came back, and move our stream behind it. Only what is next in it is taken."""
    stream = _stream(books, peer)
    counts = counted(books, peer)
    seen: tuple[int, int, bytes] | None = None
    for returned in batches:
        found = verified(core, books, peer, returned)
        if (found.batch.first_n, found.batch.previous) != (stream.next_n, stream.chain):
            raise ProofError(
                f"a batch from {found.batch.first_n} on is not the next of our stream.",
                field="returns",
                remedy="Keep it as evidence.",
            )
        _check_growth(found, returned, seen)
        seen = (found.card.log, found.checkpoint.size, found.checkpoint.root)
        counts = counts.plus(_store(core, books, peer, found))
        stream = msgspec.structs.replace(
            stream,
            next_n=found.batch.last_n + 1,
            chain=found.batch.chain,
            log_size=0,
            receipted_n=found.batch.last_n,
        )
    books.advance(stream)
    books.put_setting(_COUNTS + peer, msgspec.json.encode(counts))
    return stream


def counted(books: Books, peer: str) -> Counts:
    """What came back from a partner so far."""
    kept = books.secret(_COUNTS + peer)
    return msgspec.json.decode(kept, type=Counts) if kept else Counts()


def verified(core: Core, books: Books, peer: str, returned: Returned) -> _Verified:
    """Check a batch that came back by our own keys of the time when it was made.

    Raises:
        SignatureError: we did not sign it. ProofError: header, batch or log do not fit together.
        NotForUsError: it was for somebody else. MalformedError: another form.
    """
    card = signed_card(returned.card, pinned=fingerprint(core.authority))
    batch = open_batch(returned.statement, card.node)
    if card.party != core.party or (batch.by, batch.to) != (core.party, peer):
        raise NotForUsError("is not of our stream to the partner.", field="returns", remedy="Keep it as evidence.")
    hashes, entries = _split(returned.hashes), _split(returned.entries)
    if len(hashes) != batch.count or len(entries) != batch.count or root(hashes).hex() != batch.root:
        raise ProofError("the releases are not those of the signed root.", field="returns", remedy="Keep it.")
    proof = _decoded(returned.proof, LogProof)
    checkpoint = open_checkpoint(proof.checkpoint, card.node, core.party)
    if checkpoint.origin != log_origin(core.party, card.log):
        raise NotForUsError(f"a checkpoint of {checkpoint.origin!r}.", field="returns", remedy="Keep it.")
    leaves = [leaf_hash(entry) for entry in entries]
    verify_range(leaves, batch.log_start, checkpoint.size, proof.run_proof, checkpoint.root)
    items = tuple(_item(batch, hashes, place, header, content) for place, header, content in returned.items)
    records = _decoded(returned.records, tuple[LeafRecord, ...])
    if len(records) != batch.count or len({place for place, _ in items}) != len(items):
        raise MalformedError("is not of its form.", field="returns", remedy="Tell the peer.")
    for (place, item), record in ((each, records[each[0]]) for each in items):
        if (record.n, record.rendition) != (batch.first_n + place, sha256(item.header_bytes)):
            raise ProofError("a release came back with another's record.", field="returns", remedy="Keep it.")
    own = books.secret(OWN_CARD)
    since_ms = signed_card_of(own).void_since_ms(card.node) if own else None
    void = since_ms is not None and returned.received_ms >= since_ms
    return _Verified(batch, card, checkpoint, records, _open_all(records, entries, returned.salts), items, void)


def _open_all(records: Sequence[LeafRecord], entries: Sequence[bytes], salts: bytes) -> bool:
    """Open each entry of the log to its record; False if the partner kept no salts, as before there were any.

    Raises:
        ProofError: an entry is of another record.
    """
    if not salts:
        return False
    for record, entry, salt in zip(records, entries, _split(salts), strict=True):
        open_leaf(record_bytes(record), salt, entry)
    return True


def _item(batch: Batch, hashes: Sequence[bytes], place: int, header: bytes, content: bytes) -> tuple[int, Item]:
    item = parse_item(header, content)
    release = item.header.release
    if not 0 <= place < len(hashes) or leaf_hash(header) != hashes[place]:
        raise ProofError("an item is not in the batch with which it came back.", field="returns", remedy="Keep it.")
    if release is None or (release.by, release.to) != (batch.by, batch.to):
        raise ProofError("an item was not released to the partner.", field="returns", remedy="Keep it as evidence.")
    return place, item


def _split(joined: bytes) -> list[bytes]:
    if not joined or len(joined) % HASH_BYTES:
        raise MalformedError("is no list of hashes.", field="returns", remedy="Tell the peer.")
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def _decoded(content: bytes, form: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(content, type=form)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(str(error), field="returns", remedy="See docs/spec/exchange.md.") from None


def _check_growth(found: _Verified, returned: Returned, seen: tuple[int, int, bytes] | None) -> None:
    """The heads under which two batches came, one after the other, are of one log that only grew."""
    if seen is None or seen[0] != found.card.log:
        return
    proof = _decoded(returned.proof, LogProof)
    if proof.grown_from != seen[1]:
        raise ProofError("grew from another head than the one before.", field="returns", remedy="Keep it as evidence.")
    verify_consistency(seen[1], seen[2], found.checkpoint.size, found.checkpoint.root, proof.growth_proof)


def _store(core: Core, books: Books, peer: str, found: _Verified) -> Counts:
    """Store what came back, and remember that the partner had it."""
    count = found.batch.count
    if found.void:
        return Counts(releases=count, void=count)
    counts = Counts(releases=count, missing=count - len(found.items))
    for place, item in found.items:
        counts = counts.plus(_keep(core, books, peer, found, place, item))
    headers = {place: item.header for place, item in found.items}
    books.add_releases([_row(peer, found, place, headers.get(place)) for place in range(count)])
    return counts


def _row(peer: str, found: _Verified, place: int, header: Header | None) -> Released:
    """What we remember of a release that we made before the loss; of one that nobody holds, what its record says."""
    record = found.records[place]
    kept_s = header.release.duties.retention_s if header and header.release else None
    return Released(
        recipient=peer,
        n=found.batch.first_n + place,
        item=0,
        leaf=found.batch.log_start + place,
        id=record.item,
        version=record.version,
        view=record.view,
        released_ms=record.time_ms,
        expires_ms=None if kept_s is None else record.time_ms + kept_s * SECOND_MS,
        level=level_of(header) if header else "",
        originators=" ".join(header.label.originators) if header else "",
        log=found.card.log,
    )


def _keep(core: Core, books: Books, peer: str, found: _Verified, place: int, item: Item) -> Counts:
    header, record = item.header, found.records[place]
    original = _original(header, item.content)
    if header.origin != core.party:
        return Counts(passed_on=1)
    if is_withdrawal(header):
        if item.content:
            open_withdrawal(item.content, header, found.card.node)
            books.insert_items([Filed(original, "Withdrawal", view="nothing", urgency=WITHDRAWAL)])
            filing.bury(books, header.id, header.version, by="", party=core.party, whole=True)
        return Counts(withdrawals=1)
    whole = found.proven and record.verdict == "FULL" and record.reasons == (AS_HELD,)
    release = header.release
    at_ms = release.time_ms if release else core.now_ms()
    now = resuming(books)
    urgency = ROUTINE if whole and now is not None and not now.rebuilt else RETURNED
    filed = Filed(original, title(header, item.content), received_ms=at_ms, urgency=urgency)
    if not whole:
        view = release.view if release else "full"
        filed = Filed(item, filed.title, by=peer, view=view, received_ms=at_ms, urgency=urgency)
        books.insert_items([filed])
        books.raise_floors([Floor(core.party, header.id, header.version)])
        return Counts(renditions=1)
    filing.file(books, [filed])
    return Counts(originals=1)


def _original(header: Header, content: bytes) -> Item:
    """The item without its release: for one that was released as it was held, the very bytes of the original."""
    bare = msgspec.structs.replace(header, release=None)
    return Item(bare, canonical(bare), content)


def begin_log(books: Books, number: int) -> None:
    """Put our release log away and begin another, under a new card: the old one cannot be continued, or not proven."""
    if number == log_number(books):
        return
    books.close_log(log_number(books))
    books.put_setting(LOG_NUMBER, str(number).encode())
    for stream in books.all_streams():
        books.advance(msgspec.structs.replace(stream, log_size=0))
    if halted(books).startswith(RESTORED):
        books.put_setting(HALTED, b"")
