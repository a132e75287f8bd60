"""A party's card: what it may say, who may have signed it, and what can take its place."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.envelope import dsse
from relto.envelope.card import (
    CARD_TYPE,
    PartyCard,
    Revocation,
    check_party,
    check_url,
    open_card,
    sign_card,
    succeeds,
)
from relto.envelope.keys import PrivateKeys, fingerprint
from relto.errors import (
    ExpiredError,
    MalformedError,
    NotForUsError,
    OurError,
    PeerError,
    SignatureError,
    TooLargeError,
)
from relto.strict import canonical, parse_canonical

pytestmark = pytest.mark.pure

NOW_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
DAY_MS = 24 * 3600 * 1000
AUTHORITY = PrivateKeys.from_seeds(bytes([1]) * 32, bytes([2]) * 32)
NODE = PrivateKeys.from_seeds(bytes([3]) * 32, bytes([4]) * 32)
ATTACKER = PrivateKeys.from_seeds(bytes([5]) * 32, bytes([6]) * 32)


def card_of(**changes: Any) -> PartyCard:
    fields: dict[str, Any] = {
        "v": 1,
        "party": "JPN",
        "name": "海上保安庁 Japan Coast Guard",
        "version": 7,
        "authority": AUTHORITY.public,
        "node": NODE.public,
        "sealing": "0a" * 1216,
        "tls_ca": base64.b64encode(b"certificate").decode(),
        "url": "https://node.example:8443/relto",
        "issued_ms": NOW_MS,
        "expires_ms": NOW_MS + 90 * DAY_MS,
    }
    return PartyCard(**fields | changes)


CARD = card_of()
ENVELOPE = sign_card(CARD, AUTHORITY)
PINNED = fingerprint(AUTHORITY.public)


@pytest.mark.parametrize("pinned", [PINNED, None])
def test_what_is_signed_is_what_is_read(pinned: str | None) -> None:
    assert open_card(ENVELOPE, now_ms=NOW_MS, pinned=pinned) == CARD
    assert open_card(ENVELOPE, now_ms=CARD.expires_ms - 1, pinned=pinned) == CARD
    assert CARD.tls_ca_der() == b"certificate"


def test_fields_stand_in_the_order_of_the_specification() -> None:
    assert PartyCard.__struct_fields__ == (
        "v",
        "party",
        "name",
        "version",
        "authority",
        "node",
        "sealing",
        "tls_ca",
        "url",
        "issued_ms",
        "expires_ms",
        "log",
        "revoked",
    )
    assert canonical(CARD).startswith('{"v":1,"party":"JPN","name":"海上保安庁 Japan'.encode())


def test_card_signed_by_whoever_carries_it_needs_the_pin() -> None:
    """An attacker makes a card of Japan with keys of its own: well signed, and not Japan's."""
    forged = sign_card(card_of(authority=ATTACKER.public), ATTACKER)
    assert open_card(forged, now_ms=NOW_MS, pinned=None).party == "JPN"
    with pytest.raises(SignatureError, match=f"but {PINNED} is pinned") as told:
        open_card(forged, now_ms=NOW_MS, pinned=PINNED)
    assert "Telephone" in told.value.remedy


@pytest.mark.parametrize("pinned", ["", PINNED.lower(), PINNED[:-1], fingerprint(NODE.public)])
def test_pin_is_compared_whole(pinned: str) -> None:
    with pytest.raises(SignatureError, match="is pinned"):
        open_card(ENVELOPE, now_ms=NOW_MS, pinned=pinned)


def test_card_signed_by_others_than_its_authority() -> None:
    for signer in (ATTACKER, NODE):
        with pytest.raises(SignatureError):
            open_card(dsse.sign(CARD_TYPE, canonical(CARD), [signer]), now_ms=NOW_MS, pinned=PINNED)
        with pytest.raises(OurError, match="names the authority keys"):
            sign_card(CARD, signer)


def test_one_of_two_signatures_is_none() -> None:
    whole = msgspec.json.decode(ENVELOPE)
    for kept in whole["signatures"]:
        half = msgspec.json.encode({**whole, "signatures": [kept]})
        with pytest.raises(SignatureError):
            open_card(half, now_ms=NOW_MS, pinned=PINNED)


