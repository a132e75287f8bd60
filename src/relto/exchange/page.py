"""Pages: one batch of a stream, sealed for its recipient. The same bytes go over the wire and onto a stick.

A broker that carries a page sees its recipient, its batch id and its size. Inside stand the signed batch statement,
the releaser's checkpoint with the proofs that these releases are in its log and that the log only grew, and the
releases themselves. ``open_page`` verifies all of it, or nothing of the page is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from relto.bounds import BOUNDS
from relto.clock import SECOND_MS
from relto.envelope.keys import PublicKeys, Signer
from relto.envelope.merkle import leaf_hash, root, verify_consistency, verify_range
from relto.envelope.seal import Sealed, SealingKey, closed_for, seal, unseal
from relto.errors import MalformedError, NotForUsError, ProofError, TooLargeError
from relto.exchange.messages import Batch, open_batch, sign_batch
from relto.exchange.packed import pack, unpack
from relto.item import Item, parse_item
from relto.log.checkpoint import Checkpoint, open_checkpoint
from relto.log.leaf import LeafRecord, commit, open_leaf

MAGIC = "relto-page/1"


class _Page(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    magic: str
    to: str
    batch: str
    enc: bytes
    parts: tuple[bytes, ...]


class _Manifest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    statement: bytes
    checkpoint: bytes
    run_proof: tuple[bytes, ...]
    growth_proof: tuple[bytes, ...]
    grown_from: int


class Hop(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A release before the one that travels: the header that an earlier party signed, and what proves it.

    ``index`` and ``path`` are its place and inclusion proof in the batch of ``statement``, which the node keys on
    ``card`` signed. The content is that of the release which carries the hop.
    """

    header: bytes
    statement: bytes
    card: bytes
    index: int
    path: tuple[bytes, ...]


class Sent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One release as it travels: the released header and content, and the opening of its leaf in the log.

    ``hops`` are the releases before it, the first of them first; none where one of them would tell too much.
    """

    header: bytes
    content: bytes
    record: bytes
    salt: bytes
    hops: tuple[Hop, ...] = ()


class LogProof(msgspec.Struct, frozen=True):
    """What ties a run of releases to a signed checkpoint, and that checkpoint to the one the recipient has seen."""

    checkpoint: bytes
    run_proof: tuple[bytes, ...]
    growth_proof: tuple[bytes, ...]
    grown_from: int


class Position(msgspec.Struct, frozen=True):
    """Where a recipient is in a peer's stream, and the newest checkpoint of that peer that it has verified."""

    next_n: int
    chain: str
    checkpoint: Checkpoint


class Arrived(msgspec.Struct, frozen=True):
    """A verified page: its batch, the items in the order of the stream, and what proves them later.

    ``hops`` are each item's, as they came: nothing in them is verified yet.
    """

    batch: Batch
    statement: bytes
    items: tuple[Item, ...]
    records: tuple[LeafRecord, ...]
    entries: tuple[bytes, ...]
    proof: LogProof
    position: Position
    hops: tuple[tuple[Hop, ...], ...]
    salts: tuple[bytes, ...] = ()


T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()


def log_origin(party: str, number: int = 1) -> str:
    """The origin line of a party's release log: its first, or one begun after the loss of the one before."""
    return f"relto.release/{party}" if number == 1 else f"relto.release/{party}/{number}"


def write_page(
    batch: Batch,
    releases: Sequence[Sent],
    proof: LogProof,
    *,
    node: Signer,
    recipient: bytes,
    content_key: bytes,
    packed: bool = False,
) -> tuple[bytes, bytes]:
    """Seal a batch for its recipient; returns the page and the signed batch statement.

    ``content_key`` is 32 random bytes, used once. ``packed``: for a thin link, where bytes cost more than work.
    """
    statement = sign_batch(batch, node)
    manifest = _Manifest(statement, proof.checkpoint, proof.run_proof, proof.growth_proof, proof.grown_from)
    parts = [_encoder.encode(manifest), *(_encoder.encode(each) for each in releases)]
    if packed:
        parts = [pack(each) for each in parts]
    sealed = seal(parts, recipient=recipient, context=_context(batch.to, batch.batch), content_key=content_key)
    return _encoder.encode(_Page(MAGIC, batch.to, batch.batch, sealed.enc, sealed.parts)), statement


