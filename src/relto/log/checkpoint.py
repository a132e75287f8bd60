"""Checkpoints: what a log says of itself, as C2SP tlog-checkpoint v1.0.0 in a C2SP signed note v1.0.0.

A log signs each checkpoint with both of its keys, on two signature lines:

- Ed25519, type 0x01 of the signed-note text, which every C2SP client can check;
- ML-DSA-65 over the same note text, type 0xff with the identifier ``ML_DSA_65_TYPE`` spelled out behind it, as the
  signed-note text asks for types that it has not assigned (it assigns ML-DSA-44 to cosignatures only).

Both are required here. Lines under other keys (witnesses, other types) are kept and ignored, as the text demands.
Stricter than the text: base64 in one spelling only, no characters that deceive a reader, an origin without spaces or
plus (so that no checkpoint reads as the signed form of an envelope), and no second line of a key that we check.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.keys import ED25519, ML_DSA_65, Algorithm, PublicKeys, Signer, verifies
from relto.envelope.merkle import EMPTY_ROOT, HASH_BYTES, LARGEST_SIZE
from relto.errors import MalformedError, SignatureError, TooLargeError
from relto.strict import check_text

ED25519_TYPE = b"\x01"
ML_DSA_65_TYPE = b"\xffrelto note ML-DSA-65 v1\n"
KEY_ID_BYTES = 4

_TYPES: dict[Algorithm, bytes] = {ED25519: ED25519_TYPE, ML_DSA_65: ML_DSA_65_TYPE}
_DASH = "\N{EM DASH} "
_SIZE = re.compile(r"0|[1-9]\d{0,15}", re.ASCII)


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of a log: its name, how many leaves it has, and the root over them.

    Extension lines are opaque text that the log signed as well; nothing here gives them a meaning.

    Raises:
        MalformedError: an origin that is empty or holds spaces or plus, a size out of range, a root that is not 32
            bytes or not the empty root at size 0, or an empty extension line.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.origin, "origin")
        for line in self.extensions:
            if not check_text(line, "extension") or "\n" in line or "\r" in line or "\t" in line:
                raise _malformed("extension", "is empty or holds a line break or tab.")
        if not 0 <= self.size <= LARGEST_SIZE:
            raise _malformed("size", f"{self.size} is no size of a log.")
        if len(self.root) != HASH_BYTES or (self.size == 0 and self.root != EMPTY_ROOT):
            raise _malformed("root", "is not the 32 bytes of a root of this size.")

    @property
    def text(self) -> str:
        """The note text that is signed, with its last newline."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


class NoteSignature(msgspec.Struct, frozen=True):
    """One signature line: the key's name and id (4 bytes), which only say which key to try, and the signature."""

    name: str
    key_id: bytes
    signature: bytes


