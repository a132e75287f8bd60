"""Incidents: noted once, bounded, told to whom they concern, and no weapon in a hostile hand."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from relto.bounds import BOUNDS
from relto.errors import OurError, PeerError, ProofError, SignatureError, UnknownPartyError
from relto.exchange import heads, incidents
from relto.exchange.answer import answer
from relto.exchange.books import (
    ACCUSED,
    AGREEMENT_EQUIVOCATION,
    EQUIVOCATION,
    FORGERY,
    FORK,
    REST,
    ROLLBACK,
    TWO_CARDS,
    SignedAgreement,
    Stream,
)
from relto.exchange.core import HALTED
from relto.exchange.messages import FIRST_CHAIN, Exhibit, Notice, Receipt, open_notice, sign_notice, sign_receipt
from relto.exchange.steps import Ask, Notices, Pages, Receipts, drive
from tests.exchange.test_heads import exchange, forked_at, observer, own_head, own_log
from tests.exchange.worlds import NOW_MS, Log, Observer, keys

pytestmark = pytest.mark.pure

ONE = Log("JPN", [f"common {n}" for n in range(7)])


def refused(found: Observer, peer: str, error: PeerError) -> None:
    found.store.write(lambda books: incidents.note_refused(found.core, books, peer, error))


def equivocates(found: Observer, peer: str, number: int, headers: tuple[bytes, ...] = (b"one", b"two")) -> None:
    id = f"{number:032x}"
    found.store.write(lambda books: incidents.note_equivocation(found.core, books, peer, id, 1, headers))


def quarantined(found: Observer) -> frozenset[str]:
    with found.store.read() as books:
        return books.quarantined()


def close(found: Observer, number: int, reason: str = "settled") -> None:
    found.store.write(lambda books: incidents.close(found.core, books, number, reason))


# --- once, and bounded ---


def test_a_hundred_forged_pages_are_one_incident_with_their_count() -> None:
    found = observer()
    for at in range(100):
        found.clock.set(NOW_MS + at)
        refused(found, "USA", SignatureError(f"page {at} does not verify"))
    (only,) = found.incidents()
    assert (only.kind, only.party, only.count, only.last_ms - only.first_ms) == (FORGERY, "USA", 100, 99)
    refused(found, "USA", ProofError("no proof"))
    refused(found, "USA", UnknownPartyError("merely wrong"))
    assert [each.subject for each in found.incidents()] == ["signature of a page", "proof of a page"]
    assert found.frozen() == frozenset()


def test_a_flood_of_equivocations_is_bounded_and_freezes_its_party_alone() -> None:
    found = observer()
    for number in range(BOUNDS.open_incidents + 50):
        equivocates(found, "USA", number)
    mine = [each for each in found.incidents() if each.party == "USA"]
    assert len(mine) == BOUNDS.open_incidents + 1
    assert (mine[-1].subject, mine[-1].count) == (REST, 50)
    assert len(quarantined(found)) == BOUNDS.open_incidents
    assert found.frozen() == {"USA"}
    equivocates(found, "JPN", 9999)
    assert f"{9999:032x}" in quarantined(found)
    close(found, mine[-1].id)
    assert found.frozen() == frozenset()


def test_the_same_two_contents_once_more_are_nothing_new_also_after_it_was_closed() -> None:
    found = observer()
    for _ in range(3):
        equivocates(found, "USA", 1)
    (only,) = found.incidents()
    assert (only.kind, only.count) == (EQUIVOCATION, 1)
    close(found, only.id)
    assert quarantined(found) == frozenset()
    equivocates(found, "USA", 1)
    assert found.incidents() == []
    equivocates(found, "USA", 1, (b"one", b"two", b"three"))
    assert [each.count for each in found.incidents()] == [2]
    assert quarantined(found) == {f"{1:032x}"}


def test_an_item_that_two_parties_equivocate_stays_frozen_until_both_are_closed() -> None:
    found = observer()
    equivocates(found, "USA", 1)
    equivocates(found, "JPN", 1)
    first, second = found.incidents()
    close(found, first.id)
    assert quarantined(found) == {f"{1:032x}"}
    close(found, second.id)
    assert quarantined(found) == frozenset()


def test_two_texts_under_one_agreement_are_held_against_who_signed_both() -> None:
    found = observer()
    for text, signed_by in ((b"a", ("PHL", "USA")), (b"b", ("JPN", "PHL", "USA")), (b"c", ("VNM",))):
        stored = SignedAgreement("STRAIT", 7, text.hex(), text, b"envelope " + text, signed_by, NOW_MS)

        def keep(books: Any, stored: SignedAgreement = stored) -> None:
            books.keep_agreement(stored)
            incidents.note_two_texts(found.core, books, stored)

        found.store.write(keep)
        found.store.write(keep)
    (only,) = found.incidents()
    assert (only.kind, only.party, only.subject) == (AGREEMENT_EQUIVOCATION, "USA", "STRAIT v7")
    assert [content for _, content in only.evidence] == [b"envelope a", b"envelope b"]


def test_closing_takes_a_reason_and_an_open_incident() -> None:
    found = observer()
    refused(found, "USA", SignatureError("no"))
    number = found.incidents()[0].id
    for wrong, reason in ((number, " "), (number + 1, "settled"), (number, "a\x00b")):
        with pytest.raises((OurError, PeerError)):
            close(found, wrong, reason)
    close(found, number, "their line was cut")
    (closed,) = found.incidents(open_only=False)
    assert (closed.open, closed.closed) == (False, "2026-11-23T00:00:00Z their line was cut")
    with pytest.raises(OurError):
        close(found, number)
    refused(found, "USA", SignatureError("no"))
    assert [each.count for each in found.incidents()] == [2]


def test_closing_an_incident_lifts_no_halt_that_something_else_made() -> None:
    found = own_log(3)
    exchange(found, [ONE.head(2)], ONE, by="PHL")
    found.store.write(lambda books: books.put_setting(HALTED, b"restored from a backup"))
    close(found, found.incidents()[0].id)
    with found.store.read() as books:
        assert books.secret(HALTED) == b"restored from a backup"


# --- notices ---


def told(found: Observer, peer: str, *, takes: bool = True) -> list[Notice]:
    sent: list[Notice] = []

    def ask(asked: Ask) -> bytes:
        assert asked.peer == peer
        assert isinstance(asked.request, Notices)
        if not takes:
            raise SignatureError("not now")
        sent.append(open_notice(asked.request.envelope, keys(found.core.party).public, by=found.core.party, to=peer))
        return b""

    drive(incidents.tell(found.core, peer), found.store, ask)
    return sent


def test_the_accused_is_told_once_and_of_its_own_incidents_alone() -> None:
    found = observer(ONE.head(4))
    exchange(found, [forked_at(2).head(4)], ONE, by="USA")
    refused(found, "USA", SignatureError("no"))
    assert told(found, "JPN", takes=False) == []
    (notice,) = told(found, "JPN")
    assert (notice.kind, notice.subject) == (FORK, "log 1")
    assert set(notice.exhibits()) >= {ONE.head(4), forked_at(2).head(4)}
    assert b"release/USA" not in b"".join(notice.exhibits())  # three letters alone stand in base64 by chance
    assert told(found, "JPN") == []
    assert [each.kind for each in told(found, "USA")] == [FORGERY]
    assert told(found, "VNM") == []


def test_a_notice_carries_no_more_evidence_than_fits() -> None:
    found = observer()
    equivocates(found, "USA", 1, (b"small", bytes(BOUNDS.notice_exhibit_bytes), b"also small"))
    (notice,) = told(found, "USA")
    assert [each.name for each in notice.evidence] == ["header-1", "header-3"]


def notice(kind: str, exhibits: list[bytes], **changed: Any) -> bytes:
    evidence = tuple(Exhibit(f"exhibit-{at}", base64.b64encode(each).decode()) for at, each in enumerate(exhibits))
    by = changed.pop("signed_by", "PHL")
    fields = {"v": 1, "by": "PHL", "to": "JPN", "kind": kind, "subject": "log 1", "evidence": evidence}
    return sign_notice(Notice(**fields | {"time_ms": NOW_MS} | changed), keys(by))


def take(found: Observer, envelope: bytes, peer: str = "PHL") -> None:
    drive(answer(found.core, peer, Notices(envelope)), found.store)


def halted(found: Observer) -> bool:
    with found.store.read() as books:
        return bool(books.secret(HALTED))


def test_a_notice_with_our_own_signature_under_a_log_that_we_lost_halts_us() -> None:
    newest = own_head(own_log(5), 5)
    found = own_log(3)
    take(found, notice(ROLLBACK, [b"no note", newest]))
    assert halted(found)
    assert found.kinds() == [(ACCUSED, "PHL"), (ROLLBACK, "JPN")]


def test_a_notice_without_our_signature_is_noted_as_its_senders_word() -> None:
    found = own_log(3)
    for subject in range(20):
        take(found, notice(FORK, [ONE.head(5, signed_by="PHL"), own_head(found, 3)], subject=f"flood {subject}"))
    assert not halted(found)
    assert [(each.kind, each.party, each.count) for each in found.incidents()] == [(ACCUSED, "PHL", 20)]
    assert told(found, "PHL") == []


def test_hostile_notices_change_nothing() -> None:
    found = own_log(3)
    hostile = [
        notice(FORK, [], signed_by="USA"),
        notice(FORK, [], by="USA", signed_by="PHL"),
        notice(FORK, [], to="USA"),
        notice("FLOOD OF KINDS", []),
        notice(ACCUSED, []),
        notice(FORK, [], subject="x" * (BOUNDS.text_chars + 1)),
        notice(FORK, [b"x"] * (BOUNDS.notice_exhibits + 1)),
        notice(FORK, [bytes(BOUNDS.request_bytes)]),
        sign_notice(msgspec.structs.replace(open_any(notice(FORK, [])), evidence=(Exhibit("x", "~"),)), keys("PHL")),
        b"",
        b"{}",
    ]
    for each in hostile:
        with pytest.raises(PeerError):
            take(found, each)
    with pytest.raises(PeerError):
        take(found, notice(FORK, []), peer="VNM")
    assert found.incidents() == []


def open_any(envelope: bytes) -> Notice:
    return open_notice(envelope, keys("PHL").public, by="PHL", to="JPN")


# --- what a peer asks and receipts ---


def streaming() -> Observer:
    """JPN with a stream to PHL of four releases, of which two are receipted."""
    found = own_log(4)
    stream = Stream("PHL", 0, 0, 1, FIRST_CHAIN, 0, 0)

    def make(books: Any) -> None:
        books.open_stream(stream)
        for n in (2, 4):
            books.add_page("PHL", n - 1, n, f"{n:064x}", b"page", NOW_MS)
        books.advance(msgspec.structs.replace(stream, next_n=5, receipted_n=2, receipt=b"the receipt"))

    found.store.write(make)
    return found


def asks(found: Observer, after_n: int) -> bytes:
    return drive(answer(found.core, "PHL", Pages(after_n)), found.store)


def test_a_peer_that_asks_again_for_what_it_receipted_was_put_back() -> None:
    found = streaming()
    for _ in range(3):
        assert asks(found, 2) == b"page"
    assert found.incidents() == []
    for _ in range(3):
        assert asks(found, 0) == b"page"
    (only,) = found.incidents()
    assert (only.kind, only.party, only.count, only.evidence) == (ROLLBACK, "PHL", 1, (("receipt", b"the receipt"),))
    assert found.frozen() == frozenset()


def test_a_peer_that_asks_beyond_our_stream_is_noted_and_cannot_halt_us() -> None:
    found = streaming()
    for after_n in (9, 9, 10_000):
        with pytest.raises(PeerError):
            asks(found, after_n)
    assert [(each.kind, each.count) for each in found.incidents()] == [(ACCUSED, 1)]
    assert not halted(found)


def test_a_false_receipt_is_kept_as_its_signers_word_and_a_true_one_is_a_witness() -> None:
    found = streaming()
    with found.store.read() as books:
        true = Receipt(1, "PHL", "JPN", 4, f"{4:064x}", 1, 4, books.head().root.hex(), NOW_MS)
    for changed in ({"log_root": "00" * 32}, {"log_size": 9}, {"chain": "00" * 32}, {"up_to_n": 3}):
        false = Receipt(**{name: getattr(true, name) for name in true.__struct_fields__} | changed)
        with pytest.raises(PeerError):
            drive(answer(found.core, "PHL", Receipts(sign_receipt(false, keys("PHL")))), found.store)
    (only,) = found.incidents()
    assert (only.kind, only.party, only.count) == (ACCUSED, "PHL", 4)
    assert not halted(found)
    drive(answer(found.core, "PHL", Receipts(sign_receipt(true, keys("PHL")))), found.store)
    with found.store.read() as books:
        assert [(each.party, each.size) for each in heads.witnesses(found.core, books)] == [("PHL", 4)]


def test_every_kind_says_what_is_frozen_and_what_to_do() -> None:
    kinds = {ACCUSED, AGREEMENT_EQUIVOCATION, EQUIVOCATION, FORGERY, FORK, ROLLBACK, TWO_CARDS, "UNPROVEN"}
    assert kinds <= set(incidents.MEANING)
    assert all(len(each) == 2 and all(each) for each in incidents.MEANING.values())
