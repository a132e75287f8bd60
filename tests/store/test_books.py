"""What any store of books promises, whatever keeps it: the functions of ``relto.exchange.books.Books``, one by one."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from relto.envelope.merkle import EMPTY_ROOT, leaf_hash, root
from relto.exchange.books import (
    Arrival,
    Carriage,
    Floor,
    Head,
    Inbound,
    Incident,
    PageKey,
    Parcel,
    Partner,
    SeenHead,
    SignedAgreement,
    Store,
    Waiting,
)
from tests.store.conftest import filed, leaf, release, stream

LARGE = 2**53 - 1  # the largest number that travels


# --- one transaction ---


def test_a_job_that_raises_leaves_nothing(store: Store) -> None:
    def fails(books: Any) -> None:
        books.put_setting("a", b"1")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.write(fails)
    with store.read() as books:
        assert books.secret("a") is None


def test_a_job_reads_what_it_wrote_and_its_result_comes_back(store: Store) -> None:
    def job(books: Any) -> bytes | None:
        books.put_setting("a", b"\x00\xff")
        return books.secret("a")

    assert store.write(job) == b"\x00\xff"


def test_a_reader_sees_one_state_for_as_long_as_it_reads(store: Store) -> None:
    store.write(lambda books: books.insert_items([filed(1)]))
    with store.read() as before:
        assert before.last_seq() == 1
        store.write(lambda books: books.insert_items([filed(2)]))
        assert before.last_seq() == 1
        assert before.versions(f"{2:032x}") == []
    with store.read() as after:
        assert after.last_seq() == 2


# --- the rules ---


def test_every_change_of_the_rules_raises_their_version(store: Store) -> None:
    agreement = SignedAgreement("MDA-X", 1, "0" * 64, b"text", b"envelope", ("JPN", "PHL"), 5)
    changes = (
        lambda books: books.keep_partner(Partner("PHL", b"card", "f", 1)),
        lambda books: books.keep_agreement(agreement),
        lambda books: books.set_quarantined(frozenset({"PHL"})),
        lambda books: books.rules_changed(),
    )
    for number, change in enumerate(changes, start=1):
        store.write(change)
        with store.read() as books:
            assert books.rules_version() == number


def test_a_partner_is_kept_under_its_name_with_its_newest_card(store: Store) -> None:
    for party, card in (("PHL", b"1"), ("AUS", b"2"), ("PHL", b"3")):
        store.write(lambda books, party=party, card=card: books.keep_partner(Partner(party, card, "f", 1)))
    with store.read() as books:
        assert [(each.party, each.card) for each in books.partners()] == [("AUS", b"2"), ("PHL", b"3")]
        assert books.partner("PHL") == Partner("PHL", b"3", "f", 1)
        assert books.partner("XXX") is None


def test_names_are_ordered_byte_by_byte_whatever_the_language_of_the_server(store: Store) -> None:
    names = ["A-Z", "AB", "A1", "ZZ", "a", "é"]
    for name in names:
        store.write(lambda books, name=name: books.keep_partner(Partner(name, b"", "", 0)))
    with store.read() as books:
        assert [each.party for each in books.partners()] == sorted(names, key=str.encode)


def test_two_texts_of_one_agreement_are_kept_both(store: Store) -> None:
    one = SignedAgreement("MDA-X", 1, "0" * 64, b"one", b"", ("JPN",), 1)
    two = msgspec.structs.replace(one, sha256="1" * 64, text=b"two")
    newer = msgspec.structs.replace(one, version=2, text=b"newer")
    signed = msgspec.structs.replace(one, signed_by=("JPN", "PHL"), changed_ms=LARGE)
    for each in (newer, one, two, signed):
        store.write(lambda books, each=each: books.keep_agreement(each))
    with store.read() as books:
        assert books.agreements() == [signed, two, newer]
        assert books.agreement("MDA-X") == newer
        assert books.same_agreement("MDA-X", 1, "1" * 64) == two
        assert books.same_agreement("MDA-X", 3, "1" * 64) is None


def test_quarantine_is_what_was_set_last(store: Store) -> None:
    with store.read() as books:
        assert books.quarantined() == frozenset()
    store.write(lambda books: books.set_quarantined(frozenset({"PHL", "0" * 32})))
    store.write(lambda books: books.set_quarantined(frozenset({"PHL"})))
    with store.read() as books:
        assert books.quarantined() == {"PHL"}


def test_a_secret_is_kept_once_and_a_setting_follows(store: Store) -> None:
    for value in (b"1", b"2"):
        store.write(lambda books, value=value: (books.keep_secret("key", value), books.put_setting("set", value)))
    with store.read() as books:
        assert (books.secret("key"), books.secret("set")) == (b"1", b"2")


# --- items ---


def test_items_keep_the_order_in_which_they_came_and_every_byte(store: Store) -> None:
    assert store.write(lambda books: books.insert_items([filed(3), filed(1), filed(2)])) == 3
    assert store.write(lambda books: books.insert_items([])) == 0
    with store.read() as books:
        found = books.after(0, 10)
        assert [each.seq for each in found] == [1, 2, 3]
        assert [each.content for each in found] == [b"3", b"1", b"2"]
        assert found[0].header == filed(3).item.header_bytes
        assert [each.seq for each in books.after(1, 1)] == [2]


def test_our_own_record_stays_as_it_was_first_stored(store: Store) -> None:
    assert store.write(lambda books: books.insert_items([filed(1, text="first")])) == 1
    assert store.write(lambda books: books.insert_items([filed(1, text="second"), filed(2)])) == 1
    with store.read() as books:
        assert [each.content for each in books.versions(f"{1:032x}")] == [b"first"]
        assert [each.content for each in books.after(0, 9)] == [b"first", b"2"]


def test_other_bytes_under_one_key_of_a_peer_are_kept_beside_the_first_and_told(store: Store) -> None:
    for text in ("first", "second", "first"):
        store.write(lambda books, text=text: books.insert_items([filed(1, text=text, by="PHL", origin="PHL")]))
    store.write(lambda books: books.insert_items([filed(2, by="PHL", origin="PHL")]))
    ids = [f"{1:032x}", f"{2:032x}"]
    with store.read() as books:
        assert [each.content for each in books.versions(ids[0])] == [b"first", b"second"]
        ((told, version, headers),) = books.equivocal("PHL", ids)
        assert (told, version) == (ids[0], 1)
        assert [hashlib.sha256(each).digest() for each in headers] == [
            hashlib.sha256(filed(1, text=text, origin="PHL").item.header_bytes).digest() for text in ("first", "second")
        ]
        assert books.equivocal("AUS", ids) == []


def test_the_largest_numbers_that_travel_are_kept(store: Store) -> None:
    kept = filed(1, LARGE, by="PHL", origin="PHL", edition=LARGE, received_ms=LARGE, expires_ms=LARGE, arrival=LARGE)
    store.write(lambda books: books.insert_items([kept]))
    store.write(lambda books: books.raise_floors([Floor("PHL", f"{1:032x}", LARGE)]))
    with store.read() as books:
        (found,) = books.after(0, 1)
        assert (found.edition, found.received_ms, found.expires_ms, found.arrival) == (LARGE,) * 4
        assert books.floors([f"{1:032x}"])["PHL", f"{1:032x}"].version == LARGE


def test_a_floor_never_falls_and_only_a_higher_version_raises_the_dead(store: Store) -> None:
    key = f"{1:032x}"
    steps = (
        (Floor("PHL", key, 3), (3, False)),
        (Floor("PHL", key, 2), (3, False)),
        (Floor("PHL", key, 2, dead=True), (3, False)),
        (Floor("PHL", key, 3, dead=True), (3, True)),
        (Floor("PHL", key, 3), (3, True)),
        (Floor("PHL", key, 4), (4, False)),
    )
    for floor, expected in steps:
        store.write(lambda books, floor=floor: books.raise_floors([floor, Floor("AUS", key, 1)]))
        with store.read() as books:
            found = books.floors([key])
            assert (found["PHL", key].version, found["PHL", key].dead) == expected
            assert found["AUS", key] == Floor("AUS", key, 1)
    store.write(lambda books: books.raise_floors([Floor("JPN", key, 2), Floor("JPN", key, 5), Floor("JPN", key, 1)]))
    with store.read() as books:
        assert books.floors([key])["JPN", key].version == 5
        assert books.floors([f"{9:032x}"]) == {}


def test_superseded_and_withdrawn_items_leave_the_queue_and_received_bytes_go(store: Store) -> None:
    store.write(lambda books: books.insert_items([filed(1, 1), filed(1, 2), filed(1, 1, by="PHL", hops=b"h")]))
    key = f"{1:032x}"
    assert store.write(lambda books: books.supersede(key, 2, by="")) == 1
    with store.read() as books:
        assert [each.standing for each in books.versions(key)] == ["superseded", "current", "current"]
        assert [each.seq for each in books.after(0, 9)] == [2, 3]
        assert books.standing([1, 2, 3, 99]) == {2, 3}
        assert [each.seq for each in books.by_seq([3, 1, 2])] == [2, 3]
    assert store.write(lambda books: books.erase(key, 2)) == 2
    with store.read() as books:
        own, newer, received = books.versions(key)
        assert (own.standing, newer.standing, received.standing) == ("withdrawn", "current", "withdrawn")
        assert (own.content, received.content, received.header, received.hops, received.title) == (b"1", *[b""] * 3, "")
    assert store.write(lambda books: books.erase(key, 2)) == 0


def test_superseding_reaches_one_party_or_one_origin_only(store: Store) -> None:
    rows = [filed(1, by="PHL", origin="IDN"), filed(1, by="AUS", origin="IDN"), filed(1, by="AUS", origin="USA")]
    store.write(lambda books: books.insert_items(rows))
    assert store.write(lambda books: books.supersede(f"{1:032x}", 5, by="AUS", origin="IDN")) == 1
    with store.read() as books:
        assert books.standing([1, 2, 3]) == {1, 3}


def test_urgent_items_have_a_queue_of_their_own(store: Store) -> None:
    store.write(lambda books: books.insert_items([filed(1), filed(2, urgency=2), filed(3), filed(4, urgency=1)]))
    with store.read() as books:
        assert [each.seq for each in books.after(0, 9)] == [1, 3]
        assert [each.seq for each in books.urgent_after(0, 9)] == [2, 4]
        assert [each.seq for each in books.urgent_after(2, 9)] == [4]


def test_what_is_over_its_retention_goes_and_its_number_never_comes_again(store: Store) -> None:
    store.write(lambda books: books.insert_items([filed(1), filed(2, expires_ms=50), filed(3, expires_ms=51)]))
    assert store.write(lambda books: books.purge(50)) == 1
    assert store.write(lambda books: books.purge(51)) == 1
    assert store.write(lambda books: books.purge(99)) == 0
    store.write(lambda books: books.insert_items([filed(4)]))
    with store.read() as books:
        (newest,) = books.after(1, 9)
        assert newest.seq > 3


def test_more_ids_than_one_question_holds_are_all_answered(store: Store) -> None:
    floors = [Floor("PHL", f"{number:032x}", number + 1) for number in range(1234)]
    store.write(lambda books: books.raise_floors(floors))
    with store.read() as books:
        found = books.floors([each.id for each in floors])
        assert sorted(each.version for each in found.values()) == list(range(1, 1235))
        assert books.standing(list(range(1234))) == frozenset()


# --- outgoing ---


def test_a_stream_is_opened_once_and_moves(store: Store) -> None:
    store.write(lambda books: books.open_stream(stream("PHL", scanned_seq=7)))
    store.write(lambda books: books.open_stream(stream("PHL", scanned_seq=9)))
    store.write(lambda books: books.open_stream(stream("AUS")))
    moved = stream("PHL", scanned_seq=LARGE, next_n=LARGE, receipt=b"r", receipted_ms=5)
    with store.read() as books:
        assert books.stream("PHL") == stream("PHL", scanned_seq=7)
        assert books.stream("XXX") is None
    store.write(lambda books: books.advance(moved))
    with store.read() as books:
        assert books.all_streams() == [stream("AUS"), moved]


def test_pages_are_found_by_where_they_begin_and_end(store: Store) -> None:
    store.write(lambda books: books.open_stream(stream("PHL")))
    for first, last, content in ((1, 2, b"one"), (3, 3, b"two")):
        store.write(
            lambda books, first=first, last=last, content=content: books.add_page(
                "PHL", first, last, f"chain {last}", content, 5
            )
        )
    with store.read() as books:
        assert [books.page_after("PHL", n) for n in range(4)] == [b"one", None, b"two", None]
        assert [books.chain_at("PHL", n) for n in range(4)] == [None, None, "chain 2", "chain 3"]
        assert books.page_after("AUS", 0) is None
        assert books.unreceipted("PHL") == Waiting(2, 6)
    store.write(lambda books: books.advance(stream("PHL", receipted_n=2)))
    with store.read() as books:
        assert books.unreceipted("PHL") == Waiting(1, 3)
        assert books.unreceipted("AUS") == Waiting()


def test_a_release_is_never_given_a_number_twice(store: Store) -> None:
    store.write(lambda books: books.add_releases([release("PHL", 1, 1)]))
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.write(lambda books: books.add_releases([release("PHL", 1, 2)]))
    with store.read() as books:
        assert books.releases_of(f"{2:032x}") == []


def test_releases_tell_who_had_what_and_what_was_withdrawn(store: Store) -> None:
    rows = [
        release("PHL", 1, 1),
        release("PHL", 2, 2, expires_ms=9),
        release("PHL", 3, 1, version=2, view="nothing"),
        release("AUS", 1, 1),
    ]
    store.write(lambda books: books.add_releases(rows))
    one, two = f"{1:032x}", f"{2:032x}"
    with store.read() as books:
        assert books.releases_of(one) == [rows[3], rows[0], rows[2]]
        assert dict(books.held("PHL", [one, two, f"{3:032x}"])) == {one: rows[2], two: rows[1]}
        assert books.withdrawn_since("PHL", 0, 9) == [rows[2]]
        assert books.withdrawn_since("PHL", 3, 9) == []


def test_what_waits_comes_when_its_hour_has_come(store: Store) -> None:
    store.write(lambda books: books.defer("PHL", [(1, 30), (2, 10), (3, 10)]))
    store.write(lambda books: books.defer("PHL", [(1, 5)]))  # the first hour holds
    store.write(lambda books: books.defer("AUS", []))
    with store.read() as books:
        assert books.due("PHL", 9, 9) == []
        assert books.due("PHL", 30, 9) == [2, 3, 1]
        assert books.due("PHL", 30, 2) == [2, 3]
        assert books.recipients_due(9) == []
        assert books.recipients_due(10) == ["PHL"]
    store.write(lambda books: books.settle("PHL", [2, 3, 99]))
    with store.read() as books:
        assert books.due("PHL", 30, 9) == [1]


def test_tallies_add_up(store: Store) -> None:
    for _ in range(2):
        store.write(lambda books: books.tally("PHL", {("FULL", "A"): 2, ("WITHHELD", "B"): 1}))
    store.write(lambda books: books.tally("AUS", {}))
    with store.read() as books:
        assert sorted(books.tallied()) == [("PHL", "FULL", "A", 4), ("PHL", "WITHHELD", "B", 2)]


def test_the_sizes_of_pages_are_told_without_their_contents(store: Store) -> None:
    for first, last, content in ((1, 2, b"one"), (3, 3, b"longer"), (4, 9, b"")):
        store.write(
            lambda books, first=first, last=last, content=content: books.add_page("PHL", first, last, "c", content, 5)
        )
    with store.read() as books:
        assert books.page_sizes("PHL", 0, 9) == [(1, 2, 3), (3, 3, 6), (4, 9, 0)]
        assert books.page_sizes("PHL", 2, 1) == [(3, 3, 6)]
        assert books.page_sizes("AUS", 0, 9) == []


def test_what_waits_long_can_be_hastened(store: Store) -> None:
    store.write(lambda books: books.defer("PHL", [(1, 30), (2, LARGE), (3, LARGE - 1)]))
    with store.read() as books:
        assert (books.due_count("PHL", 31), books.due_count("PHL", LARGE), books.due_count("AUS", 0)) == (2, 1, 0)
    assert store.write(lambda books: books.hasten("PHL", 31, 7)) == 2
    with store.read() as books:
        assert books.due("PHL", 7, 9) == [2, 3]


# --- incoming ---


def test_an_incoming_stream_begins_at_one_and_moves(store: Store) -> None:
    moved = Inbound("PHL", 5, "c" * 64, 2, LARGE, b"\x01" * 32, 4, 9)
    with store.read() as books:
        assert books.inbound("PHL") == Inbound("PHL")
    for each in (Inbound("PHL"), moved):
        store.write(lambda books, each=each: books.move_inbound(each))
    with store.read() as books:
        assert books.all_inbounds() == [moved]


def test_what_proves_a_batch_is_found_by_its_number(store: Store) -> None:
    proofs = [Arrival(peer, 1, b"card", b"h", b"s", b"\x00", b"e", b"r", 7) for peer in ("PHL", "AUS")]
    numbers = [store.write(lambda books, each=each: books.add_arrival(each)) for each in proofs]
    with store.read() as books:
        assert [books.arrival(number) for number in numbers] == proofs
        assert books.arrival(max(numbers) + 1) is None


def test_batches_are_found_by_their_place_in_the_stream_and_their_time(store: Store) -> None:
    proofs = [Arrival("PHL", n, b"card %d" % n, b"h", b"s", b"p", b"e", b"r", 10 * n) for n in (1, 4, 9)]
    numbers = [store.write(lambda books, each=each: books.add_arrival(each)) for each in proofs]
    with store.read() as books:
        assert books.arrivals_after("PHL", 1, 9) == [(numbers[1], proofs[1]), (numbers[2], proofs[2])]
        assert books.arrivals_after("PHL", 0, 1, since_ms=40) == [(numbers[1], proofs[1])]
        assert books.arrivals_after("AUS", 0, 9) == []
        assert (books.arrived_at("PHL", 4), books.arrived_at("PHL", 5)) == (proofs[1], None)
    again = msgspec.structs.replace(proofs[1], card=b"newer")
    store.write(lambda books: books.add_arrival(again))
    with store.read() as books:
        assert books.arrived_at("PHL", 4) == again


def test_what_came_in_a_batch_is_found_whatever_its_standing(store: Store) -> None:
    rows = [filed(n, by="PHL", arrival=7, place=3 - n) for n in (1, 2, 3)] + [filed(4, by="PHL", arrival=8, place=0)]
    store.write(lambda books: books.insert_items(rows))
    store.write(lambda books: books.set_standing([1, 3], "withdrawn"))
    with store.read() as books:
        assert [(each.seq, each.standing) for each in books.arrived(7)] == [
            (3, "withdrawn"),
            (2, "current"),
            (1, "withdrawn"),
        ]
        assert books.standing([1, 2, 3, 4]) == {2, 4}
    store.write(lambda books: books.set_standing([], "current"))


# --- after a loss ---


def test_what_closes_a_page_again_is_kept_until_its_receipt(store: Store) -> None:
    kept = [PageKey("PHL", n, bytes([n]) * 32, n) for n in (1, 4, 9)]
    for each in (*reversed(kept), PageKey("AUS", 1, bytes(32), 0)):
        store.write(lambda books, each=each: books.keep_page_key(each))
    store.write(lambda books: books.drop_page_keys("PHL", 4))
    with store.read() as books:
        assert books.page_keys("PHL") == [kept[2]]
        assert len(books.page_keys("AUS")) == 1


def test_pages_that_never_arrived_are_taken_back(store: Store) -> None:
    def fill(books: Any) -> None:
        for first in (1, 3):
            books.add_page("PHL", first, first + 1, f"chain {first + 1}", b"old", 5)
            books.keep_page_key(PageKey("PHL", first, bytes(32), 0))
        books.add_releases([release("PHL", n, 10 + n) for n in (1, 2, 3, 4)] + [release("AUS", 3, 13)])
        books.replace_page("PHL", 1, b"new")

    store.write(fill)
    assert store.write(lambda books: books.drop_unreceived("PHL", 2)) == [13, 14]
    with store.read() as books:
        assert (books.page_after("PHL", 0), books.page_after("PHL", 2)) == (b"new", None)
        assert (books.chain_at("PHL", 2), books.chain_at("PHL", 4)) == ("chain 2", None)
        assert [each.first_n for each in books.page_keys("PHL")] == [1]
        assert [each.recipient for each in books.releases_of(f"{13:032x}")] == ["AUS"]


def test_a_log_that_is_put_away_leaves_an_empty_one(store: Store) -> None:
    for number in (1, 2):

        def close(books: Any, number: int = number) -> None:
            found, _ = books.append(0, [leaf(number), leaf(9)])
            books.set_head(Head(2, found, b"note"))
            books.close_log(number)

        store.write(close)
        with store.read() as books:
            assert books.head() == Head(0, EMPTY_ROOT, b"")


# --- carried for others ---


def test_a_carriage_begins_at_nothing_and_moves(store: Store) -> None:
    moved = Carriage("PHL", "AUS", LARGE, 5)
    with store.read() as books:
        assert books.carriage("PHL", "AUS") == Carriage("PHL", "AUS")
    for each in (Carriage("PHL", "AUS", 1), moved, Carriage("AUS", "PHL", 1)):
        store.write(lambda books, each=each: books.move_carriage(each))
    with store.read() as books:
        assert books.carriages() == [Carriage("AUS", "PHL", 1), moved]


def test_parcels_wait_in_order_until_they_are_collected_or_old(store: Store) -> None:
    kept = [Parcel("PHL", "AUS", n, f"b{n}", b"x" * n, 10 * n) for n in (1, 2, 3)]
    for each in (*kept, Parcel("AUS", "PHL", 1, "b1", b"", 10)):
        store.write(lambda books, each=each: books.add_parcel(each))
    with store.read() as books:
        assert books.parcel_after("PHL", "AUS", 1, 0) == kept[1]
        assert books.parcel_after("PHL", "AUS", 0, 30) == kept[2]
        assert books.parcel_after("PHL", "AUS", 3, 0) is None
        assert (books.parcel_number("PHL", "AUS", "b2"), books.parcel_number("PHL", "AUS", "b9")) == (2, None)
        assert (books.waiting_parcels("PHL", "AUS"), books.waiting_parcels("X", "Y")) == (Waiting(3, 6), Waiting())
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.write(lambda books: books.add_parcel(kept[0]))
    store.write(lambda books: books.drop_parcels("PHL", "AUS", 2))
    assert store.write(lambda books: books.drop_old_parcels(30)) == 1
    with store.read() as books:
        assert books.parcel_after("PHL", "AUS", 0, 0) == kept[2]
        assert books.parcel_after("AUS", "PHL", 0, 0) is None


# --- the log ---


def test_the_log_grows_from_its_head_and_its_nodes_lead_to_the_root(store: Store) -> None:
    sizes = (1, 3, 256, 300)
    with store.read() as books:
        assert books.head() == Head(0, EMPTY_ROOT, b"")
    before = 0
    for size in sizes:
        added = [leaf(number) for number in range(before, size)]

        def grow(books: Any, start: int = before, added: list[Any] = added, size: int = size) -> bytes:
            found, _ = books.append(start, added)
            books.set_head(Head(size, found, b"note"))
            return found

        expected = root([leaf_hash(leaf(number).entry) for number in range(size)])
        assert store.write(grow) == expected
        before = size
    with store.read() as books:
        assert books.head() == Head(300, expected, b"note")
        assert books.log_nodes()(0, 7) == leaf_hash(leaf(7).entry)


def test_the_log_cannot_fork(store: Store) -> None:
    store.write(lambda books: books.append(0, [leaf(1)]))
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.write(lambda books: books.append(0, [leaf(2)]))


def test_of_others_heads_the_newest_of_each_log_is_kept(store: Store) -> None:
    older, newer, other = (SeenHead("PHL", log, size, b"\x01" * 32, b"n", 1) for log, size in ((1, 5), (1, 9), (2, 3)))
    for each in (newer, older, other):
        store.write(lambda books, each=each: books.keep_head(each))
    with store.read() as books:
        assert books.seen_heads() == [newer, other]
        assert books.told_heads() == []


def test_a_head_that_somebody_told_waits_beside_the_proven_one(store: Store) -> None:
    proven = SeenHead("PHL", 1, 5, b"\x01" * 32, b"n", 1)
    told = [msgspec.structs.replace(proven, size=size, source=source) for size, source in ((7, "AUS"), (9, "USA"))]
    for each in (proven, *reversed(told)):
        store.write(lambda books, each=each: books.keep_head(each))
    with store.read() as books:
        assert (books.seen_heads(), books.told_heads()) == ([proven], told)
    store.write(lambda books: books.forget_heads("PHL", 1, "AUS"))
    with store.read() as books:
        assert books.told_heads() == [told[1]]
    store.write(lambda books: books.forget_heads("PHL", 1))
    with store.read() as books:
        assert (books.seen_heads(), books.told_heads()) == ([], [])


def test_heads_that_wait_to_be_compared_are_kept_beside_the_verified_one(store: Store) -> None:
    seen = SeenHead("PHL", 1, 9, b"\x01" * 32, b"n", 1)
    told = [msgspec.structs.replace(seen, size=size, source=by) for by, size in (("JPN", 12), ("VNM", 4))]
    for each in (seen, *told, msgspec.structs.replace(told[0], size=3)):
        store.write(lambda books, each=each: books.keep_head(each))
    with store.read() as books:
        assert (books.seen_heads(), books.told_heads()) == ([seen], told)
    store.write(lambda books: books.forget_heads("PHL", 1, "JPN"))
    with store.read() as books:
        assert (books.seen_heads(), books.told_heads()) == ([seen], told[1:])
    store.write(lambda books: books.forget_heads("PHL", 1))
    with store.read() as books:
        assert (books.seen_heads(), books.told_heads()) == ([], [])


# --- incidents ---


def test_an_incident_is_noted_once_counted_and_opened_anew(store: Store) -> None:
    first = Incident("fork", "PHL", "log 1", "Two heads.", (("one", b"\x00"), ("two", b"\xff")), first_ms=1, last_ms=1)
    again = msgspec.structs.replace(first, evidence=(), first_ms=9, last_ms=9)
    noted = store.write(lambda books: books.note_incident(first))
    store.write(lambda books: books.note_incident(msgspec.structs.replace(first, subject="log 2")))
    counted = store.write(lambda books: books.note_incident(again))
    assert counted == msgspec.structs.replace(noted, last_ms=9, count=2)
    store.write(lambda books: books.incident_told(noted.id, 5))
    store.write(lambda books: books.close_incident(noted.id, "explained"))
    with store.read() as books:
        assert [each.open for each in books.incidents()] == [False, True]
        assert [each.subject for each in books.incidents(open_only=True)] == ["log 2"]
        assert books.incident("fork", "PHL", "log 1") == books.incidents()[0]
        assert books.incident("fork", "PHL", "log 3") is None
    found = store.write(lambda books: books.note_incident(again))
    assert found == msgspec.structs.replace(again, id=noted.id, count=3, closed="explained")
