"""The two keys with which a party signs, and the words by which people compare them.

Each signature is a pair: Ed25519 (RFC 8032) for today and ML-DSA-65 (FIPS 204, pure mode, empty context) for the
day when a quantum computer forges the first. Both must verify, always, so forging needs both to fall. The same pair
signs envelopes (``relto.envelope.dsse``) and checkpoints (``relto.log.checkpoint``); neither text can be read as the
other, because an envelope is signed as ``DSSEv1 ...`` and a checkpoint begins with an origin that holds no space.

ML-DSA signatures are hedged (FIPS 204, 3.4): the library draws fresh randomness for each, so two signatures of one
message differ and both are good. Nothing here may depend on the bytes of a signature.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from relto.errors import MalformedError, OurError

Algorithm = Literal["ed25519", "ml-dsa-65"]

ED25519: Algorithm = "ed25519"
ML_DSA_65: Algorithm = "ml-dsa-65"
SEED_BYTES = 32
PUBLIC_KEY_BYTES = {ED25519: 32, ML_DSA_65: 1952}
SIGNATURE_BYTES = {ED25519: 64, ML_DSA_65: 3309}

_HEX = re.compile("[0-9a-f]*", re.ASCII)
_FIELD_PRIME = 2**255 - 19
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y of every point of order 1, 2, 4 or 8. Under such a key anyone can make a "signature" of anything.
_SMALL_ORDER_Y = frozenset((0, 1, _FIELD_PRIME - 1, _ORDER_8_Y, _FIELD_PRIME - _ORDER_8_Y))

# Crockford's base32 digits in rising order, each with its word in the alphabet of NATO and ICAO
_WORDS = {
    "0": "Zero", "1": "One", "2": "Two", "3": "Three", "4": "Four", "5": "Five", "6": "Six", "7": "Seven",
    "8": "Eight", "9": "Nine", "A": "Alfa", "B": "Bravo", "C": "Charlie", "D": "Delta", "E": "Echo", "F": "Foxtrot",
    "G": "Golf", "H": "Hotel", "J": "Juliett", "K": "Kilo", "M": "Mike", "N": "November", "P": "Papa", "Q": "Quebec",
    "R": "Romeo", "S": "Sierra", "T": "Tango", "V": "Victor", "W": "Whiskey", "X": "X-ray", "Y": "Yankee",
    "Z": "Zulu",
}  # fmt: skip
_CROCKFORD = "".join(_WORDS)
_FINGERPRINT_CHARS = 24
_GROUP_CHARS = 4


class PublicKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public halves of a party's two signing keys, each as lower-case hex of the raw key.

    Raises:
        MalformedError: another length, other characters, or an Ed25519 key that proves nothing because it is not
            a canonical point or is one of small order (RFC 8032, 5.1.3 and 8.4).
    """

    ed25519: str
    ml_dsa_65: str

    def __post_init__(self) -> None:
        for algorithm, text in ((ED25519, self.ed25519), (ML_DSA_65, self.ml_dsa_65)):
            if len(text) != 2 * PUBLIC_KEY_BYTES[algorithm] or _HEX.fullmatch(text) is None:
                raise MalformedError(
                    f"is not {PUBLIC_KEY_BYTES[algorithm]} bytes in lower-case hex.",
                    field=algorithm,
                    remedy="Export the public keys again.",
                )
        y = int.from_bytes(bytes.fromhex(self.ed25519), "little") & (2**255 - 1)
        if y >= _FIELD_PRIME or y in _SMALL_ORDER_Y:
            raise MalformedError(
                "is a key under which anyone can sign.", field=ED25519, remedy="Ask the party for its real key."
            )

    def raw(self, algorithm: Algorithm) -> bytes:
        """Return the raw public key, 32 or 1952 bytes."""
        return bytes.fromhex(self.ed25519 if algorithm == ED25519 else self.ml_dsa_65)

    def key_ids(self) -> tuple[str, str]:
        """Return the ids of the Ed25519 and the ML-DSA-65 key.

        An id is the hex SHA-256 over the algorithm's name, a newline and the raw key: a hint for finding a key, as
        DSSE has it, never a reason to trust one.
        """
        return _key_id(ED25519, self.raw(ED25519)), _key_id(ML_DSA_65, self.raw(ML_DSA_65))


def _key_id(algorithm: Algorithm, raw: bytes) -> str:
    return hashlib.sha256(algorithm.encode() + b"\n" + raw).hexdigest()