def test_signature_of_another_kind_of_document_is_none() -> None:
    other = dsse.sign("application/vnd.relto.agreement+toml", canonical(CARD), [AUTHORITY])
    with pytest.raises(SignatureError):
        open_card(other, now_ms=NOW_MS, pinned=PINNED)


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, change: int) -> None:
    changed = ENVELOPE[:at] + bytes([ENVELOPE[at] ^ change]) + ENVELOPE[at + 1 :]
    with pytest.raises(PeerError):
        open_card(changed, now_ms=NOW_MS, pinned=None)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", ENVELOPE[:-1], ENVELOPE + b" ", b"[" * 10_000])
def test_bytes_that_are_no_card(content: bytes) -> None:
    with pytest.raises(PeerError):
        open_card(content, now_ms=NOW_MS, pinned=None)


def test_card_over_its_bound_is_not_even_read() -> None:
    with pytest.raises(TooLargeError, match=f"at most {BOUNDS.card_bytes}"):
        open_card(ENVELOPE + bytes(BOUNDS.card_bytes), now_ms=NOW_MS, pinned=None)


def test_expired_card() -> None:
    for now_ms in (CARD.expires_ms, CARD.expires_ms + DAY_MS):
        with pytest.raises(ExpiredError, match="JPN's card was over at 2027-02-21T00:00:00Z"):
            open_card(ENVELOPE, now_ms=now_ms, pinned=PINNED)


def test_card_from_the_future() -> None:
    within, beyond = NOW_MS - BOUNDS.future_ms, NOW_MS - BOUNDS.future_ms - 1
    assert open_card(ENVELOPE, now_ms=within, pinned=PINNED) == CARD
    with pytest.raises(MalformedError, match="is in the future"):
        open_card(ENVELOPE, now_ms=beyond, pinned=PINNED)


def test_other_spelling_of_the_same_card() -> None:
    for spelling in (
        canonical(CARD).replace(b'"v":1', b'"v": 1'),
        canonical(CARD)[:-1] + b',"extra":1}',
        canonical(CARD).replace(b'"version":7', b'"version":7.0'),
        b'{"v":1,' + canonical(CARD)[1:],
    ):
        with pytest.raises(PeerError):
            open_card(dsse.sign(CARD_TYPE, spelling, [AUTHORITY]), now_ms=NOW_MS, pinned=None)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("v", 0),
        ("v", 2),
        ("party", "japan"),
        ("party", "J"),
        ("party", "JPN "),
        ("name", ""),
        ("name", "  "),
        ("name", "Japan\u202e"),
        ("name", "J" * (BOUNDS.text_chars + 1)),
        ("version", 0),
        ("version", -1),
        ("version", 2**53),
        ("sealing", ""),
        ("sealing", "0a" * 1215),
        ("sealing", "0A" * 1216),
        ("sealing", "0g" * 1216),
        ("tls_ca", ""),
        ("tls_ca", "Y2Vy dGlm"),
        ("tls_ca", "Y2VydA"),
        ("tls_ca", "Y2VydB=="),
        ("tls_ca", "Y2Vyd\n=="),
        ("tls_ca", base64.b64encode(bytes(BOUNDS.certificate_bytes + 1)).decode()),
        ("url", "http://node.example"),
        ("issued_ms", -1),
        ("issued_ms", NOW_MS + 90 * DAY_MS),
        ("expires_ms", 2**52),
    ],
)
def test_field_that_is_not_of_its_form(field: str, wrong: Any) -> None:
    with pytest.raises(MalformedError):
        card_of(**{field: wrong})
    content = canonical(CARD).replace(
        f'"{field}":'.encode() + msgspec.json.encode(getattr(CARD, field)),
        f'"{field}":'.encode() + msgspec.json.encode(wrong),
        1,
    )
    assert content != canonical(CARD)
    with pytest.raises(MalformedError):
        parse_canonical(content, PartyCard)


@pytest.mark.parametrize(
    "url", ["https://node.example", "https://node.example:8443/", "https://192.0.2.1/a/b", "https://[2001:db8::1]:8443"]
)
def test_plain_addresses(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///path",
        "ftp://node.example",
        "HTTPS://node.example",
        "https://Node.Example",
        "https://user@node.example",
        "https://user:word@node.example",
        "https://node.example?x",
        "https://node.example/?x",
        "https://node.example/#x",
        "https://node.example/a b",
        "https://node.example/%2e%2e",
        "https://node.example\\@elsewhere",
        "https://node.example:0",
        "https://node.example:65536",
        "https://node.example:x",
        "https://[::1",
        "https://nоde.example",  # a Cyrillic о
        "https://node.example\n",
        "//node.example",
        "https://" + "a" * 300,
    ],
)
def test_addresses_that_are_not_plain(url: str) -> None:
    with pytest.raises(MalformedError):
        check_url(url)


@pytest.mark.parametrize("party", ["JPN", "IFC-SGP", "AB", "A" * 16, "Q4"])
def test_ids_of_parties(party: str) -> None:
    assert check_party(party) == party


@pytest.mark.parametrize("party", ["", "A", "jpn", "A" * 17, "4Q", "-A", "A_B", "JPN\n", "ＪＰＮ"])
def test_ids_that_are_none(party: str) -> None:
    with pytest.raises(MalformedError, match="is not the id of a party"):
        check_party(party)