def closed_again(page: bytes, *, recipient: bytes, content_key: bytes) -> bytes:
    """A page of our own as it is closed for a newer key of its recipient; what is inside stays as it was signed."""
    outer = _decode(page, _Page, BOUNDS.page_bytes)
    context = _context(outer.to, outer.batch)
    sealed = closed_for(Sealed(outer.enc, outer.parts), recipient=recipient, context=context, content_key=content_key)
    return _encoder.encode(_Page(MAGIC, outer.to, outer.batch, sealed.enc, sealed.parts))


def open_page(
    page: bytes, *, us: str, peer: str, keys: PublicKeys, sealing: SealingKey, position: Position, now_ms: int
) -> Arrived:
    """Open and verify the next page of a peer's stream.

    Raises:
        TooLargeError, MalformedError: over a bound, or not of its form.
        NotForUsError: for another recipient, by another party, or not the next of this stream.
        SignatureError: the seal, the statement or the checkpoint does not verify.
        ProofError: a release is not in the signed batch or the log, or the log did not only grow.
    """
    outer, parts = _unsealed(page, us, sealing)
    manifest, batch = _opened(outer, parts, us, peer, keys)
    _check_place(batch, position, now_ms)
    releases = _unpacked(parts[1:])
    items = tuple(parse_item(each.header, each.content) for each in releases)
    if root([leaf_hash(each.header) for each in releases]).hex() != batch.root:
        raise ProofError("the releases are not those of the signed root.", field="batch", remedy="Keep it as evidence.")
    entries = tuple(commit(each.record, each.salt) for each in releases)
    records = tuple(open_leaf(r.record, r.salt, e) for r, e in zip(releases, entries, strict=True))
    for n, (item, record) in enumerate(zip(items, records, strict=True), start=batch.first_n):
        _check_release(item, record, n, batch)
    checkpoint = _check_log(manifest, batch, entries, keys, position)
    return Arrived(
        batch=batch,
        statement=manifest.statement,
        items=items,
        records=records,
        entries=entries,
        proof=LogProof(manifest.checkpoint, manifest.run_proof, manifest.growth_proof, manifest.grown_from),
        position=Position(batch.last_n + 1, batch.chain, checkpoint),
        hops=tuple(each.hops for each in releases),
        salts=tuple(each.salt for each in releases),
    )


def open_batch_of(page: bytes, *, us: str, peer: str, keys: PublicKeys, sealing: SealingKey) -> tuple[Batch, bytes]:
    """Which batch of a peer's stream a page holds, and its signed statement; the releases in it are not looked at.

    Raises:
        TooLargeError, MalformedError, NotForUsError, SignatureError: as ``open_page``.
    """
    outer, parts = _unsealed(page, us, sealing)
    manifest, batch = _opened(outer, parts, us, peer, keys)
    return batch, manifest.statement


def batch_id(page: bytes) -> tuple[str, str]:
    """What anybody may read of a page: its recipient and its batch id.

    Raises:
        MalformedError: not a page.
    """
    outer = _decode(page, _Page, BOUNDS.page_bytes)
    return outer.to, outer.batch


def _context(to: str, batch: str) -> bytes:
    return f"{MAGIC}\n{to}\n{batch}".encode()


def _decode(content: bytes, form: type[T], limit_bytes: int) -> T:
    if len(content) > limit_bytes:
        raise TooLargeError(f"{len(content)} bytes, at most {limit_bytes}.", field="page", remedy="Send less.")
    try:
        value = msgspec.msgpack.decode(content, type=form)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(str(error), field="page", remedy="See docs/spec/exchange.md.") from None
    if _encoder.encode(value) != content:
        raise MalformedError("is not in its one form.", field="page", remedy="See docs/spec/exchange.md.")
    return value


