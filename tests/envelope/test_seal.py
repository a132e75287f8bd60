"""Sealing: only the recipient opens, and only the whole page as it was sealed."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.envelope import seal as sealing
from relto.envelope.seal import Sealed, SealingKey, seal, unseal
from relto.errors import MalformedError, OurError, PeerError, SignatureError, TooLargeError

pytestmark = pytest.mark.pure

KEY = SealingKey.from_private_bytes(bytes(range(96)))
OTHER = SealingKey.from_private_bytes(bytes(range(1, 97)))
CONTEXT = b'{"recipient":"MYS","batch":"7"}'
CONTENT_KEY = bytes(range(100, 132))
PARTS = (b"first", b"", b"third part", b"fourth")


def sealed(parts: tuple[bytes, ...] = PARTS, *, context: bytes = CONTEXT) -> Sealed:
    return seal(parts, recipient=KEY.public_bytes(), context=context, content_key=CONTENT_KEY)


def test_a_page_opens_for_its_recipient() -> None:
    assert unseal(sealed(), key=KEY, context=CONTEXT) == PARTS
    assert unseal(sealed(()), key=KEY, context=CONTEXT) == ()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=8), st.binary(max_size=50), st.binary(min_size=32, max_size=32))
def test_any_parts_come_back(parts: list[bytes], context: bytes, content_key: bytes) -> None:
    page = seal(parts, recipient=OTHER.public_bytes(), context=context, content_key=content_key)
    assert unseal(page, key=OTHER, context=context) == tuple(parts)


def test_a_thousand_parts_cost_one_encapsulation() -> None:
    parts = tuple(b"%d" % number * 100 for number in range(BOUNDS.batch_items))
    page = sealed(parts)
    assert len(page.enc) == sealing.ENCAPSULATION_BYTES
    assert sum(map(len, page.parts)) == sum(map(len, parts)) + sealing.TAG_BYTES * len(parts)
    assert unseal(page, key=KEY, context=CONTEXT) == parts


def test_nothing_of_the_content_or_of_its_repetition_shows() -> None:
    page = sealed((b"same words here!", b"same words here!"))
    assert b"same" not in b"".join(page.parts)
    assert page.parts[0][:16] != page.parts[1][:16]
    assert CONTENT_KEY not in page.enc


def test_the_nonces_and_associated_data_are_as_the_page_format_says() -> None:
    """A reader in another language finds part n under the nonce 0000 || n and the data header || n."""
    page = sealed()
    for number, part in enumerate(page.parts):
        opened = AESGCM(CONTENT_KEY).decrypt(
            bytes(4) + number.to_bytes(8, "big"), part, CONTEXT + number.to_bytes(8, "big")
        )
        assert opened == PARTS[number]


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def tampered() -> dict[str, Sealed]:
    page, twin = sealed(), sealed(context=CONTEXT + b" ")
    enc, (a, b, c, d) = page.enc, page.parts
    return {
        "a bit of a part": Sealed(enc, (flipped(a, 0), b, c, d)),
        "a bit of a tag": Sealed(enc, (a, b, c, flipped(d, len(d) - 1))),
        "a part cut": Sealed(enc, (a, b, c[:-1], d)),
        "a part cut below its tag": Sealed(enc, (a, b, c[:3], d)),
        "a part emptied": Sealed(enc, (a, b, b"", d)),
        "a part longer": Sealed(enc, (a, b, c + b"\0", d)),
        "two parts swapped": Sealed(enc, (b, a, c, d)),
        "the last part dropped": Sealed(enc, (a, b, c)),
        "the first part dropped": Sealed(enc, (b, c, d)),
        "all parts dropped": Sealed(enc, ()),
        "a part added": Sealed(enc, (a, b, c, d, d)),
        "a part doubled in place": Sealed(enc, (a, a, c, d)),
        "the key of another page": Sealed(twin.enc, page.parts),
        "the parts of another page": Sealed(enc, twin.parts),
        "the key cut": Sealed(enc[:-1], page.parts),
        "the key longer": Sealed(enc + b"\0", page.parts),
        "no key": Sealed(b"", page.parts),
        "the key all zero": Sealed(bytes(len(enc)), page.parts),
        "the ML-KEM half changed": Sealed(flipped(enc, 5), page.parts),
        "the X25519 half changed": Sealed(flipped(enc, 1100), page.parts),
        "the X25519 half a point of small order": Sealed(enc[:1088] + bytes(32) + enc[1120:], page.parts),
        "the wrapped key changed": Sealed(flipped(enc, 1130), page.parts),
    }


@pytest.mark.parametrize("name", tampered())
def test_a_tampered_page_does_not_open_and_does_not_say_why(name: str) -> None:
    with pytest.raises(SignatureError) as caught:
        unseal(tampered()[name], key=KEY, context=CONTEXT)
    with pytest.raises(SignatureError) as other_key:
        unseal(sealed(), key=OTHER, context=CONTEXT)
    assert str(caught.value) == str(other_key.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_wrapped_key_of_another_length_opens_nothing(length: int) -> None:
    """A sender could wrap 16 bytes, and AES-128 would open what AES-256 was agreed for."""
    info = sealing._info(CONTEXT, 1)
    wrapped = sealing._suite().encrypt(bytes(length), sealing._public(KEY.public_bytes()), info=info)
    cipher = AESGCM(bytes(length if length in (16, 24) else 32))
    part = cipher.encrypt(bytes(12), b"content", CONTEXT + bytes(8))
    with pytest.raises(SignatureError):
        unseal(Sealed(wrapped, (part,)), key=KEY, context=CONTEXT)


@pytest.mark.parametrize("context", [b"", CONTEXT + b"\0", CONTEXT[:-1], b"\0" + CONTEXT])
def test_a_page_under_another_header_does_not_open(context: bytes) -> None:
    with pytest.raises(SignatureError):
        unseal(sealed(), key=KEY, context=context)


def test_the_number_of_parts_cannot_hide_in_the_header() -> None:
    """The header cannot be shifted against the number before it, or the part number behind it."""
    page = sealed((b"one",), context=b"\0" * 9)
    for context in (b"\0" * 8, b"\0" * 10):
        with pytest.raises(SignatureError):
            unseal(page, key=KEY, context=context)


def test_sealing_twice_gives_other_bytes() -> None:
    assert sealed().enc != sealed().enc


@pytest.mark.parametrize("content_key", [b"", bytes(16), bytes(31), bytes(33)])
def test_a_content_key_of_another_length_is_our_error(content_key: bytes) -> None:
    with pytest.raises(OurError, match="content key"):
        seal(PARTS, recipient=KEY.public_bytes(), context=CONTEXT, content_key=content_key)


@pytest.mark.parametrize(
    "recipient",
    [
        b"",
        KEY.public_bytes()[:-1],
        KEY.public_bytes() + b"\0",
        b"\xff" * sealing.PUBLIC_KEY_BYTES,
        KEY.public_bytes()[:1184] + bytes(32),
        KEY.public_bytes()[:1184] + b"\1" + bytes(31),
    ],
)
def test_a_recipient_key_that_is_none_or_weak_is_refused(recipient: bytes) -> None:
    with pytest.raises(MalformedError, match="recipient"):
        seal(PARTS, recipient=recipient, context=CONTEXT, content_key=CONTENT_KEY)


def test_a_sealing_key_is_stored_and_read_back() -> None:
    key = SealingKey.generate()
    again = SealingKey.from_private_bytes(key.private_bytes())
    assert again.public_bytes() == key.public_bytes() != SealingKey.generate().public_bytes()
    assert (len(key.private_bytes()), len(key.public_bytes())) == (96, 1216)
    assert key.private_bytes().hex()[:16] not in repr(key)
    for wrong in (b"", bytes(95), bytes(97)):
        with pytest.raises(OurError, match="sealing key"):
            SealingKey.from_private_bytes(wrong)


@dataclass
class Long:
    """Stands for so many bytes without taking them."""

    length: int

    def __len__(self) -> int:
        return self.length


def test_pages_over_the_bounds_are_neither_sealed_nor_opened() -> None:
    many = (b"",) * (BOUNDS.sealed_parts + 1)
    header = bytes(BOUNDS.header_bytes + 1)
    long: list[bytes] = [Long(BOUNDS.page_bytes)]  # type: ignore[list-item]
    for parts, context in ((many, CONTEXT), (PARTS, header), (long, CONTEXT)):
        with pytest.raises(TooLargeError):
            seal(parts, recipient=KEY.public_bytes(), context=context, content_key=CONTENT_KEY)
    for parts, context in ((many, CONTEXT), (PARTS, header), ((*long, b"x"), CONTEXT)):
        with pytest.raises(TooLargeError):
            unseal(Sealed(b"", tuple(parts)), key=KEY, context=context)


def test_a_sealed_page_travels_as_a_plain_value() -> None:
    page = sealed()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(page), type=Sealed) == page


@given(st.binary(max_size=1300), st.lists(st.binary(max_size=40), max_size=4))
@settings(max_examples=50, deadline=None)
def test_random_bytes_never_open(enc: bytes, parts: list[bytes]) -> None:
    with pytest.raises(PeerError):
        unseal(Sealed(enc, tuple(parts)), key=KEY, context=CONTEXT)
