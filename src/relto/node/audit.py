"""Auditing: publish the log, check it, and prove single items to anybody, offline."""

from __future__ import annotations

import base64
import contextlib
import os
from pathlib import Path

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.card import PartyCard, signed_card
from relto.envelope.merkle import HASH_BYTES, NodeReader, leaf_hash, verify_inclusion, verify_range
from relto.errors import MalformedError, OurError, ProofError
from relto.exchange import heads
from relto.exchange.books import Arrival, Released, Stored
from relto.exchange.core import halted, log_number
from relto.exchange.messages import open_batch
from relto.exchange.page import Hop, LogProof, log_origin
from relto.exchange.provenance import Passage, hop_of, read_hops
from relto.exchange.provenance import verify as verify_hops
from relto.item import Header, parse_item
from relto.labels import banner, overall
from relto.log.checkpoint import open_checkpoint
from relto.log.leaf import LeafRecord, open_leaf, policy_commitment
from relto.log.tiles import check, node_reader
from relto.node.home import LOG
from relto.node.node import Node
from relto.store.books import SqlBooks
from relto.strict import canonical, parse_canonical

PROOF_FORMAT = "relto-item/1"
CHECKPOINT = "checkpoint"
_STEP = 5000


class ProvenHop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release before the one that is proven: its header and what proves it, base64."""

    header: str
    statement: str
    card: str
    index: int
    path: tuple[str, ...]


class ProvenItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A released item with everything that proves it: a file for auditors and courts. Bytes are base64."""

    format: str
    header: str
    content: str
    card: str
    statement: str
    index: int
    path: tuple[str, ...]
    checkpoint: str
    log_start: int
    entries: tuple[str, ...]
    run_proof: tuple[str, ...]
    hops: tuple[ProvenHop, ...]


class Verified(msgspec.Struct, frozen=True):
    """What a proven item says, after every signature and proof in it has been checked.

    ``hops`` are the releases by which it came to ``by``, the first of them first; their keys stand in the file.
    """

    header: Header
    by: str
    to: str
    n: int
    log_index: int
    marking: str
    fingerprint_checked: bool
    hops: tuple[Passage, ...] = ()


class LogCheck(msgspec.Struct, frozen=True):
    """The result of recomputing a log: its size, and its root as hex."""

    size: int
    root: str


def check_log(node: Node) -> LogCheck:
    """Recompute the whole log of a node: every record opens its entry, every tile follows, the signed head fits.

    Raises:
        ProofError, SignatureError: names the first thing that is wrong.
    """
    with node.store.read() as books:
        head = books.head()
        if head.size:
            note = open_checkpoint(head.note, node.signer.public, node.party)
            if (note.size, note.root, note.origin) != (head.size, head.root, log_origin(node.party, log_number(books))):
                raise ProofError(
                    "the signed head is another.", field="checkpoint", remedy="Keep the store as evidence."
                )
        check(head.size, head.root, books.tile, books.tile)
        _check_leaves(books, head.size, node_reader(head.size, books.tile))
    return LogCheck(head.size, head.root.hex())


def _check_leaves(books: SqlBooks, size: int, read: NodeReader) -> None:
    """Hold the store's leaves against the tiles, which have been checked up to the signed root: all, and no others."""
    for start in range(0, size + 1, _STEP):
        found = books.opened(start, _STEP)
        if [index for index, _, _ in found] != list(range(start, min(start + _STEP, size))):
            raise _wrong_leaf(f"{start} and on", "are not those that the signed head counts.")
        for index, entry, leaf in found:
            if leaf_hash(entry) != read(0, index):
                raise _wrong_leaf(str(index), "is another than the tiles hold.")
            record = open_leaf(leaf.record, leaf.salt, entry)
            if record.policy != policy_commitment(leaf.policy_sha256, leaf.policy_salt):
                raise _wrong_leaf(str(index), "names another policy than it commits to.")


def _wrong_leaf(which: str, reason: str) -> ProofError:
    return ProofError(reason, field=f"leaf {which}", remedy="Keep the store as evidence.")


def publish_log(node: Node) -> int:
    """Write tiles and checkpoint as files below ``log/`` where they changed; the checkpoint last. Returns its size."""
    target = node.home / LOG
    with node.store.read() as books:
        head = books.head()
        if head.size and not halted(books):
            _put_by(target, log_origin(node.party, log_number(books)))
        published = _published_size(target)
        if head.size in (0, published) or halted(books):
            return head.size
        for path in books.tile_paths():
            content = books.tile(path)
            if content is not None and not _same(target / path, content):
                _place(target / path, content)
    _place(target / CHECKPOINT, head.note)
    return head.size


def check_published(node: Node) -> None:
    """Hold what was published against the store, before anything is released: a store that was put back halts."""
    with contextlib.suppress(OSError):
        note = (node.home / LOG / CHECKPOINT).read_bytes()
        node.store.write(lambda books: heads.check_own(node.core, books, note))


def _put_by(target: Path, origin: str) -> None:
    """A log that was lost stays published under another name when the next one begins."""
    with contextlib.suppress(OSError):
        before = (target / CHECKPOINT).read_text("utf-8").split("\n")[0]
        if before != origin:
            number = before.rpartition("/")[2] if before.count("/") > 1 else "1"
            target.rename(target.with_name(f"{LOG}-{number}"))


def _published_size(target: Path) -> int:
    try:
        return int((target / CHECKPOINT).read_text("utf-8").split("\n")[1])
    except (OSError, ValueError, IndexError):
        return 0


def _same(path: Path, content: bytes) -> bool:
    return path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content


