"""Signed statements: DSSE 1.0.2 envelopes that several parties can sign, each with both of its keys.

What is signed is the PAE of type and payload, verbatim, so nothing is parsed or re-serialised before it is verified.
The envelope is the JSON form of the DSSE specification in one spelling only: compact, fields in the order ``payload``,
``payloadType``, ``signatures``, standard base64 with padding, signatures in rising order of ``keyid``. DSSE lets a
reader take other spellings; this one refuses them, so that an envelope has one digest wherever it is stored.

The envelope is written here and not taken from securesystemslib because that reader skips a signature that does not
verify, stops at the threshold (so it cannot say *who* signed), takes loose base64, counts keys where a party here
needs two, and signs ML-DSA over a digest of its own framing (TUF TAP 21) instead of the PAE. The tests hold the PAE
and the Ed25519 half equal to securesystemslib's.

INVARIANT: a party has signed if both of its signatures verify. One alone is no signature, and a bad signature under
a key we know refuses the whole envelope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.keys import ED25519, ML_DSA_65, Algorithm, PublicKeys, Signer, verifies
from relto.errors import MalformedError, OurError, SignatureError, TooLargeError
from relto.strict import canonical, check_text, parse_canonical

_KEY_ID_CHARS = 64
_ASK = "Ask the sender for an envelope in the form of docs/spec."


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    sig: bytes


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    payload: bytes
    payload_type: str
    signatures: tuple[_Signature, ...]


class Opened(msgspec.Struct, frozen=True):
    """A payload whose known signatures all verify, and the names of the parties that signed with both keys."""

    payload: bytes
    signed_by: frozenset[str]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: the pre-authentication encoding of the DSSE protocol."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, signers: Sequence[Signer]) -> bytes:
    """Return an envelope signed by every signer.

    Raises:
        OurError: no signer was given.
        MalformedError: the type is empty or holds characters that deceive.
        TooLargeError: the envelope would go over ``envelope_bytes``.
    """
    if not signers:
        raise OurError("nobody signs.", field="envelope", remedy="Unlock the signing key.")
    _check_type(payload_type)
    return _write(payload_type, payload, _sign_all(pae(payload_type, payload), signers))


def add(envelope: bytes, signers: Sequence[Signer]) -> bytes:
    """Return the envelope with these signers' signatures as well; their earlier ones are replaced.

    The signatures that are there are not verified: open the envelope first, and read what you sign.

    Raises:
        MalformedError: not an envelope in its one spelling.
        TooLargeError: it would go over the bounds of an envelope.
    """
    found = _parse(envelope)
    signatures = {one.keyid: one.sig for one in found.signatures}
    signatures |= _sign_all(pae(found.payload_type, found.payload), signers)
    return _write(found.payload_type, found.payload, signatures)


def merge(a: bytes, b: bytes) -> bytes:
    """Return one envelope with the signatures of both.

    Where both hold a signature of one key, that of ``a`` stays: a stranger's ``b`` cannot spoil what we have verified.

    Raises:
        MalformedError: one of them is no envelope, or they differ in type or payload.
        TooLargeError: together they go over the bounds of an envelope.
    """
    ours, theirs = _parse(a), _parse(b)
    if (ours.payload_type, ours.payload) != (theirs.payload_type, theirs.payload):
        raise MalformedError(
            "the two envelopes hold different statements.", field="envelope", remedy="Compare the two texts first."
        )
    signatures = {one.keyid: one.sig for one in (*theirs.signatures, *ours.signatures)}
    return _write(ours.payload_type, ours.payload, signatures)


def open_by(envelope: bytes, payload_type: str, keys: PublicKeys) -> bytes:
    """Return the payload that the owner of these keys signed.

    Raises:
        MalformedError: not an envelope in its one spelling.
        SignatureError: another type, or one of the two signatures is missing or bad.
    """
    opened = open_signed(envelope, payload_type, {"signer": keys})
    if not opened.signed_by:
        raise SignatureError(
            "the signer's two signatures are not both there.", field="envelope", remedy="Ask the signer to sign again."
        )
    return opened.payload


def open_signed(envelope: bytes, payload_type: str, parties: Mapping[str, PublicKeys]) -> Opened:
    """Return the payload and who of the parties signed it; whether they are enough is the caller's question.

    Signatures under unknown key ids are ignored.

    Raises:
        MalformedError: not an envelope in its one spelling, or two parties share a key.
        SignatureError: another type, or a signature under a known key does not verify.
    """
    owners = _owners(parties)
    found = _parse(envelope)
    if found.payload_type != payload_type:
        raise SignatureError(
            f"is signed as {found.payload_type!r}, not as {payload_type!r}.",
            field="payloadType",
            remedy="Give it to the part that reads this type.",
        )
    message = pae(found.payload_type, found.payload)
    good: dict[str, set[Algorithm]] = {}
    for one in found.signatures:
        if one.keyid not in owners:
            continue
        party, algorithm = owners[one.keyid]
        if not verifies(parties[party], algorithm, message, one.sig):
            raise SignatureError(
                f"the {algorithm} signature of {party} does not verify.",
                field="signatures",
                remedy="Ask for the envelope again, and tell the party if it fails again.",
            )
        good.setdefault(party, set()).add(algorithm)
    both = frozenset(party for party, algorithms in good.items() if algorithms == {ED25519, ML_DSA_65})
    return Opened(found.payload, both)


def _owners(parties: Mapping[str, PublicKeys]) -> dict[str, tuple[str, Algorithm]]:
    """Who owns which key id. A key with two owners would let one of them sign for both."""
    owners: dict[str, tuple[str, Algorithm]] = {}
    for party, keys in parties.items():
        for key_id, algorithm in zip(keys.key_ids(), (ED25519, ML_DSA_65), strict=True):
            if key_id in owners:
                raise MalformedError(
                    f"{party} and {owners[key_id][0]} share the {algorithm} key.",
                    field="parties",
                    remedy="Each party needs keys of its own.",
                )
            owners[key_id] = party, algorithm
    return owners


def _sign_all(message: bytes, signers: Iterable[Signer]) -> dict[str, bytes]:
    return {
        key_id: signature
        for signer in signers
        for key_id, signature in zip(signer.public.key_ids(), signer.sign(message), strict=True)
    }


def _write(payload_type: str, payload: bytes, signatures: Mapping[str, bytes]) -> bytes:
    lines = tuple(_Signature(key_id, signatures[key_id]) for key_id in sorted(signatures))
    content = canonical(_Envelope(payload, payload_type, lines))
    _check_bounds(len(content), len(lines))
    return content


def _parse(envelope: bytes) -> _Envelope:
    found = parse_canonical(envelope, _Envelope, limit_bytes=BOUNDS.envelope_bytes)
    _check_bounds(len(envelope), len(found.signatures))
    _check_type(found.payload_type)
    key_ids = [one.keyid for one in found.signatures]
    if not key_ids or any(len(key_id) != _KEY_ID_CHARS for key_id in key_ids):
        raise MalformedError(
            "holds no signatures, or one without a key id of 64 characters.", field="signatures", remedy=_ASK
        )
    if any(later <= earlier for earlier, later in pairwise(key_ids)):
        raise MalformedError("are not unique and in rising order of keyid.", field="signatures", remedy=_ASK)
    return found


def _check_bounds(size_bytes: int, signatures: int) -> None:
    if size_bytes > BOUNDS.envelope_bytes or signatures > BOUNDS.envelope_signatures:
        raise TooLargeError(
            f"{size_bytes} bytes and {signatures} signatures, at most {BOUNDS.envelope_bytes} and "
            f"{BOUNDS.envelope_signatures}.",
            field="envelope",
            remedy="Send the content as an item and sign its digest.",
        )


def _check_type(payload_type: str) -> None:
    if not check_text(payload_type, "payloadType"):
        raise MalformedError("is empty.", field="payloadType", remedy="Name the type of what is signed.")
