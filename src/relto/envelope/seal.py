"""Sealing: what only one recipient can open. One key encapsulation for a page, one AES-256-GCM pass for each part.

HPKE (RFC 9180, base mode) with ML-KEM-768 + X25519 (draft-ietf-hpke-pq), HKDF-SHA256 and AES-256-GCM wraps a fresh
32-byte content key for the recipient. Part *n* is AES-256-GCM under that key with the nonce ``00000000 || n`` (n as
8 bytes, big-endian) and, as associated data, the page's header bytes and n again. The HPKE ``info`` is a label, the
number of parts and the header bytes. So a part cannot be changed, cut, moved to another place or another page,
dropped or added; and whoever records the page today cannot read it with a quantum computer later.

Sealing hides; it does not tell who sealed. That is the signature's work (``relto.envelope.dsse``), on what is inside.

The content key comes from the caller, **fresh and random for every call**: the nonces are counters, so the same key
for a second page would reveal both. HPKE draws the randomness of the encapsulation from the library itself (OpenSSL),
so sealing the same page twice gives other bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from relto.bounds import BOUNDS
from relto.errors import MalformedError, OurError, SignatureError, TooLargeError

CONTENT_KEY_BYTES = 32
PUBLIC_KEY_BYTES = 1184 + 32
PRIVATE_KEY_BYTES = 64 + 32
TAG_BYTES = 16
ENCAPSULATION_BYTES = 1088 + 32 + CONTENT_KEY_BYTES + TAG_BYTES

_LABEL = b"relto sealed page v1\n"
_ML_KEM_PUBLIC_BYTES = 1184
_ML_KEM_SEED_BYTES = 64


class Sealed(msgspec.Struct, frozen=True):
    """A page for one recipient: the wrapped content key (``enc``, 1168 bytes) and the encrypted parts in order."""

    enc: bytes
    parts: tuple[bytes, ...]


class SealingKey:
    """The private key of a recipient of sealed pages."""

    __slots__ = ("_ml_kem", "_x25519")

    def __init__(self, ml_kem: MLKEM768PrivateKey, x25519: X25519PrivateKey) -> None:
        self._ml_kem = ml_kem
        self._x25519 = x25519

    @classmethod
    def generate(cls) -> SealingKey:
        """Make a new key. The randomness is the library's own (OpenSSL), not the caller's."""
        return cls(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, content: bytes) -> SealingKey:
        """Read what ``private_bytes`` wrote; any 96 random bytes are a key as well.

        Raises:
            OurError: another length.
        """
        if len(content) != PRIVATE_KEY_BYTES:
            raise OurError(
                f"has {len(content)} bytes, needs {PRIVATE_KEY_BYTES}.",
                field="sealing key",
                remedy="Restore the key file.",
            )
        return cls(
            MLKEM768PrivateKey.from_seed_bytes(content[:_ML_KEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(content[_ML_KEM_SEED_BYTES:]),
        )

    def private_bytes(self) -> bytes:
        """Return the secret: 64 bytes of ML-KEM seed, then 32 of X25519."""
        return self._ml_kem.private_bytes_raw() + self._x25519.private_bytes_raw()

    def public_bytes(self) -> bytes:
        """Return what senders need: 1184 bytes of ML-KEM-768, then 32 of X25519."""
        return self._ml_kem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()

    def _unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        if len(wrapped) != ENCAPSULATION_BYTES:
            raise ValueError("a shorter content key would open with a weaker cipher")
        return _suite().decrypt(wrapped, MLKEM768X25519PrivateKey(self._ml_kem, self._x25519), info=info)


def seal(parts: Sequence[bytes], *, recipient: bytes, context: bytes, content_key: bytes) -> Sealed:
    """Close the parts for one recipient.

    Args:
        parts: what to send, in order; there may be none, and parts may be empty.
        recipient: the recipient's ``SealingKey.public_bytes()``.
        context: the header bytes of the page, which travel in the clear and open nothing else.
        content_key: 32 random bytes that were never used before and are forgotten after.

    Raises:
        OurError: the content key has another length.
        MalformedError: the recipient's key is none.
        TooLargeError: over ``sealed_parts``, ``page_bytes`` or ``header_bytes``.
    """
    if len(content_key) != CONTENT_KEY_BYTES:
        raise OurError(
            f"has {len(content_key)} bytes, needs {CONTENT_KEY_BYTES}.",
            field="content key",
            remedy="Draw 32 random bytes for each page.",
        )
    _check_bounds([len(part) + TAG_BYTES for part in parts], context)
    try:
        enc = _suite().encrypt(content_key, _public(recipient), info=_info(context, len(parts)))
    except ValueError:  # a point of small order: the shared secret would be no secret
        raise _no_key() from None
    cipher = AESGCM(content_key)
    return Sealed(
        enc,
        tuple(cipher.encrypt(_nonce(number), part, _associated(context, number)) for number, part in enumerate(parts)),
    )


def closed_for(sealed: Sealed, *, recipient: bytes, context: bytes, content_key: bytes) -> Sealed:
    """The same sealed parts for another key of their recipient: only the wrapping of the content key is new.

    Raises:
        MalformedError: the recipient's key is none.
    """
    try:
        enc = _suite().encrypt(content_key, _public(recipient), info=_info(context, len(sealed.parts)))
    except ValueError:
        raise _no_key() from None
    return Sealed(enc, sealed.parts)


def unseal(sealed: Sealed, *, key: SealingKey, context: bytes) -> tuple[bytes, ...]:
    """Open a page, whole or not at all.

    Raises:
        SignatureError: anything is wrong with it; the text never tells what.
        TooLargeError: over ``sealed_parts``, ``page_bytes`` or ``header_bytes``.
    """
    _check_bounds([len(part) for part in sealed.parts], context)
    try:
        cipher = AESGCM(key._unwrap(sealed.enc, _info(context, len(sealed.parts))))
        return tuple(
            cipher.decrypt(_nonce(number), part, _associated(context, number))
            for number, part in enumerate(sealed.parts)
        )
    except (InvalidTag, ValueError):
        raise SignatureError(
            "the page does not open with our key.", field="sealed page", remedy="Ask the sender for it again."
        ) from None


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _public(recipient: bytes) -> MLKEM768X25519PublicKey:
    try:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(recipient[:_ML_KEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(recipient[_ML_KEM_PUBLIC_BYTES:]),
        )
    except ValueError:
        raise _no_key() from None


def _no_key() -> MalformedError:
    return MalformedError(
        "is no public key of ML-KEM-768 and X25519.",
        field="recipient",
        remedy="Ask the partner to publish its sealing key again.",
    )


def _info(context: bytes, parts: int) -> bytes:
    return _LABEL + parts.to_bytes(8, "big") + context


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _associated(context: bytes, number: int) -> bytes:
    return context + number.to_bytes(8, "big")


def _check_bounds(sealed_bytes: Sequence[int], context: bytes) -> None:
    parts, size_bytes = len(sealed_bytes), sum(sealed_bytes)
    if parts > BOUNDS.sealed_parts or size_bytes > BOUNDS.page_bytes or len(context) > BOUNDS.header_bytes:
        raise TooLargeError(
            f"{parts} parts of {size_bytes} bytes under a header of {len(context)}; at most "
            f"{BOUNDS.sealed_parts}, {BOUNDS.page_bytes} and {BOUNDS.header_bytes}.",
            field="sealed page",
            remedy="Send smaller pages.",
        )
