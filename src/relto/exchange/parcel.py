"""Parcels: what is no page and travels by a relay, signed by its sender and sealed for its recipient like a page.

From outside a parcel has the form of a page: recipient, a random id, encrypted parts. Inside are the sender's signed
statement of what it is, and the thing itself: a receipt, or the documents that a connection would begin with.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.dsse import open_by, sign
from relto.envelope.keys import PublicKeys, Signer
from relto.envelope.seal import Sealed, SealingKey, seal, unseal
from relto.errors import MalformedError, NotForUsError, TooLargeError
from relto.exchange.page import sha256
from relto.strict import canonical, parse_canonical

MAGIC = "relto-parcel/1"
TYPE = "application/vnd.relto.parcel+json"
What = Literal["receipt", "documents"]

_encoder = msgspec.msgpack.Encoder()


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sender's word on a parcel: from whom, for whom, what it is, and the digest of the thing."""

    v: Literal[1]
    by: str
    to: str
    batch: str
    what: What
    sha256: str
    time_ms: int


class _Parcel(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    magic: str
    to: str
    batch: str
    enc: bytes
    parts: tuple[bytes, ...]


def write_parcel(
    what: What,
    content: bytes,
    *,
    by: str,
    to: str,
    batch: str,
    now_ms: int,
    node: Signer,
    recipient: bytes,
    content_key: bytes,
) -> bytes:
    """Sign and seal something for a recipient. ``batch`` is random; ``content_key`` is 32 random bytes, used once."""
    statement = Statement(1, by, to, batch, what, sha256(content), now_ms)
    parts = [sign(TYPE, canonical(statement), (node,)), content]
    sealed = seal(parts, recipient=recipient, context=_context(to, batch), content_key=content_key)
    return _encoder.encode(_Parcel(MAGIC, to, batch, sealed.enc, sealed.parts))


def is_parcel(content: bytes) -> bool:
    """Whether something collected says that it is a parcel and not a page; nothing of it is verified by that."""
    return content[1 : 2 + len(MAGIC)].endswith(MAGIC.encode())


def open_parcel(
    content: bytes, *, us: str, peer: str, keys: PublicKeys, sealing: SealingKey, now_ms: int
) -> tuple[Statement, bytes]:
    """Open and verify a parcel of a peer.

    Raises:
        TooLargeError, MalformedError: over a bound, or not of its form.
        NotForUsError: for another recipient, or by another party.
        SignatureError: the seal or the statement does not verify.
    """
    outer = _decoded(content)
    if outer.magic != MAGIC or outer.to != us:
        raise NotForUsError(f"a parcel for {outer.to[:16]!r}.", field="parcel", remedy="Tell the relay.")
    parts = unseal(Sealed(outer.enc, outer.parts), key=sealing, context=_context(outer.to, outer.batch))
    if len(parts) != 2:
        raise MalformedError(f"has {len(parts)} parts.", field="parcel", remedy="See docs/spec/exchange.md.")
    statement = parse_canonical(open_by(parts[0], TYPE, keys), Statement)
    if (statement.by, statement.to, statement.batch) != (peer, us, outer.batch):
        raise NotForUsError(f"is of {statement.by} for {statement.to}.", field="parcel", remedy="Keep it as evidence.")
    if statement.sha256 != sha256(parts[1]) or statement.time_ms > now_ms + BOUNDS.future_ms:
        raise MalformedError("is another than was signed, or of the future.", field="parcel", remedy="Compare clocks.")
    return statement, parts[1]


def _decoded(content: bytes) -> _Parcel:
    if len(content) > BOUNDS.documents_bytes + BOUNDS.statement_bytes:
        raise TooLargeError(f"{len(content)} bytes.", field="parcel", remedy="Tell the peer.")
    try:
        outer = msgspec.msgpack.decode(content, type=_Parcel)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(str(error), field="parcel", remedy="See docs/spec/exchange.md.") from None
    if _encoder.encode(outer) != content:
        raise MalformedError("is not in its one form.", field="parcel", remedy="See docs/spec/exchange.md.")
    return outer


def _context(to: str, batch: str) -> bytes:
    return f"{MAGIC}\n{to}\n{batch}".encode()
