"""Checkpoints: the signed notes of C2SP, both signatures required, and every other spelling refused."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.envelope import dsse
from relto.envelope.keys import PrivateKeys, PublicKeys
from relto.envelope.merkle import EMPTY_ROOT
from relto.errors import MalformedError, PeerError, SignatureError, TooLargeError
from relto.log.checkpoint import (
    ML_DSA_65_TYPE,
    Checkpoint,
    Note,
    NoteSignature,
    format_note,
    note_key_id,
    open_checkpoint,
    parse_note,
    sign_checkpoint,
    verifier_keys,
)

pytestmark = pytest.mark.pure

# The examples of signed-note and tlog-checkpoint
NOTE_EXAMPLE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
VKEY_EXAMPLE = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
CHECKPOINT_EXAMPLE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo"
    "+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo"
    "0xUe+mbIUBkBIfZ+qnA==\n"
)

KOR = PrivateKeys.from_seeds(b"K" * 32, b"k" * 32)
JPN = PrivateKeys.from_seeds(b"J" * 32, b"j" * 32)
NAME = "relto.example/KOR/log"
CHECKPOINT = Checkpoint(NAME, 20852163, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, KOR, NAME)


def signed_text(text: str, signer: PrivateKeys = KOR, name: str = NAME) -> bytes:
    """What a log with these keys would sign if it did not care what."""
    lines = parse_note(sign_checkpoint(CHECKPOINT, signer, name)).signatures
    signatures = signer.sign(text.encode())
    return format_note(
        Note(text, tuple(NoteSignature(name, line.key_id, made) for line, made in zip(lines, signatures, strict=True)))
    )


def test_the_example_of_the_signed_note_text_verifies() -> None:
    name, key_id, key = VKEY_EXAMPLE.split("+")
    kind, raw = base64.b64decode(key)[:1], base64.b64decode(key)[1:]
    note = parse_note(NOTE_EXAMPLE.encode())
    assert note.text == "This is an example message.\n"
    assert note.signatures[0].name == name
    assert note.signatures[0].key_id == note_key_id(name, kind, raw) == bytes.fromhex(key_id)
    Ed25519PublicKey.from_public_bytes(raw).verify(note.signatures[0].signature, note.text.encode())
    assert format_note(note) == NOTE_EXAMPLE.encode()


def test_the_example_of_the_checkpoint_text_is_read() -> None:
    note = parse_note(CHECKPOINT_EXAMPLE.encode())
    root = bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62")
    assert Checkpoint("example.com/behind-the-sofa", 20852163, root).text == note.text
    assert [line.name for line in note.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]


def test_a_checkpoint_comes_back_from_its_note() -> None:
    assert open_checkpoint(NOTE, KOR.public, NAME) == CHECKPOINT
    extended = Checkpoint(NAME, 0, EMPTY_ROOT, ("first extension", "— second"))
    assert open_checkpoint(sign_checkpoint(extended, KOR, NAME), KOR.public, NAME) == extended


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_any_size_and_root_come_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(NAME, size, root)
    assert open_checkpoint(sign_checkpoint(checkpoint, KOR, NAME), KOR.public, NAME) == checkpoint


def test_the_note_is_what_other_c2sp_clients_read() -> None:
    text, signatures = NOTE.decode().split("\n\n")
    assert text == f"{NAME}\n20852163\n{base64.b64encode(bytes(range(32))).decode()}"
    lines = signatures.splitlines()
    assert len(lines) == 2
    vkeys = verifier_keys(NAME, KOR.public)
    for line, vkey in zip(lines, vkeys, strict=True):
        assert re.fullmatch(rf"— {NAME} [A-Za-z0-9+/]+=*", line)
        name, key_id, _ = vkey.split("+", 2)
        assert name == NAME
        assert base64.b64decode(line.split(" ")[2])[:4].hex() == key_id
    assert base64.b64decode(vkeys[0].split("+", 2)[2]) == b"\x01" + bytes.fromhex(KOR.public.ed25519)
    assert base64.b64decode(vkeys[1].split("+", 2)[2]) == ML_DSA_65_TYPE + bytes.fromhex(KOR.public.ml_dsa_65)


def test_the_key_type_without_a_number_is_spelled_out() -> None:
    assert ML_DSA_65_TYPE[:1] == b"\xff"
    assert b"ML-DSA-65" in ML_DSA_65_TYPE


def without_line(note: bytes, at: int) -> bytes:
    found = parse_note(note)
    return format_note(Note(found.text, found.signatures[:at] + found.signatures[at + 1 :]))


@pytest.mark.parametrize("at", [0, 1])
def test_one_signature_of_the_two_is_not_enough(at: int) -> None:
    with pytest.raises(SignatureError):
        open_checkpoint(without_line(NOTE, at), KOR.public, NAME)


@pytest.mark.parametrize("at", [0, 1])
def test_a_bad_signature_refuses_the_note_even_beside_a_good_one_of_the_same_key(at: int) -> None:
    found = parse_note(NOTE)
    line = found.signatures[at]
    bad = NoteSignature(line.name, line.key_id, bytes([line.signature[0] ^ 1]) + line.signature[1:])
    replaced = (*found.signatures[:at], bad, *found.signatures[at + 1 :])
    for signatures in (replaced, (bad, *found.signatures), (*found.signatures, bad), (*found.signatures, line)):
        with pytest.raises(SignatureError):
            open_checkpoint(format_note(Note(found.text, signatures)), KOR.public, NAME)


def test_signatures_of_other_keys_and_names_are_ignored() -> None:
    found = parse_note(NOTE)
    ours = found.signatures[0]
    strangers = (
        NoteSignature("witness.example/1", b"\1\2\3\4", b"anything"),
        NoteSignature("witness.example/1", ours.key_id, b"the same id"),
        NoteSignature(NAME, b"\1\2\3\4", b"the same name"),
        *(NoteSignature(f"witness.example/{number}", b"\1\2\3\4", bytes(2432)) for number in range(16)),
    )
    for signatures in ((*strangers, *found.signatures), (*found.signatures, *strangers)):
        note = format_note(Note(found.text, signatures))
        assert open_checkpoint(note, KOR.public, NAME) == CHECKPOINT


def test_a_checkpoint_of_another_log_or_under_another_name_is_refused() -> None:
    mixed = PublicKeys(ed25519=KOR.public.ed25519, ml_dsa_65=JPN.public.ml_dsa_65)
    for keys, name in ((JPN.public, NAME), (KOR.public, NAME + "2"), (mixed, NAME)):
        with pytest.raises(SignatureError):
            open_checkpoint(NOTE, keys, name)


def test_a_line_under_our_name_signed_by_a_stranger_is_refused() -> None:
    with pytest.raises(SignatureError):
        open_checkpoint(sign_checkpoint(CHECKPOINT, JPN, NAME), KOR.public, NAME)


@pytest.mark.parametrize("change", [("20852163", "20852164"), ("AAEC", "AAED"), ("KOR/log\n2", "KOR/lag\n2")])
def test_a_changed_size_root_or_origin_is_refused(change: tuple[str, str]) -> None:
    changed = NOTE.decode().replace(*change, 1).encode()
    assert changed != NOTE
    with pytest.raises(SignatureError):
        open_checkpoint(changed, KOR.public, NAME)


ROOT = base64.b64encode(bytes(range(32))).decode()
EMPTY = base64.b64encode(EMPTY_ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{NAME}\n5\n",
        f"{NAME}\n05\n{ROOT}\n",
        f"{NAME}\n+5\n{ROOT}\n",
        f"{NAME}\n-5\n{ROOT}\n",
        f"{NAME}\n 5\n{ROOT}\n",
        f"{NAME}\n5 \n{ROOT}\n",
        f"{NAME}\n5_0\n{ROOT}\n",
        f"{NAME}\n٥\n{ROOT}\n",
        f"{NAME}\n0x5\n{ROOT}\n",
        f"{NAME}\n\n{ROOT}\n",
        f"{NAME}\n{2**53}\n{ROOT}\n",
        f"{NAME}\n{'9' * 5000}\n{ROOT}\n",
        f"{NAME}\n0\n{ROOT}\n",
        f"{NAME}\n00\n{EMPTY}\n",
        f"{NAME}\n5\n{ROOT[:-1]}\n",
        f"{NAME}\n5\n{ROOT[:-2]}9=\n",
        f"{NAME}\n5\n{ROOT.replace('/', '_').replace('+', '-')}=\n",
        f"{NAME}\n5\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{NAME}\n5\n{base64.b64encode(bytes(33)).decode()}\n",
        f"{NAME}\n5\n\n",
        f"{NAME}\n5\n{ROOT}\n\n",
        f"{NAME}\n5\n{ROOT}\n\nextension\n",
        f"\n5\n{ROOT}\n",
        f"a b\n5\n{ROOT}\n",
        f"a+b\n5\n{ROOT}\n",
        f"a\u00a0b\n5\n{ROOT}\n",
        f"{'a' * (BOUNDS.text_chars + 1)}\n5\n{ROOT}\n",
        "\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        open_checkpoint(signed_text(text), KOR.public, NAME)


def respelled() -> dict[str, bytes]:
    text, first, second = NOTE.decode().partition("\n\n")[0], *NOTE.decode().splitlines()[-2:]
    return {
        "nothing": b"",
        "no signatures": f"{text}\n\n".encode(),
        "no blank line": f"{text}\n{first}\n{second}\n".encode(),
        "no newline at the end": NOTE[:-1],
        "a newline more at the end": NOTE + b"\n",
        "carriage returns": NOTE.replace(b"\n", b"\r\n"),
        "a carriage return in a line": NOTE.replace(b"\n\n", b"\r\n\n"),
        "a tab": NOTE.replace(b"\n\n", b"\t\n\n"),
        "a zero byte": NOTE.replace(b"log", b"l\0g"),
        "no UTF-8": NOTE.replace(b"log", b"l\xffg"),
        "an overlong dash": NOTE.replace("—".encode(), b"\xf0\x82\x80\x94"),
        "a byte order mark": b"\xef\xbb\xbf" + NOTE,
        "text that reads backwards": NOTE.replace(b"log", "l\u202eg".encode()),
        "another byte for the last newline": NOTE[:-1] + b"x",
        "no dash": f"{text}\n\n{first}\n{second}\nstranger AAAAAAAA\n".encode(),
        "signatures of nothing": f"{first}\n{second}\n".encode(),
        "a hyphen for the dash": NOTE.replace("—".encode(), b"-"),
        "two spaces": f"{text}\n\n{first.replace(' ', '  ', 1)}\n{second}\n".encode(),
        "a word behind the signature": f"{text}\n\n{first} x\n{second}\n".encode(),
        "a name with a plus": f"{text}\n\n{first}\n{second}\n— a+b AAAAAAAA\n".encode(),
        "no name": f"{text}\n\n{first}\n{second}\n—  AAAAAAAA\n".encode(),
        "no signature": f"{text}\n\n{first}\n{second}\n— stranger\n".encode(),
        "a key id only": f"{text}\n\n{first}\n{second}\n— stranger AAAAAA==\n".encode(),
        "base64 without padding": f"{text}\n\n{first}\n{second}\n— stranger AAAAAAA\n".encode(),
        "base64 with spare bits": f"{text}\n\n{first}\n{second}\n— stranger AAAAAAB=\n".encode(),
        "url-safe base64": f"{text}\n\n{first}\n{second}\n— stranger AAAAAAA-\n".encode(),
        "a line of text among the signatures": f"{text}\n\n{first}\nhello\n{second}\n".encode(),
    }


@pytest.mark.parametrize("name", respelled())
def test_another_spelling_of_a_note_is_malformed(name: str) -> None:
    with pytest.raises(MalformedError):
        parse_note(respelled()[name])
    with pytest.raises(MalformedError):
        open_checkpoint(respelled()[name], KOR.public, NAME)


def test_notes_are_bounded_in_bytes_and_lines() -> None:
    line = "— witness.example AAAAAAAA\n".encode()
    room = BOUNDS.note_signatures - 2
    assert open_checkpoint(NOTE + line * room, KOR.public, NAME) == CHECKPOINT
    with pytest.raises(TooLargeError):
        parse_note(NOTE + line * (room + 1))
    with pytest.raises(TooLargeError):
        parse_note(b"a" * (BOUNDS.note_bytes + 1))
    with pytest.raises(TooLargeError):
        parse_note("é".encode() * (BOUNDS.note_bytes // 2 + 1))


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 1, bytes(32), ()),
        ("a b", 1, bytes(32), ()),
        ("a+b", 1, bytes(32), ()),
        ("a\nb", 1, bytes(32), ()),
        ("a", -1, bytes(32), ()),
        ("a", 2**53, bytes(32), ()),
        ("a", 1, bytes(31), ()),
        ("a", 0, bytes(32), ()),
        ("a", 1, bytes(32), ("",)),
        ("a", 1, bytes(32), ("x\ny",)),
        ("a", 1, bytes(32), ("x\ry",)),
    ],
)
def test_a_checkpoint_that_could_not_be_read_back_is_not_made(
    origin: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(MalformedError):
        Checkpoint(origin, size, root, extensions)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb"])
def test_a_log_cannot_sign_under_a_name_that_could_not_be_read_back(name: str) -> None:
    with pytest.raises(MalformedError):
        sign_checkpoint(CHECKPOINT, KOR, name)


def test_a_signed_envelope_is_no_checkpoint_and_a_checkpoint_no_envelope() -> None:
    """The same keys sign both: neither signed text may be read as the other."""
    payload_type, payload = "t", f"\n5\n{ROOT}\n".encode()
    as_text = dsse.pae(payload_type, payload).decode()
    with pytest.raises(MalformedError):
        open_checkpoint(signed_text(as_text), KOR.public, NAME)
    with pytest.raises(MalformedError):
        Checkpoint(as_text.split("\n", 1)[0], 5, bytes(range(32)))
    assert not CHECKPOINT.text.startswith("DSSEv1 ")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_as_the_peers_error(content: bytes) -> None:
    for note in (content, CHECKPOINT.text.encode() + b"\n" + content):
        with pytest.raises(PeerError):
            open_checkpoint(note, KOR.public, NAME)