class TestSucceeds:
    def test_newer_card_with_everything_else_changed(self) -> None:
        newer = card_of(version=8, name="JCG", node=ATTACKER.public, url="https://b.example", sealing="0b" * 1216)
        assert succeeds(CARD, newer) is newer

    @pytest.mark.parametrize("version", [1, 6, 7])
    def test_rollback(self, version: int) -> None:
        with pytest.raises(ExpiredError, match=f"has version {version}, and version 7 is known"):
            succeeds(CARD, card_of(version=version, expires_ms=NOW_MS + 365 * DAY_MS))

    def test_two_cards_of_one_version(self) -> None:
        with pytest.raises(ExpiredError):
            succeeds(CARD, card_of(url="https://b.example"))

    def test_take_over(self) -> None:
        with pytest.raises(SignatureError, match="JPN's card is signed by") as told:
            succeeds(CARD, card_of(version=8, authority=ATTACKER.public))
        assert "Telephone" in told.value.remedy

    def test_take_over_of_one_of_the_two_keys(self) -> None:
        mixed = msgspec.structs.replace(AUTHORITY.public, ed25519=ATTACKER.public.ed25519)
        with pytest.raises(SignatureError):
            succeeds(CARD, card_of(version=8, authority=mixed))

    def test_card_of_another_party(self) -> None:
        with pytest.raises(NotForUsError, match="PHL's card cannot follow JPN's"):
            succeeds(CARD, card_of(version=8, party="PHL"))

    def test_newer_card_that_revokes_more_and_earlier(self) -> None:
        old = card_of(node=ATTACKER.public, revoked=(Revocation(VOID, NOW_MS),))
        more = tuple(sorted([Revocation(VOID, NOW_MS - 1), Revocation(fingerprint(ATTACKER.public), NOW_MS)]))
        newer = card_of(version=8, log=2, revoked=more)
        assert succeeds(old, newer) is newer

    @pytest.mark.parametrize("revoked", [(), (Revocation("0000-0000-0000-0000-0000-0000", NOW_MS),)])
    def test_revocation_taken_back(self, revoked: tuple[Revocation, ...]) -> None:
        old = card_of(revoked=(Revocation(VOID, NOW_MS),))
        with pytest.raises(ExpiredError, match="takes back"):
            succeeds(old, card_of(version=8, revoked=revoked))
        with pytest.raises(ExpiredError, match="takes back"):
            succeeds(old, card_of(version=8, revoked=(Revocation(VOID, NOW_MS + 1),)))

    def test_log_that_was_lost_and_is_counted_again(self) -> None:
        with pytest.raises(ExpiredError, match="takes back"):
            succeeds(card_of(log=2), card_of(version=8, log=1))


VOID = fingerprint(PrivateKeys.from_seeds(bytes([7]) * 32, bytes([8]) * 32).public)


def test_card_of_a_party_that_lost_nothing_says_nothing_of_it() -> None:
    assert b"revoked" not in canonical(CARD) and b'"log"' not in canonical(CARD)
    spelt = canonical(CARD)[:-1] + b',"log":1}'
    with pytest.raises(MalformedError):
        parse_canonical(spelt, PartyCard)


def test_revocation_travels_signed() -> None:
    card = card_of(log=2, revoked=(Revocation(VOID, NOW_MS),))
    found = open_card(sign_card(card, AUTHORITY), now_ms=NOW_MS, pinned=PINNED)
    assert found == card
    assert found.void_since_ms(NODE.public) is None
    assert found.void_since_ms(PrivateKeys.from_seeds(bytes([7]) * 32, bytes([8]) * 32).public) == NOW_MS


@pytest.mark.parametrize(
    "revoked",
    [
        (Revocation("", NOW_MS),),
        (Revocation(VOID.lower(), NOW_MS),),
        (Revocation(VOID, -1),),
        (Revocation(VOID, NOW_MS), Revocation(VOID, NOW_MS + 1)),
        (Revocation("ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ", NOW_MS), Revocation(VOID, NOW_MS)),
        (Revocation(fingerprint(NODE.public), NOW_MS),),
        tuple(Revocation(f"0000-0000-0000-0000-0000-{at:04}", NOW_MS) for at in range(BOUNDS.card_logs + 1)),
    ],
)
def test_revocation_that_is_none(revoked: tuple[Revocation, ...]) -> None:
    with pytest.raises(MalformedError):
        card_of(revoked=revoked)


@pytest.mark.parametrize("log", [0, -1, BOUNDS.card_logs + 1])
def test_log_number_that_is_none(log: int) -> None:
    with pytest.raises(MalformedError):
        card_of(log=log)
