"""The signed statements of the exchange. Specification: docs/spec/exchange.md."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from relto.envelope.dsse import open_by, sign
from relto.envelope.keys import PublicKeys, Signer
from relto.errors import MalformedError, NotForUsError
from relto.strict import canonical, parse_canonical

BATCH_TYPE = "application/vnd.relto.batch+json"
RECEIPT_TYPE = "application/vnd.relto.receipt+json"
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
    """The recipient's word: stored durably up to ``up_to_n``, and what was stored chains to ``chain``."""

    v: Literal[1]
    by: str
    to: str
    up_to_n: int
    chain: str
    time_ms: int


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
        or len(batch.root) != 64
        or len(batch.previous) != 64
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
    return receipt
