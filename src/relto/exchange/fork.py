"""Forks of a log: how two signed heads are compared, and the proof of a fork that anybody can verify without us.

Two heads of one log, signed by its owner, are of one log if the smaller is a beginning of the larger. With equal sizes
equal roots say so. With different sizes the owner is asked for its growth: the root that the larger log has at the
smaller size, and the consistency proof of RFC 6962, 2.1.2 from there. If the proof holds and that root is another than
the owner signed, the owner signed two logs, and no trust in whoever answered is needed to see it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.card import PartyCard, signed_card
from relto.envelope.keys import PublicKeys
from relto.envelope.merkle import HASH_BYTES, NodeReader, consistency_nodes, root_nodes, verify_consistency
from relto.errors import MalformedError, ProofError
from relto.exchange.books import SeenHead
from relto.exchange.page import log_origin
from relto.log.checkpoint import Checkpoint, open_checkpoint, parse_note
from relto.strict import canonical, parse_canonical

_PREFIX = log_origin("")


class Fork(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two signed heads that no log can have both, and the card whose node keys signed them. Bytes are base64.

    ``growth`` is empty where their sizes are equal.
    """

    format: Literal["relto-fork/1"]
    card: str
    first: str
    second: str
    growth: str


class Forked(msgspec.Struct, frozen=True):
    """What a verified proof of a fork says: whose log, and the two heads."""

    party: str
    first: Checkpoint
    second: Checkpoint
    fingerprint_checked: bool


def party_of(note: bytes) -> tuple[str, int]:
    """Whose release log a note claims to be of, and the log's number; nothing of it is verified.

    Raises:
        MalformedError, TooLargeError: not a note, or of another kind of log.
    """
    origin = parse_note(note).text.split("\n", 1)[0]
    party, _, number = origin.removeprefix(_PREFIX).partition("/")
    log = int(number) if number.isascii() and number.isdigit() and len(number) <= 3 else 1
    if log_origin(party, log) != origin or not 1 <= log <= BOUNDS.party_logs:
        raise MalformedError(f"is of {origin[:40]!r}.", field="head", remedy="Send heads of release logs.")
    return party, log


def open_head(note: bytes, party: str, keys: PublicKeys, seen_ms: int, source: str = "") -> SeenHead:
    """A head that this party's node signed.

    Raises:
        MalformedError: not a head of a release log of this party. SignatureError: not signed by both keys.
    """
    claimed, log = party_of(note)
    if claimed != party:
        raise MalformedError(f"is of {claimed[:16]!r}.", field="head", remedy="Send it as what it is.")
    found = open_checkpoint(note, keys, party)
    return SeenHead(party, log, found.size, found.root, note, seen_ms, source)


def conflict(a: SeenHead, b: SeenHead) -> bool:
    """Whether two heads alone prove a fork: one log, one size, two roots."""
    return (a.party, a.log, a.size) == (b.party, b.log, b.size) and a.root != b.root


def growth(read: NodeReader, old: int, new: int) -> bytes:
    """The root at the old size and the consistency proof from there, 32 bytes for each hash."""
    return b"".join((root_nodes(read, old), *consistency_nodes(read, old, new)))


def connects(old: SeenHead | Checkpoint, new: SeenHead | Checkpoint, answer: bytes) -> bool:
    """Whether an owner's growth proves one log; False if it proves two.

    Raises:
        ProofError: it proves neither.
    """
    hashes = _hashes(answer)
    if not 0 < old.size < new.size or not hashes:
        raise ProofError("is no growth from one size to another.", field="growth", remedy="Ask its owner again.")
    verify_consistency(old.size, hashes[0], new.size, new.root, hashes[1:])
    return hashes[0] == old.root


def write_fork(card: bytes, a: bytes, b: bytes, growth: bytes) -> bytes:
    """The proof of a fork as one file, from the card, the two notes and the growth between them."""
    return canonical(Fork("relto-fork/1", *(base64.b64encode(each).decode() for each in (card, a, b, growth))))


def verify_fork(content: bytes, *, pinned: str | None = None) -> Forked:
    """Verify a fork with nothing but the file.

    With ``pinned``, the log's owner must have this fingerprint; without it the file proves only that whoever holds the
    keys in it signed two logs, and the result says so.

    Raises:
        PeerError: the first thing in it that does not hold; then nothing is proven.
    """
    fork = parse_canonical(content, Fork, limit_bytes=BOUNDS.request_bytes)
    card = signed_card(_bytes(fork.card), pinned=pinned)
    first, second = sorted((_opened(each, card) for each in (fork.first, fork.second)), key=lambda each: each.size)
    if first.origin != second.origin or first.root == second.root:
        raise ProofError("the two heads are no fork.", field="fork", remedy="It proves nothing.")
    if first.size != second.size and connects(first, second, _bytes(fork.growth)):
        raise ProofError("the two heads are of one log.", field="fork", remedy="It proves nothing.")
    return Forked(card.party, first, second, pinned is not None)


def _opened(note: str, card: PartyCard) -> Checkpoint:
    content = _bytes(note)
    open_head(content, card.party, card.node, 0)
    return open_checkpoint(content, card.node, card.party)


def _hashes(joined: bytes) -> Sequence[bytes]:
    if len(joined) % HASH_BYTES or len(joined) > BOUNDS.proof_hashes * HASH_BYTES:
        raise ProofError(f"{len(joined)} bytes are no hashes.", field="growth", remedy="Ask its owner again.")
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise MalformedError("is not base64.", field="fork", remedy="Copy the file again.") from None
