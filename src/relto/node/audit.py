"""Auditing: publish the log, check it, and prove single items to anybody, offline."""

from __future__ import annotations

import base64
import os
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from relto.bounds import BOUNDS
from relto.envelope.card import PartyCard, signed_card
from relto.envelope.merkle import HASH_BYTES, NodeReader, inclusion_proof, leaf_hash, verify_inclusion, verify_range
from relto.errors import MalformedError, OurError, ProofError
from relto.exchange.messages import open_batch
from relto.exchange.page import LogProof, log_origin
from relto.item import Header, parse_item
from relto.labels import banner, overall
from relto.log.checkpoint import open_checkpoint
from relto.log.leaf import LeafRecord, open_leaf, policy_commitment
from relto.log.tiles import check, node_reader
from relto.node.home import LOG
from relto.node.node import Node
from relto.store import records, releaselog, streams
from relto.store.records import Stored
from relto.strict import canonical, parse_canonical

PROOF_FORMAT = "relto-item/1"
CHECKPOINT = "checkpoint"
_STEP = 5000


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


class Verified(msgspec.Struct, frozen=True):
    """What a proven item says, after every signature and proof in it has been checked."""

    header: Header
    by: str
    to: str
    n: int
    log_index: int
    marking: str
    fingerprint_checked: bool


class LogCheck(msgspec.Struct, frozen=True):
    """The result of recomputing a log: its size, and its root as hex."""

    size: int
    root: str


def check_log(node: Node) -> LogCheck:
    """Recompute the whole log of a node: every record opens its entry, every tile follows, the signed head fits.

    Raises:
        ProofError, SignatureError: names the first thing that is wrong.
    """
    with node.database.read() as connection:
        read_tile = partial(releaselog.tile, connection)
        head = releaselog.head(connection)
        if head.size:
            note = open_checkpoint(head.note, node.signer.public, node.party)
            if (note.size, note.root, note.origin) != (head.size, head.root, log_origin(node.party)):
                raise ProofError(
                    "the signed head is another.", field="checkpoint", remedy="Keep the store as evidence."
                )
        check(head.size, head.root, read_tile, read_tile)
        _check_leaves(connection, head.size, node_reader(head.size, read_tile))
    return LogCheck(head.size, head.root.hex())


def _check_leaves(connection: Connection, size: int, read: NodeReader) -> None:
    """Hold the store's leaves against the tiles, which have been checked up to the signed root: all, and no others."""
    for start in range(0, size + 1, _STEP):
        found = releaselog.opened(connection, start, _STEP)
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
    with node.database.read() as connection:
        head = releaselog.head(connection)
        published = _published_size(target)
        if head.size in (0, published):
            return head.size
        for path in releaselog.tile_paths(connection):
            content = releaselog.tile(connection, path)
            if content is not None and not _same(target / path, content):
                _place(target / path, content)
    _place(target / CHECKPOINT, head.note)
    return head.size


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
    with node.database.read() as connection:
        held = [each for each in records.find(connection, item_id, node.reading()) if each.arrival is not None]
        if not held:
            raise OurError("no release to us is held under this id.", field=item_id, remedy="See: relto ls.")
        stored = held[0]
        arrival = streams.arrival(connection, stored.arrival or 0)
    if arrival is None or stored.place is None:
        raise OurError("its proof is not held.", field=item_id, remedy="Restore the store from its backup.")
    return canonical(_proven(stored, stored.place, arrival))


def _proven(stored: Stored, place: int, arrival: streams.Arrival) -> ProvenItem:
    proof = msgspec.msgpack.decode(arrival.proof, type=LogProof)
    statement = open_batch(arrival.statement, signed_card(arrival.card, pinned=None).node)
    path = inclusion_proof(_hashes(arrival.hashes), place)
    return ProvenItem(
        format=PROOF_FORMAT,
        header=_text(stored.header),
        content=_text(stored.content),
        card=_text(arrival.card),
        statement=_text(arrival.statement),
        index=place,
        path=tuple(_text(each) for each in path),
        checkpoint=_text(proof.checkpoint),
        log_start=statement.log_start,
        entries=tuple(_text(entry) for entry in _hashes(arrival.entries)),
        run_proof=tuple(_text(each) for each in proof.run_proof),
    )


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
    """One line of who ever got an item: recipient, place in its stream, log index, and the record."""

    recipient: str
    n: int
    log_index: int
    record: LeafRecord


def who_has(node: Node, item_id: str) -> tuple[Exposure, ...]:
    """Everybody to whom this node ever released an item."""
    found = []
    with node.database.read() as connection:
        for stored in records.find(connection, item_id, node.reading()):
            for recipient, n, index in releaselog.releases_of(connection, stored.seq):
                _, entry, leaf = releaselog.opened(connection, index, 1)[0]
                found.append(Exposure(recipient, n, index, open_leaf(leaf.record, leaf.salt, entry)))
    return tuple(found)
