"""Envelopes: who has signed, in one spelling only, and every way to tamper."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import SSlibKey

from relto.bounds import BOUNDS
from relto.envelope import dsse
from relto.envelope.keys import PrivateKeys, PublicKeys
from relto.errors import MalformedError, OurError, SignatureError, TooLargeError

pytestmark = pytest.mark.pure

TYPE = "application/vnd.relto.test+json"
PAYLOAD = b'{"text":"\xe2\x80\x94 verbatim"}'
KOR = PrivateKeys.from_seeds(b"K" * 32, b"k" * 32)
JPN = PrivateKeys.from_seeds(b"J" * 32, b"j" * 32)
MYS = PrivateKeys.from_seeds(b"M" * 32, b"m" * 32)
PARTIES = {"KOR": KOR.public, "JPN": JPN.public}
ENVELOPE = dsse.sign(TYPE, PAYLOAD, [KOR, JPN])


def parsed(envelope: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(envelope)
    return found


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def only(envelope: bytes, *key_ids: str) -> bytes:
    value = parsed(envelope)
    value["signatures"] = [one for one in value["signatures"] if one["keyid"] in key_ids]
    return compact(value)


def spoilt(envelope: bytes, key_id: str) -> bytes:
    """The envelope with one bit of one signature turned over."""
    value = parsed(envelope)
    for one in value["signatures"]:
        if one["keyid"] == key_id:
            signature = bytearray(base64.b64decode(one["sig"]))
            signature[0] ^= 1
            one["sig"] = base64.b64encode(signature).decode()
    return compact(value)


def test_the_pae_vector_of_the_dsse_specification() -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@settings(deadline=None)
@given(st.text(), st.binary())
def test_the_pae_is_that_of_securesystemslib_and_counts_bytes(payload_type: str, payload: bytes) -> None:
    assert dsse.pae(payload_type, payload) == OtherEnvelope(payload, payload_type, {}).pae()


def test_the_envelope_and_its_ed25519_half_are_what_securesystemslib_reads() -> None:
    other = OtherEnvelope.from_dict(parsed(ENVELOPE))
    key_id = KOR.public.key_ids()[0]
    key = SSlibKey(key_id, "ed25519", "ed25519", {"public": KOR.public.ed25519})
    assert other.payload == PAYLOAD
    assert set(other.verify([key], 1)) == {key_id}


def test_the_envelope_has_one_spelling() -> None:
    value = parsed(ENVELOPE)
    assert list(value) == ["payload", "payloadType", "signatures"]
    assert base64.b64decode(value["payload"]) == PAYLOAD
    key_ids = [one["keyid"] for one in value["signatures"]]
    assert key_ids == sorted({*KOR.public.key_ids(), *JPN.public.key_ids()})
    assert compact(value) == ENVELOPE


def test_a_signed_payload_opens_for_its_signer_and_says_who_signed() -> None:
    assert dsse.open_by(ENVELOPE, TYPE, KOR.public) == PAYLOAD
    assert dsse.open_signed(ENVELOPE, TYPE, PARTIES) == dsse.Opened(PAYLOAD, frozenset({"KOR", "JPN"}))
    three = {**PARTIES, "MYS": MYS.public}
    assert dsse.open_signed(ENVELOPE, TYPE, three).signed_by == {"KOR", "JPN"}
    assert dsse.open_signed(ENVELOPE, TYPE, {}).signed_by == frozenset()


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=300))
def test_any_payload_comes_back_byte_for_byte(payload: bytes) -> None:
    assert dsse.open_by(dsse.sign(TYPE, payload, [KOR]), TYPE, KOR.public) == payload


@pytest.mark.parametrize("kept", [0, 1])
def test_one_signature_of_the_two_is_no_signature(kept: int) -> None:
    half = only(ENVELOPE, KOR.public.key_ids()[kept], *JPN.public.key_ids())
    assert dsse.open_signed(half, TYPE, PARTIES).signed_by == {"JPN"}
    with pytest.raises(SignatureError, match="not both"):
        dsse.open_by(half, TYPE, KOR.public)


@pytest.mark.parametrize("half", [0, 1])
def test_a_bad_signature_under_a_known_key_refuses_the_whole_envelope(half: int) -> None:
    spoilt_one = spoilt(ENVELOPE, KOR.public.key_ids()[half])
    with pytest.raises(SignatureError, match="KOR"):
        dsse.open_signed(spoilt_one, TYPE, PARTIES)
    assert dsse.open_by(spoilt_one, TYPE, JPN.public) == PAYLOAD, "a stranger's bad signature says nothing of JPN's"


def test_keys_put_together_from_two_parties_do_not_sign() -> None:
    """Ed25519 of one and ML-DSA of another are two halves, not a signer."""
    mixed = PublicKeys(ed25519=KOR.public.ed25519, ml_dsa_65=MYS.public.ml_dsa_65)
    with pytest.raises(SignatureError):
        dsse.open_by(ENVELOPE, TYPE, mixed)


def test_a_signature_moved_under_another_key_id_does_not_verify() -> None:
    value = parsed(ENVELOPE)
    by_id = {one["keyid"]: one for one in value["signatures"]}
    (kor, _), (jpn, _) = KOR.public.key_ids(), JPN.public.key_ids()
    by_id[kor]["sig"], by_id[jpn]["sig"] = by_id[jpn]["sig"], by_id[kor]["sig"]
    with pytest.raises(SignatureError):
        dsse.open_signed(compact(value), TYPE, PARTIES)


def test_another_payload_or_another_type_is_not_what_was_signed() -> None:
    value = parsed(ENVELOPE)
    with pytest.raises(SignatureError):
        dsse.open_by(compact({**value, "payload": base64.b64encode(PAYLOAD + b" ").decode()}), TYPE, KOR.public)
    with pytest.raises(SignatureError):
        dsse.open_by(compact({**value, "payloadType": TYPE + "2"}), TYPE + "2", KOR.public)


def test_a_true_envelope_of_another_type_is_refused() -> None:
    for asked in (TYPE + "2", TYPE.upper(), "", TYPE + " "):
        with pytest.raises(SignatureError, match="signed as"):
            dsse.open_by(ENVELOPE, asked, KOR.public)


def test_two_parties_with_one_key_could_sign_for_each_other_and_are_refused() -> None:
    half_shared = PublicKeys(ed25519=MYS.public.ed25519, ml_dsa_65=KOR.public.ml_dsa_65)
    for other in (KOR.public, half_shared):
        with pytest.raises(MalformedError, match="share"):
            dsse.open_signed(ENVELOPE, TYPE, {"KOR": KOR.public, "MYS": other})


def test_parties_sign_one_after_the_other_and_the_signed_bytes_never_change() -> None:
    first = dsse.sign(TYPE, PAYLOAD, [KOR])
    both = dsse.add(first, [JPN])
    assert dsse.open_signed(both, TYPE, PARTIES).signed_by == {"KOR", "JPN"}
    assert only(both, *KOR.public.key_ids()) == first
    assert len(parsed(dsse.add(both, [KOR]))["signatures"]) == 4


def test_envelopes_signed_apart_merge_into_one() -> None:
    one, two = dsse.sign(TYPE, PAYLOAD, [KOR]), dsse.sign(TYPE, PAYLOAD, [JPN])
    merged = dsse.merge(one, two)
    assert merged == dsse.merge(two, one)
    assert dsse.open_signed(merged, TYPE, PARTIES).signed_by == {"KOR", "JPN"}
    assert dsse.merge(merged, one) == merged == dsse.merge(merged, merged)


def test_merging_a_spoilt_copy_does_not_spoil_ours() -> None:
    stranger = spoilt(dsse.add(ENVELOPE, [MYS]), KOR.public.key_ids()[1])
    merged = dsse.merge(ENVELOPE, stranger)
    assert dsse.open_signed(merged, TYPE, {**PARTIES, "MYS": MYS.public}).signed_by == {"KOR", "JPN", "MYS"}


def test_envelopes_of_different_statements_do_not_merge() -> None:
    for other in (dsse.sign(TYPE, PAYLOAD + b" ", [JPN]), dsse.sign(TYPE + "2", PAYLOAD, [JPN])):
        with pytest.raises(MalformedError, match="different"):
            dsse.merge(ENVELOPE, other)


def respelled() -> dict[str, bytes]:
    value = parsed(ENVELOPE)
    first, *others = value["signatures"]
    payload = base64.b64encode(b"\xff\xfe\xfd\xfc").decode()
    text = ENVELOPE.decode()
    return {
        "white space": json.dumps(value).encode(),
        "a newline at the end": ENVELOPE + b"\n",
        "another order of fields": compact(dict(reversed(value.items()))),
        "another order of signatures": compact({**value, "signatures": [*others, first]}),
        "one signature twice": compact({**value, "signatures": [first, first, *others]}),
        "no signatures": compact({**value, "signatures": []}),
        "no key id": compact({**value, "signatures": [{"sig": first["sig"]}]}),
        "an empty key id": compact({**value, "signatures": [{**first, "keyid": ""}]}),
        "a field we do not know": compact({**value, "more": 1}),
        "a field we do not know in a signature": compact({**value, "signatures": [{**first, "cert": ""}]}),
        "a field twice": text.replace('{"payload":', '{"payload":"","payload":').encode(),
        "an escaped letter": text.replace("application", "\\u0061pplication").encode(),
        "url-safe base64": compact({**value, "payload": payload.replace("/", "_").replace("+", "-")}),
        "base64 without padding": compact({**value, "payload": "YQ"}),
        "base64 with spare bits": compact({**value, "payload": "YR=="}),
        "a line break in base64": text.replace('"payload":"', '"payload":"\\n').encode(),
        "base64 of base64": compact({**value, "signatures": [{**first, "sig": 5}]}),
        "an empty type": compact({**value, "payloadType": ""}),
        "a type that reads backwards": compact({**value, "payloadType": "a\u202eb"}),
        "a long type": compact({**value, "payloadType": "a" * (BOUNDS.text_chars + 1)}),
        "an array": compact([value]),
        "nothing": b"",
        "no JSON": b"{",
        "no UTF-8": ENVELOPE.replace(b"application", b"\xff\xffplication"),
        "deep": b"[" * 100_000,
    }


@pytest.mark.parametrize("name", respelled())
def test_another_spelling_is_malformed(name: str) -> None:
    envelope = respelled()[name]
    with pytest.raises(MalformedError):
        dsse.open_signed(envelope, TYPE, PARTIES)
    with pytest.raises(MalformedError):
        dsse.add(envelope, [MYS])
    with pytest.raises(MalformedError):
        dsse.merge(ENVELOPE, envelope)


def test_every_single_byte_of_an_envelope_counts() -> None:
    """A byte cut out or changed anywhere is refused."""
    envelope = dsse.sign(TYPE, PAYLOAD, [KOR])
    for at in [*range(400), *range(400, len(envelope), 97)]:
        for wrong in (
            envelope[:at] + envelope[at + 1 :],
            envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :],
        ):
            with pytest.raises((MalformedError, SignatureError)):
                dsse.open_by(wrong, TYPE, KOR.public)


def test_a_flood_of_unknown_signatures_is_bounded() -> None:
    value = parsed(ENVELOPE)
    strangers = [{"keyid": f"{number:064x}", "sig": "AAAA"} for number in range(BOUNDS.envelope_signatures)]
    fits = sorted([*strangers[:-4], *value["signatures"]], key=lambda one: one["keyid"])
    over = sorted([*strangers[:-3], *value["signatures"]], key=lambda one: one["keyid"])
    assert dsse.open_by(compact({**value, "signatures": fits}), TYPE, KOR.public) == PAYLOAD
    with pytest.raises(TooLargeError):
        dsse.open_by(compact({**value, "signatures": over}), TYPE, KOR.public)
    with pytest.raises(TooLargeError):
        dsse.add(compact({**value, "signatures": fits}), [MYS])


def test_what_is_too_large_is_neither_signed_nor_read() -> None:
    with pytest.raises(TooLargeError):
        dsse.sign(TYPE, bytes(BOUNDS.envelope_bytes), [KOR])
    with pytest.raises(TooLargeError):
        dsse.open_by(b" " * (BOUNDS.envelope_bytes + 1), TYPE, KOR.public)


def test_nobody_cannot_sign_and_nothing_without_a_type_is_signed() -> None:
    with pytest.raises(OurError):
        dsse.sign(TYPE, PAYLOAD, [])
    for payload_type in ("", "a\u202eb", "a" * (BOUNDS.text_chars + 1)):
        with pytest.raises(MalformedError):
            dsse.sign(payload_type, PAYLOAD, [KOR])


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_as_the_peers_error(content: bytes) -> None:
    with pytest.raises(MalformedError):
        dsse.open_by(content, TYPE, KOR.public)
