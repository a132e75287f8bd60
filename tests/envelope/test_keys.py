"""Keys: what is a key, who can sign with it, and what people read to each other."""

from __future__ import annotations

import hashlib
import re

import msgspec
import pytest

from relto.envelope.keys import (
    ED25519,
    ML_DSA_65,
    SIGNATURE_BYTES,
    PrivateKeys,
    PublicKeys,
    fingerprint,
    phonetic,
    verifies,
)
from relto.errors import MalformedError, OurError

pytestmark = pytest.mark.pure

KOR = PrivateKeys.from_seeds(b"K" * 32, b"k" * 32)
JPN = PrivateKeys.from_seeds(b"J" * 32, b"j" * 32)
P = 2**255 - 19


def with_ed25519(raw: bytes) -> PublicKeys:
    return PublicKeys(ed25519=raw.hex(), ml_dsa_65=KOR.public.ml_dsa_65)


def small_order_ys() -> set[int]:
    """The y of all points whose eighth multiple is the neutral point, from the curve equation itself."""
    d = -121665 * pow(121666, -1, P) % P

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2) = a, b
        k = d * x1 * x2 * y1 * y2 % P
        return (
            (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P,
            (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P,
        )

    # order 8: x² = -y² on -x² + y² = 1 + d x² y², so d y⁴ + 2 y² - 1 = 0
    root_of_minus_one = pow(2, (P - 1) // 4, P)
    ys = {0, 1, P - 1}
    for root in (square_root(1 + d), -square_root(1 + d)):
        squared = (root - 1) * pow(d, -1, P) % P
        if pow(squared, (P - 1) // 2, P) != 1:
            continue  # no point of the curve has this y
        y = square_root(squared)
        doubled = add(*[(y * root_of_minus_one % P, y)] * 2)
        fourth = add(doubled, doubled)
        assert fourth != (0, 1)
        assert add(fourth, fourth) == (0, 1)
        ys |= {y, P - y}
    return ys


def square_root(value: int) -> int:
    found = pow(value, (P + 3) // 8, P)
    return next(root for root in (found, found * pow(2, (P - 1) // 4, P) % P) if root * root % P == value % P)


def test_seeds_come_back_and_make_the_same_keys() -> None:
    again = PrivateKeys.from_seeds(*KOR.seeds())
    assert again.public == KOR.public
    assert KOR.seeds() == (b"K" * 32, b"k" * 32)
    assert KOR.public != JPN.public


def test_generated_keys_differ_and_sign() -> None:
    one, two = PrivateKeys.generate(), PrivateKeys.generate()
    assert one.public != two.public
    signatures = one.sign(b"message")
    for algorithm, signature in zip((ED25519, ML_DSA_65), signatures, strict=True):
        assert len(signature) == SIGNATURE_BYTES[algorithm]
        assert verifies(one.public, algorithm, b"message", signature)
        assert not verifies(two.public, algorithm, b"message", signature)
        assert not verifies(one.public, algorithm, b"messagf", signature)
        for wrong in (b"", signature[:-1], signature + b"\0", bytes(len(signature)), signature[::-1]):
            assert not verifies(one.public, algorithm, b"message", wrong)


def test_the_private_half_does_not_show() -> None:
    shown = repr(KOR) + str(KOR)
    assert b"K".hex() * 4 not in shown
    assert "seed" not in shown


@pytest.mark.parametrize(("ed25519", "ml_dsa"), [(b"", bytes(32)), (bytes(33), bytes(32)), (bytes(32), bytes(31))])
def test_a_seed_of_another_length_is_our_error(ed25519: bytes, ml_dsa: bytes) -> None:
    with pytest.raises(OurError, match="seed"):
        PrivateKeys.from_seeds(ed25519, ml_dsa)


@pytest.mark.parametrize("wrong", ["", "00", "zz" * 32, KOR.public.ed25519.upper(), " " + KOR.public.ed25519[1:]])
def test_a_key_of_another_form_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(MalformedError, match="ed25519"):
        PublicKeys(ed25519=wrong, ml_dsa_65=KOR.public.ml_dsa_65)
    with pytest.raises(MalformedError, match="ml-dsa-65"):
        PublicKeys(ed25519=KOR.public.ed25519, ml_dsa_65=wrong)


def test_public_keys_from_json_are_checked_as_well() -> None:
    content = msgspec.json.encode(KOR.public)
    assert msgspec.json.decode(content, type=PublicKeys) == KOR.public
    with pytest.raises(MalformedError):
        msgspec.json.decode(content.replace(b'"ed25519":"', b'"ed25519":"0'), type=PublicKeys)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(content[:-1] + b',"rsa":"00"}', type=PublicKeys)


def test_a_key_under_which_anyone_can_sign_is_refused() -> None:
    ys = small_order_ys()
    assert len(ys) == 5
    for y in ys:
        for spelling in (y, y + P):  # the second is not canonical
            if spelling >= 2**255:
                continue
            for sign in (0, 1):
                with pytest.raises(MalformedError, match="anyone"):
                    with_ed25519((spelling | sign << 255).to_bytes(32, "little"))


def test_a_key_id_names_algorithm_and_key() -> None:
    ids = KOR.public.key_ids()
    raw = bytes.fromhex(KOR.public.ed25519)
    assert ids[0] == hashlib.sha256(b"ed25519\n" + raw).hexdigest()
    assert len({*ids, *JPN.public.key_ids()}) == 4


def test_a_fingerprint_is_six_groups_of_four_and_depends_on_both_keys() -> None:
    text = fingerprint(KOR.public)
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}", text)
    mixed_1 = PublicKeys(ed25519=KOR.public.ed25519, ml_dsa_65=JPN.public.ml_dsa_65)
    mixed_2 = PublicKeys(ed25519=JPN.public.ed25519, ml_dsa_65=KOR.public.ml_dsa_65)
    assert len({text, fingerprint(mixed_1), fingerprint(mixed_2), fingerprint(JPN.public)}) == 4


def test_a_fingerprint_is_the_first_120_bits_of_the_digest() -> None:
    digest = hashlib.sha256(
        b"relto fingerprint v1\n" + bytes.fromhex(KOR.public.ed25519) + bytes.fromhex(KOR.public.ml_dsa_65)
    ).digest()
    bits = "".join(f"{byte:08b}" for byte in digest)[:120]
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert fingerprint(KOR.public).replace("-", "") == "".join(
        alphabet[int(bits[at : at + 5], 2)] for at in range(0, 120, 5)
    )


def test_a_fingerprint_can_be_read_over_a_telephone() -> None:
    spelled = phonetic("0QGY-Y5WG-17ZN-CAKA-AN1P-TZMK")
    assert spelled.startswith("Zero Quebec Golf Yankee, Yankee Five Whiskey Golf, One Seven Zulu November")
    assert len(spelled.replace(",", "").split()) == 24


@pytest.mark.parametrize("wrong", ["", "0QGY", "0QGY-Y5WG-17ZN-CAKA-AN1P-TZMI", "0QGYY-5WG-17ZN-CAKA-AN1P-TZMK"])
def test_what_is_no_fingerprint_is_not_spelled(wrong: str) -> None:
    with pytest.raises(MalformedError):
        phonetic(wrong)