def _unsealed(page: bytes, us: str, sealing: SealingKey) -> tuple[_Page, tuple[bytes, ...]]:
    outer = _decode(page, _Page, BOUNDS.page_bytes)
    if outer.magic != MAGIC or outer.to != us:
        raise NotForUsError(f"a page for {outer.to[:16]!r}.", field="page", remedy="Ask for your own stream.")
    parts = unseal(Sealed(outer.enc, outer.parts), key=sealing, context=_context(outer.to, outer.batch))
    if len(parts) < 2:
        raise MalformedError("holds no release.", field="page", remedy="Ask again.")
    return outer, parts


def _opened(outer: _Page, parts: Sequence[bytes], us: str, peer: str, keys: PublicKeys) -> tuple[_Manifest, Batch]:
    manifest = _decode(unpack(parts[0], BOUNDS.statement_bytes), _Manifest, BOUNDS.statement_bytes)
    batch, count = open_batch(manifest.statement, keys), len(parts) - 1
    if (batch.by, batch.to, batch.batch) != (peer, us, outer.batch):
        raise NotForUsError(
            f"a batch of {batch.by} for {batch.to}, not of {peer} for {us}.",
            field="batch",
            remedy="Keep it as evidence.",
        )
    if batch.count != count or count > BOUNDS.batch_items:
        raise MalformedError(f"{count} releases where {batch.count} are signed.", field="batch", remedy="Ask again.")
    return manifest, batch


def _unpacked(parts: Sequence[bytes]) -> list[Sent]:
    """The releases; unpacked, all of them together have room in a page, or a small page could fill the memory."""
    found, left_bytes = [], BOUNDS.page_bytes
    for part in parts:
        content = unpack(part, left_bytes)
        left_bytes -= len(content)
        found.append(_decode(content, Sent, BOUNDS.page_bytes))
    return found


def _check_place(batch: Batch, position: Position, now_ms: int) -> None:
    if batch.first_n != position.next_n or batch.previous != position.chain:
        raise NotForUsError(
            f"begins at {batch.first_n}, next is {position.next_n}.",
            field="batch",
            remedy="Ask after your last number.",
        )
    if batch.created_ms > now_ms + BOUNDS.future_ms:
        raise MalformedError(
            f"made {(batch.created_ms - now_ms) // SECOND_MS} s in the future.", field="batch", remedy="Compare clocks."
        )


def _check_release(item: Item, record: LeafRecord, n: int, batch: Batch) -> None:
    """The header, its place in the stream and the log's record must all speak of the same release."""
    release = item.header.release
    if release is None or (release.by, release.to) != (batch.by, batch.to):
        raise NotForUsError(f"release {n} is not of {batch.by} for {batch.to}.", field="item", remedy="Keep it.")
    told = (record.by, record.to, record.n, record.item, record.version, record.view, record.rendition)
    true = (batch.by, batch.to, n, item.header.id, item.header.version, release.view, sha256(item.header_bytes))
    if told != true or (record.agreements, record.rules) != (release.agreements, release.rules):
        raise ProofError(f"release {n} is logged as something else.", field="leaf", remedy="Keep it as evidence.")


def _check_log(
    manifest: _Manifest, batch: Batch, entries: tuple[bytes, ...], keys: PublicKeys, position: Position
) -> Checkpoint:
    checkpoint = open_checkpoint(manifest.checkpoint, keys, batch.by)
    if checkpoint.origin != position.checkpoint.origin:
        raise NotForUsError(f"a checkpoint of {checkpoint.origin!r}.", field="checkpoint", remedy="Keep it.")
    hashes = [leaf_hash(entry) for entry in entries]
    verify_range(hashes, batch.log_start, checkpoint.size, manifest.run_proof, checkpoint.root)
    seen = position.checkpoint
    if manifest.grown_from != seen.size:
        raise ProofError(
            f"grown from {manifest.grown_from}, last seen was {seen.size}.", field="checkpoint", remedy="Keep both."
        )
    verify_consistency(seen.size, seen.root, checkpoint.size, checkpoint.root, manifest.growth_proof)
    return checkpoint


def sha256(content: bytes) -> str:
    """The digest as hex."""
    return hashlib.sha256(content).hexdigest()