def _place(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def prove(node: Node, item_id: str) -> bytes:
    """The proven form of an item that a partner released to us.

    Raises:
        OurError: nothing released to us is held under this id.
    """
    reading = node.reading()
    with node.store.read() as books:
        held = [each for each in books.find(item_id, reading) if each.arrival is not None]
        if not held:
            raise OurError("no release to us is held under this id.", field=item_id, remedy="See: relto ls.")
        return prove_stored(books, held[0])


def prove_stored(books: SqlBooks, stored: Stored) -> bytes:
    """The proven form of one row that a partner released to us, whether it may be read or not.

    Raises:
        OurError: its proof is not held.
    """
    arrival = books.arrival(stored.arrival or 0)
    if arrival is None or stored.place is None:
        raise OurError("its proof is not held.", field="item", remedy="Restore the store from its backup.")
    return canonical(_proven(stored, stored.place, arrival))


def _proven(stored: Stored, place: int, arrival: Arrival) -> ProvenItem:
    proof = msgspec.msgpack.decode(arrival.proof, type=LogProof)
    statement = open_batch(arrival.statement, signed_card(arrival.card, pinned=None).node)
    last = hop_of(stored.header, place, arrival)
    return ProvenItem(
        format=PROOF_FORMAT,
        header=_text(stored.header),
        content=_text(stored.content),
        card=_text(arrival.card),
        statement=_text(arrival.statement),
        index=place,
        path=tuple(_text(each) for each in last.path),
        checkpoint=_text(proof.checkpoint),
        log_start=statement.log_start,
        entries=tuple(_text(entry) for entry in _hashes(arrival.entries)),
        run_proof=tuple(_text(each) for each in proof.run_proof),
        hops=tuple(_written(hop) for hop in read_hops(stored.hops)),
    )


def _written(hop: Hop) -> ProvenHop:
    path = tuple(_text(each) for each in hop.path)
    return ProvenHop(_text(hop.header), _text(hop.statement), _text(hop.card), hop.index, path)


def _hop(written: ProvenHop) -> Hop:
    path = tuple(_bytes(each) for each in written.path)
    return Hop(_bytes(written.header), _bytes(written.statement), _bytes(written.card), written.index, path)


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def verify(content: bytes, *, pinned: str | None = None) -> Verified:
    """Verify a proven item with nothing but the file: signatures, inclusion, log, and the binding of label to content.

    With ``pinned``, the authority keys of the releasing party must have this fingerprint; without it the file proves
    only that whoever holds the keys in it released the item, and the result says so.

    Raises:
        PeerError: the first thing in it that does not hold.
    """
    proven = parse_canonical(content, ProvenItem, limit_bytes=BOUNDS.page_bytes)
    if proven.format != PROOF_FORMAT:
        raise MalformedError(f"is {proven.format[:40]!r}.", field="format", remedy=f"This reads {PROOF_FORMAT}.")
    card = signed_card(_bytes(proven.card), pinned=pinned)
    item = parse_item(_bytes(proven.header), _bytes(proven.content))
    statement = open_batch(_bytes(proven.statement), card.node)
    path = tuple(_bytes(each) for each in proven.path)
    verify_inclusion(leaf_hash(item.header_bytes), proven.index, statement.count, path, bytes.fromhex(statement.root))
    release = item.header.release
    if release is None or (release.by, release.to) != (statement.by, statement.to) or statement.by != card.party:
        raise ProofError("item, statement and card speak of different parties.", field="release", remedy="Keep it.")
    _verify_log(proven, card, statement.count, statement.log_start)
    return Verified(
        header=item.header,
        by=statement.by,
        to=statement.to,
        n=statement.first_n + proven.index,
        log_index=statement.log_start + proven.index,
        marking=banner(overall(item.header.label)),
        fingerprint_checked=pinned is not None,
        hops=verify_hops(tuple(map(_hop, proven.hops)), item.header, lambda _: None),
    )


def _verify_log(proven: ProvenItem, card: PartyCard, count: int, log_start: int) -> None:
    checkpoint = open_checkpoint(_bytes(proven.checkpoint), card.node, card.party)
    if checkpoint.origin != log_origin(card.party) or len(proven.entries) != count or proven.log_start != log_start:
        raise ProofError("the log proof is of another batch.", field="checkpoint", remedy="Keep it as evidence.")
    hashes = [leaf_hash(_bytes(entry)) for entry in proven.entries]
    verify_range(hashes, log_start, checkpoint.size, [_bytes(each) for each in proven.run_proof], checkpoint.root)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise MalformedError("is not base64.", field="proven item", remedy="Copy the file again.") from None


class Exposure(msgspec.Struct, frozen=True):
    """One line of who ever got an item: the release, whether it was receipted, the record of a log that is not lost."""

    release: Released
    receipted: bool
    record: LeafRecord | None


def who_has(node: Node, item_id: str) -> tuple[Exposure, ...]:
    """Everybody to whom this node ever released an item; also of one that is long over or withdrawn."""
    found = []
    with node.store.read() as books:
        streams = {each.recipient: each for each in books.all_streams()}
        for release in books.releases_of(item_id):
            receipted = release.n <= streams[release.recipient].receipted_n
            found.append(Exposure(release, receipted, _record(books, release)))
    return tuple(found)


def _record(books: SqlBooks, release: Released) -> LeafRecord | None:
    """What the log says of a release; None where that log was lost."""
    now = release.log == log_number(books)
    opened = books.opened(release.leaf, 1) if now else books.opened_past(release.log, release.leaf)
    return next((open_leaf(leaf.record, leaf.salt, entry) for _, entry, leaf in opened), None)
