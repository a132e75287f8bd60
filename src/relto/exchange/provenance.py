"""Provenance: the releases by which an item came before the one that travels. docs/spec/exchange.md, "Provenance".

A hop is the header that an earlier party signed, its place in that party's batch, and the card under which it was
signed. Hops go along only where nothing was taken out, since an earlier header would tell what was, and only to a party
of every agreement that they name, since others are not told that it exists. What a hop proves holds whoever carries it.
A chain that does not verify stops no stream: the item is kept as the releaser's own word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.card import PartyCard, signed_card
from relto.envelope.keys import PublicKeys, fingerprint
from relto.envelope.merkle import HASH_BYTES, inclusion_proof, leaf_hash, verify_inclusion
from relto.errors import NotForUsError, PeerError, ProofError, TooLargeError
from relto.exchange.books import Arrival, Books, Stored
from relto.exchange.core import Core
from relto.exchange.messages import Batch, open_batch
from relto.exchange.page import Arrived, Hop
from relto.item import Header, Release
from relto.labels import Handling, Marking
from relto.release.render import Rendition
from relto.strict import parse_canonical

_encoder = msgspec.msgpack.Encoder()
_hops = msgspec.msgpack.Decoder(tuple[Hop, ...])
_header = msgspec.json.Decoder(Header)

FingerprintOf = Callable[[str], str | None]


class Passage(msgspec.Struct, frozen=True):
    """One verified hop: who released the item to whom, when, and how it was marked then.

    ``known``: the keys are those of a partner of ours whose fingerprint people have compared. If not, whoever holds
    the keys with this fingerprint signed it.
    """

    by: str
    to: str
    time_ms: int
    markings: tuple[Marking, ...]
    fingerprint: str
    known: bool


class Chain(msgspec.Struct, frozen=True):
    """The hops of one arrived item as they are kept; empty, with the fault, where they do not verify."""

    hops: bytes = b""
    fault: str = ""
    refused: bytes = b""


def hops_for(
    core: Core, books: Books, stored: Stored, arrival: Arrival | None, rendition: Rendition, recipient: str
) -> tuple[Hop, ...]:
    """The hops that go along with what a recipient gets of an item; none for our own, or where they would tell more."""
    whole = rendition.decision.verdict == "FULL" and rendition.content == stored.content
    if not stored.by or arrival is None or stored.place is None or not whole:
        return ()
    hops = (*read_hops(stored.hops), hop_of(stored.header, stored.place, arrival))
    headers = [_header.decode(hop.header) for hop in hops]
    return hops if len(hops) <= BOUNDS.hops and _may_know(core, books, headers, recipient) else ()


def _may_know(core: Core, books: Books, headers: Iterable[Header], recipient: str) -> bool:
    """Whether the recipient is a party of every agreement that these headers name."""
    held = {each.terms.ref: each.terms for each in core.rules(books).standings}
    named = {ref for header in headers if header.release for ref in header.release.agreements}
    return all(ref in held and held[ref].party(recipient) is not None for ref in named)


def size_bytes(hop: Hop) -> int:
    """What a hop adds to a page."""
    return len(hop.header) + len(hop.statement) + len(hop.card) + HASH_BYTES * len(hop.path)


def read_hops(stored: bytes) -> tuple[Hop, ...]:
    """The hops that are kept with an item."""
    return _hops.decode(stored) if stored else ()


def hop_of(header: bytes, place: int, arrival: Arrival) -> Hop:
    """The hop by which an item came to us, from what proves its arrival."""
    hashes = [arrival.hashes[at : at + HASH_BYTES] for at in range(0, len(arrival.hashes), HASH_BYTES)]
    return Hop(header, arrival.statement, arrival.card, place, tuple(inclusion_proof(hashes, place)))


def chains(books: Books, arrived: Arrived) -> tuple[Chain, ...]:
    """The verified hops of every item of a page, in its order."""
    known = fingerprints(books)
    return tuple(_chain(hops, item.header, known) for item, hops in zip(arrived.items, arrived.hops, strict=True))


def _chain(hops: tuple[Hop, ...], header: Header, known: FingerprintOf) -> Chain:
    if not hops:
        return Chain()
    try:
        verify(hops, header, known)
    except PeerError as error:  # INVARIANT: a bad chain costs the item its provenance and stops no stream
        return Chain(fault=str(error), refused=_encoder.encode(hops[: BOUNDS.hops])[: BOUNDS.statement_bytes])
    return Chain(_encoder.encode(hops))


def fingerprints(books: Books) -> FingerprintOf:
    """The fingerprints by which our partners were accepted."""
    return {each.party: each.fingerprint for each in books.partners()}.get


def verify(hops: tuple[Hop, ...], header: Header, fingerprint_of: FingerprintOf) -> tuple[Passage, ...]:
    """Verify the hops before a release, the first of them first.

    ``fingerprint_of`` gives the fingerprint of a partner's keys, or None for a party that is not known: its hop then
    proves only that whoever holds the keys on the card signed it, and says so.

    Raises:
        PeerError: the first thing in them that does not hold.
    """
    if len(hops) > BOUNDS.hops:
        raise TooLargeError(f"{len(hops)} hops, at most {BOUNDS.hops}.", field="hops", remedy="Tell the peer.")
    later, found = header, []
    for hop in reversed(hops):
        passage, later = _verified(hop, later, fingerprint_of)
        found.append(passage)
    return tuple(reversed(found))


def _verified(hop: Hop, later: Header, fingerprint_of: FingerprintOf) -> tuple[Passage, Header]:
    header = parse_canonical(hop.header, Header, limit_bytes=BOUNDS.header_bytes)
    before, after = header.release, later.release
    if before is None or after is None or before.to != after.by:
        raise NotForUsError("does not lead to the next release.", field="hop", remedy="Keep it as evidence.")
    if not continues(header, later):
        raise ProofError(f"{after.by} released something else.", field="hop", remedy="Keep it as evidence.")
    _check_passable(header, before, after)
    pinned = fingerprint_of(before.by)
    card = _signed(hop.card, pinned)
    batch = _opened(hop.statement, card.node)
    if (card.party, batch.by, batch.to) != (before.by, before.by, before.to):
        raise NotForUsError("is signed for other parties.", field="hop", remedy="Keep it as evidence.")
    verify_inclusion(leaf_hash(hop.header), hop.index, batch.count, hop.path, bytes.fromhex(batch.root))
    markings = header.label.handling.markings
    return Passage(
        before.by, before.to, before.time_ms, markings, fingerprint(card.authority), pinned is not None
    ), header


def continues(earlier: Header, later: Header) -> bool:
    """Whether a release is the earlier one passed on whole: everything equal, but that markings may have been added."""
    kept = set(earlier.label.handling.markings) <= set(later.label.handling.markings)
    return kept and _bare(earlier) == _bare(later)


def _bare(header: Header) -> Header:
    handling: Handling = msgspec.structs.replace(header.label.handling, markings=())
    label = msgspec.structs.replace(header.label, handling=handling)
    return msgspec.structs.replace(header, label=label, release=None)


def _check_passable(header: Header, before: Release, after: Release) -> None:
    """Who passed it on must have been allowed to, by the very terms on which it came."""
    others = {header.origin, *header.label.originators} - {after.by, after.to}
    onward = before.duties.onward
    if others and not (onward.rule == "list" and after.to in onward.to):
        raise NotForUsError(
            f"{before.by} did not let {after.by} pass it on to {after.to}.",
            field="hop",
            remedy="Tell the originator; keep it as evidence.",
        )


@lru_cache(maxsize=BOUNDS.partners)
def _signed(card: bytes, pinned: str | None) -> PartyCard:
    """A card, whatever its time: what was signed while it was good stays signed."""
    return signed_card(card, pinned=pinned)


@lru_cache(maxsize=BOUNDS.partners)
def _opened(statement: bytes, keys: PublicKeys) -> Batch:
    """A batch statement; the items of one batch share it."""
    return open_batch(statement, keys)