class Signer(Protocol):
    """Whoever can sign for a party: keys in memory, a file, a hardware module."""

    @property
    def public(self) -> PublicKeys:
        """The keys under which the signatures verify."""

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Return the Ed25519 signature (64 bytes) and the ML-DSA-65 signature (3309 bytes) over the message."""


class PrivateKeys:
    """A signer that holds both private keys in memory."""

    __slots__ = ("_ed25519", "_ml_dsa_65", "_public")

    def __init__(self, ed25519: Ed25519PrivateKey, ml_dsa_65: MLDSA65PrivateKey) -> None:
        self._ed25519 = ed25519
        self._ml_dsa_65 = ml_dsa_65
        self._public = PublicKeys(
            ed25519=ed25519.public_key().public_bytes_raw().hex(),
            ml_dsa_65=ml_dsa_65.public_key().public_bytes_raw().hex(),
        )

    @classmethod
    def generate(cls) -> PrivateKeys:
        """Make a new pair. The randomness is the library's own (OpenSSL), not the caller's."""
        return cls(Ed25519PrivateKey.generate(), MLDSA65PrivateKey.generate())

    @classmethod
    def from_seeds(cls, ed25519_seed: bytes, ml_dsa_seed: bytes) -> PrivateKeys:
        """Derive the pair from two seeds of 32 bytes; the same seeds give the same keys.

        Raises:
            OurError: a seed of another length.
        """
        for field, seed in (("ed25519 seed", ed25519_seed), ("ml-dsa-65 seed", ml_dsa_seed)):
            if len(seed) != SEED_BYTES:
                raise OurError(
                    f"has {len(seed)} bytes, needs {SEED_BYTES}.", field=field, remedy="Restore the key file."
                )
        return cls(Ed25519PrivateKey.from_private_bytes(ed25519_seed), MLDSA65PrivateKey.from_seed_bytes(ml_dsa_seed))

    def seeds(self) -> tuple[bytes, bytes]:
        """Return the two secret seeds (Ed25519, ML-DSA-65), 32 bytes each, for the keyring to store."""
        return self._ed25519.private_bytes_raw(), self._ml_dsa_65.private_bytes_raw()

    @property
    def public(self) -> PublicKeys:
        """The keys under which the signatures verify."""
        return self._public

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Return the Ed25519 signature (64 bytes) and the ML-DSA-65 signature (3309 bytes) over the message."""
        return self._ed25519.sign(message), self._ml_dsa_65.sign(message)


def verifies(public: PublicKeys, algorithm: Algorithm, message: bytes, signature: bytes) -> bool:
    """Say whether this one signature verifies; a caller must ask for both algorithms before it believes anything."""
    raw = public.raw(algorithm)
    try:
        if algorithm == ED25519:
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
        else:
            MLDSA65PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: PublicKeys) -> str:
    """Return the name that people compare: 24 characters of Crockford base32 in 6 groups of 4.

    They are the first 120 bits of SHA-256 over both raw keys, so whoever wants other keys under the same
    fingerprint has 2^120 tries before them.
    """
    digest = hashlib.sha256(b"relto fingerprint v1\n" + public.raw(ED25519) + public.raw(ML_DSA_65)).digest()
    bits = int.from_bytes(digest, "big") >> (8 * len(digest) - 5 * _FINGERPRINT_CHARS)
    text = "".join(_CROCKFORD[bits >> (5 * place) & 31] for place in reversed(range(_FINGERPRINT_CHARS)))
    return "-".join(text[at : at + _GROUP_CHARS] for at in range(0, _FINGERPRINT_CHARS, _GROUP_CHARS))


def phonetic(fingerprint: str) -> str:
    """Spell a fingerprint for the telephone in the words of the NATO alphabet, a comma after each group.

    Raises:
        MalformedError: not a fingerprint as ``fingerprint`` writes it.
    """
    groups = fingerprint.split("-")
    whole = [len(group) for group in groups] == [_GROUP_CHARS] * (_FINGERPRINT_CHARS // _GROUP_CHARS)
    if not whole or not set("".join(groups)) <= set(_CROCKFORD):
        raise MalformedError(
            f"{fingerprint[:40]!r} is not 6 groups of 4 characters.",
            field="fingerprint",
            remedy="Copy it whole, with its hyphens.",
        )
    return ", ".join(" ".join(_WORDS[character] for character in group) for group in groups)