class Note(msgspec.Struct, frozen=True):
    """A signed note as it was read: nothing in it is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer, name: str) -> bytes:
    """Return the checkpoint as a note signed with both keys of the log named ``name``.

    The caller keeps the promise of a log: never sign two checkpoints of which one does not extend the other.

    Raises:
        MalformedError: the name is empty or holds spaces or plus.
    """
    pairs = zip((ED25519, ML_DSA_65), signer.sign(checkpoint.text.encode()), strict=True)
    lines = tuple(
        NoteSignature(name, note_key_id(name, _TYPES[algorithm], signer.public.raw(algorithm)), signature)
        for algorithm, signature in pairs
    )
    return format_note(Note(checkpoint.text, lines))


def open_checkpoint(note: bytes, keys: PublicKeys, name: str) -> Checkpoint:
    """Return the checkpoint that the log named ``name`` signed with both of these keys.

    Whether its origin is the log that was asked for is the caller's to compare.

    Raises:
        MalformedError: not a checkpoint.
        SignatureError: one of the two signatures is missing, doubled or bad.
    """
    found = parse_note(note)
    for algorithm in (ED25519, ML_DSA_65):
        key_id = note_key_id(name, _TYPES[algorithm], keys.raw(algorithm))
        lines = [one.signature for one in found.signatures if (one.name, one.key_id) == (name, key_id)]
        if len(lines) != 1 or not verifies(keys, algorithm, found.text.encode(), lines[0]):
            raise SignatureError(
                f"has {len(lines)} {algorithm} lines of {name}, not one that verifies.",
                field="checkpoint",
                remedy="Keep it as evidence and ask the log's owner.",
            )
    return _parse_text(found.text)


def verifier_keys(name: str, keys: PublicKeys) -> tuple[str, str]:
    """Return both keys as C2SP vkeys (Ed25519, ML-DSA-65), to configure a witness or another client."""
    return _verifier_key(name, keys, ED25519), _verifier_key(name, keys, ML_DSA_65)


def _verifier_key(name: str, keys: PublicKeys, algorithm: Algorithm) -> str:
    kind, raw = _TYPES[algorithm], keys.raw(algorithm)
    return f"{name}+{note_key_id(name, kind, raw).hex()}+{base64.b64encode(kind + raw).decode()}"


def note_key_id(name: str, signature_type: bytes, public_key: bytes) -> bytes:
    """Return the key id of the signed-note text: SHA-256(name || 0x0A || type || key)[:4].

    Raises:
        MalformedError: the name is empty or holds spaces or plus.
    """
    _check_name(name, "key name")
    return hashlib.sha256(name.encode() + b"\n" + signature_type + public_key).digest()[:KEY_ID_BYTES]


def parse_note(note: bytes) -> Note:
    """Read a signed note without verifying anything.

    Raises:
        TooLargeError: over ``note_bytes`` or ``note_signatures``.
        MalformedError: not a signed note.
    """
    if len(note) > BOUNDS.note_bytes:
        raise TooLargeError(f"{len(note)} bytes, at most {BOUNDS.note_bytes}.", field="note", remedy="Drop lines.")
    try:
        content = check_text(note.decode(), "note", limit_chars=BOUNDS.note_bytes)
    except UnicodeDecodeError as error:
        raise _malformed("note", f"byte {error.start} is not UTF-8.") from None
    if "\r" in content or "\t" in content:
        raise _malformed("note", "holds a control character.")
    text, blank, signed = content.rpartition("\n\n")
    if not blank or not signed.endswith("\n"):
        raise _malformed("note", "has no signature lines behind a blank line.")
    lines = signed[:-1].split("\n")
    if len(lines) > BOUNDS.note_signatures:
        raise TooLargeError(f"{len(lines)} signatures.", field="note", remedy="Keep the lines that matter.")
    return Note(text + "\n", tuple(_parse_signature(line) for line in lines))


def format_note(note: Note) -> bytes:
    """Write a note as ``parse_note`` reads it."""
    lines = (f"{_DASH}{one.name} {base64.b64encode(one.key_id + one.signature).decode()}\n" for one in note.signatures)
    return f"{note.text}\n{''.join(lines)}".encode()


def _parse_signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH):
        raise _malformed("note", "a signature line does not begin with an em dash.")
    _check_name(name, "key name")
    content = _unbase64(encoded, "signature")
    if len(content) <= KEY_ID_BYTES:
        raise _malformed("signature", "is empty.")
    return NoteSignature(name, content[:KEY_ID_BYTES], content[KEY_ID_BYTES:])


def _parse_text(text: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) < 3:
        raise _malformed("checkpoint", f"has {len(lines)} lines, needs 3.")
    origin, size, encoded, *extensions = lines
    if _SIZE.fullmatch(size) is None:
        raise _malformed("size", f"{size[:20]!r} is no decimal number.")
    return Checkpoint(origin, int(size), _unbase64(encoded, "root"), tuple(extensions))


def _unbase64(encoded: str, field: str) -> bytes:
    """Decode standard base64 that is spelled as its encoder would."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content or base64.b64encode(content).decode() != encoded:
        raise _malformed(field, "is not base64 with padding, in its one spelling.")
    return content


def _check_name(name: str, field: str) -> None:
    check_text(name, field)
    if not name or "+" in name or any(character.isspace() for character in name):
        raise _malformed(field, f"{name[:40]!r} is empty or holds a space or plus.")


def _malformed(field: str, reason: str) -> MalformedError:
    return MalformedError(reason, field=field, remedy="See c2sp.org/tlog-checkpoint for its form.")
