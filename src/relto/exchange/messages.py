"""The signed statements of the exchange. Specification: docs/spec/exchange.md."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Literal

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.dsse import open_by, sign
from relto.envelope.keys import PublicKeys, Signer
from relto.errors import MalformedError, NotForUsError, TooLargeError
from relto.strict import canonical, parse_canonical

NOTICE_TYPE = "application/vnd.relto.notice+json"
BATCH_TYPE = "application/vnd.relto.batch+json"
RECEIPT_TYPE = "application/vnd.relto.receipt+json"
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
FIRST_CHAIN = hashlib.sha256(b"relto-stream/1\n").hexdigest()


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The releases ``first_n`` to ``first_n + count - 1`` of one stream, as one signed root.

    ``root`` is the RFC 6962 root over the released headers. ``previous`` is the chain value before this batch, so a
    stream cannot be cut or reordered. ``log_start`` is the index of the first release in the releaser's log.
    """

    v: Literal[1]
    by: str
    to: str
    batch: str
    first_n: int
    count: int
    root: str
    previous: str
    log_start: int
    created_ms: int

    @property
    def chain(self) -> str:
        """The chain value after this batch."""
        return hashlib.sha256(bytes.fromhex(self.previous) + bytes.fromhex(self.root)).hexdigest()

    @property
    def last_n(self) -> int:
        """The number of the last release in it."""
        return self.first_n + self.count - 1


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The recipient's word: stored durably up to ``up_to_n``, and what was stored chains to ``chain``.

    It is a witness's word too: I saw the releaser's log number ``log`` grow to ``log_size`` entries under ``log_root``,
    and verified that it only grew.
    """

    v: Literal[1]
    by: str
    to: str
    up_to_n: int
    chain: str
    log: int
    log_size: int
    log_root: str
    time_ms: int


class Exhibit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that prove something, by name, in base64."""

    name: str
    content: str


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a party says that the one it writes to did: the kind of incident, and its own evidence of it."""

    v: Literal[1]
    by: str
    to: str
    kind: str
    subject: str
    evidence: tuple[Exhibit, ...]
    time_ms: int

    def exhibits(self) -> list[bytes]:
        """The bytes that are to prove it.

        Raises:
            MalformedError: too many, or not base64.
        """
        if len(self.evidence) > BOUNDS.notice_exhibits:
            raise TooLargeError(f"{len(self.evidence)} exhibits.", field="notice", remedy="Send what proves it.")
        try:
            return [base64.b64decode(each.content, validate=True) for each in self.evidence]
        except ValueError:
            raise MalformedError("is not base64.", field="notice", remedy="See docs/spec/exchange.md.") from None


def sign_batch(batch: Batch, node: Signer) -> bytes:
    """The batch statement in its envelope."""
    return sign(BATCH_TYPE, canonical(batch), (node,))


def open_batch(envelope: bytes, keys: PublicKeys) -> Batch:
    """The batch statement that the node with these keys signed.

    Raises:
        MalformedError: another form, or numbers out of range.
        SignatureError: not signed by both keys.
    """
    batch = parse_canonical(open_by(envelope, BATCH_TYPE, keys), Batch)
    if (
        batch.first_n < 1
        or batch.count < 1
        or batch.log_start < 0
        or _HASH.fullmatch(batch.root) is None
        or _HASH.fullmatch(batch.previous) is None
    ):
        raise MalformedError("numbers out of range.", field="batch", remedy="See docs/spec/exchange.md.")
    return batch


def sign_receipt(receipt: Receipt, node: Signer) -> bytes:
    """The receipt in its envelope."""
    return sign(RECEIPT_TYPE, canonical(receipt), (node,))


def open_receipt(envelope: bytes, keys: PublicKeys, *, by: str, to: str) -> Receipt:
    """The receipt that this peer signed for us.

    Raises:
        MalformedError: another form.
        NotForUsError: it speaks of another stream.
        SignatureError: not signed by both keys.
    """
    receipt = parse_canonical(open_by(envelope, RECEIPT_TYPE, keys), Receipt)
    if (receipt.by, receipt.to) != (by, to):
        raise NotForUsError(f"is of {receipt.by} for {receipt.to}.", field="receipt", remedy="Send it to its party.")
    if receipt.up_to_n < 0 or receipt.log < 1 or receipt.log_size < 0 or _HASH.fullmatch(receipt.log_root) is None:
        raise MalformedError("numbers out of range.", field="receipt", remedy="See docs/spec/exchange.md.")
    return receipt


def sign_notice(notice: Notice, node: Signer) -> bytes:
    """The notice in its envelope."""
    return sign(NOTICE_TYPE, canonical(notice), (node,))


def open_notice(envelope: bytes, keys: PublicKeys, *, by: str, to: str) -> Notice:
    """The notice that this peer signed for us; what it says is its word, and its evidence is not looked at.

    Raises:
        MalformedError, TooLargeError: another form, or over ``BOUNDS.request_bytes``.
        NotForUsError: it is of somebody else, or for somebody else.
        SignatureError: not signed by both keys.
    """
    if len(envelope) > BOUNDS.request_bytes:
        raise TooLargeError(f"{len(envelope)} bytes.", field="notice", remedy="Send less evidence.")
    payload = open_by(envelope, NOTICE_TYPE, keys)
    notice = parse_canonical(payload, Notice, limit_bytes=BOUNDS.request_bytes)
    if (notice.by, notice.to) != (by, to):
        raise NotForUsError(f"is of {notice.by} for {notice.to}.", field="notice", remedy="Send it to its party.")
    return notice
