"""The relay between real nodes: what goes through it, what a hostile relay tries, and what a hostile depositor tries.

A and B cannot reach each other; R carries between them. R's wiles are played in the way to it: whatever it could do to
what it holds, it can do to what it answers.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from relto.bounds import BOUNDS
from relto.clock import DAY_MS, FixedClock, parse_utc
from relto.errors import ExpiredError, MalformedError, NotForUsError, OurError
from relto.exchange import relay, routes
from relto.exchange.answer import answer
from relto.exchange.books import FORGERY, GAP, UNRECEIPTED
from relto.exchange.relay import Handed, Kept
from relto.exchange.routes import Carried
from relto.exchange.steps import Ask, Collect, Deposit
from relto.exchange.withdraw import withdraw
from relto.exercise.network import Network
from relto.node import agree
from relto.node.node import Node
from relto.node.run import share
from relto.peers.https import RefusedError
from tests.conftest import MakeNetwork
from tests.node.conftest import START, agreement, publish

PARTIES = ("AAA", "BBB", "RRR", "ZZZ")
Way = Callable[[Ask], bytes]
Wile = Callable[[Ask, bytes], bytes]
_encode = msgspec.msgpack.encode


@dataclasses.dataclass(frozen=True, slots=True)
class Three:
    """The nodes of A, B and R, and of Z, for whom R carries nothing; no port is open: there is no other way."""

    home: Path
    clock: FixedClock
    nodes: dict[str, Node]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agreement of A and B; R carries for them, and for nobody else."""
    home = tmp_path_factory.mktemp("relay")
    made = Network(home, PARTIES, FixedClock(parse_utc(START)))
    made.conclude([("two.toml", agreement("TWO", ("AAA", "BBB")))])
    for party, peer in (("AAA", "BBB"), ("BBB", "AAA")):
        made.nodes[party].store.write(lambda books, peer=peer: routes.set_route(books, peer, "RRR"))
        share(made.nodes[party])
    made.nodes["RRR"].store.write(lambda books: relay.allow(books, "BBB", "AAA"))
    made.close()
    return home


@pytest.fixture
def network(prepared: Path, tmp_path: Path) -> Iterator[Three]:
    """A copy of them for each test."""
    shutil.copytree(prepared, tmp_path / "nodes")
    clock = FixedClock(parse_utc(START))
    nodes = {party: Node.open(tmp_path / "nodes" / party, clock=clock) for party in PARTIES}
    yield Three(tmp_path / "nodes", clock, nodes)
    for node in nodes.values():
        node.close()


def way(network: Three, party: str, wile: Wile | None = None) -> Way:
    """A party's way to R, and what R does to its answers."""
    node = network.nodes["RRR"]

    def ask(asked: Ask) -> bytes:
        told = node.run(answer(node.core, party, asked.request))
        return wile(asked, told) if wile else told

    return ask


def carried(network: Three, party: str, wile: Wile | None = None) -> Carried:
    peer = "BBB" if party == "AAA" else "AAA"
    return network.nodes[party].run(routes.by_relay(network.nodes[party].core, peer), way(network, party, wile))


def publish_to(network: Three, *numbers: int) -> None:
    for number in numbers:
        publish(network.nodes["AAA"], number)
        while share(network.nodes["AAA"]):
            pass


def held(network: Three, party: str = "BBB") -> int:
    with network.nodes[party].store.read() as books:
        return books.inbound("AAA").next_n - 1


def receipted(network: Three) -> int:
    with network.nodes["AAA"].store.read() as books:
        stream = books.stream("BBB")
    return stream.receipted_n if stream else 0


def incidents(network: Three, party: str) -> list[tuple[str, str]]:
    with network.nodes[party].store.read() as books:
        return [(each.kind, each.party) for each in books.incidents()]


def handed(change: Callable[[Handed], Handed]) -> Wile:
    """A wile that changes what R hands over."""

    def wile(asked: Ask, told: bytes) -> bytes:
        if not isinstance(asked.request, Collect):
            return told
        return _encode(change(msgspec.msgpack.decode(told, type=Handed)))

    return wile


def replace(each: Handed, **changed: Any) -> Handed:
    return msgspec.structs.replace(each, **changed)


# --- what goes through ---


def test_pages_go_and_the_receipt_comes_back_under_the_recipients_signature(network: Three) -> None:
    publish_to(network, 1, 2)
    assert carried(network, "AAA").left == 3  # documents and two pages
    assert carried(network, "BBB").arrived == held(network) == 2
    assert receipted(network) == 0
    carried(network, "AAA")
    assert receipted(network) == 2
    assert [incidents(network, party) for party in PARTIES] == [[], [], [], []]


def test_nothing_is_left_twice_and_what_was_collected_is_forgotten(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")
    assert carried(network, "AAA").left == 0
    for party in ("BBB", "AAA", "BBB", "AAA", "BBB", "AAA"):
        carried(network, party)
    assert carried(network, "AAA").left == carried(network, "BBB").left == 0
    with network.nodes["RRR"].store.read() as books:
        assert [(parcels, size) for _, parcels, size in relay.waits(books)] == [(0, 0), (0, 0)]


def test_the_relay_reads_nothing_of_what_it_carries(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")
    carried(network, "BBB")
    with network.nodes["AAA"].store.read() as books:
        item = books.after(0, 1)[0]
    with network.nodes["RRR"].store.read() as books:
        kept = [books.parcel_after(*pair, 0, 0) for pair in (("AAA", "BBB"), ("BBB", "AAA"))]
    database = b"".join(path.read_bytes() for path in (network.home / "RRR").glob("relto.db*"))
    for told in (item.content, item.header, b"relto.release/AAA", b'"up_to_n":'):
        assert told not in database, told
    assert any(kept)


def test_an_agreement_signed_by_one_reaches_the_other(network: Three) -> None:
    agree.propose(network.nodes["AAA"], agreement("LATER", ("AAA", "BBB")), "later.toml")
    carried(network, "AAA")
    carried(network, "BBB")
    assert agree.show(network.nodes["BBB"], "LATER").signed_by == ("AAA",)


def test_a_withdrawal_is_known_before_the_page_that_it_voids(network: Three) -> None:
    publish_to(network, 1)
    with network.nodes["AAA"].store.read() as books:
        item = msgspec.json.decode(books.after(0, 1)[0].header)["id"]
    node = network.nodes["AAA"]
    node.run(withdraw(node.core, item, "in error"))
    while share(node):
        pass
    carried(network, "AAA")
    carried(network, "BBB")
    with network.nodes["BBB"].store.read() as books:
        assert [each for each in books.versions(item) if each.content and each.view != "nothing"] == []


# --- what is allowed ---


def test_there_is_no_open_relay(network: Three) -> None:
    publish_to(network, 1)
    with network.nodes["AAA"].store.read() as books:
        page = books.page_after("BBB", 0) or b""
    with pytest.raises(NotForUsError):
        way(network, "ZZZ")(Ask("RRR", Deposit(page)))
    with pytest.raises(NotForUsError):
        way(network, "ZZZ")(Ask("RRR", Collect("AAA", 0)))
    with pytest.raises(NotForUsError):
        way(network, "AAA")(Ask("RRR", Collect("NOBODY", 0)))
    network.nodes["RRR"].store.write(lambda books: relay.deny(books, "AAA", "BBB"))
    with pytest.raises(NotForUsError):
        way(network, "AAA")(Ask("RRR", Deposit(page)))


def test_only_partners_can_be_allowed_or_routed_by(network: Three) -> None:
    store = network.nodes["RRR"].store
    for a, b in (("AAA", "NOBODY"), ("AAA", "AAA")):
        with pytest.raises(OurError):
            store.write(lambda books, a=a, b=b: relay.allow(books, a, b))
    with pytest.raises(OurError):
        network.nodes["AAA"].store.write(lambda books: routes.set_route(books, "BBB", "BBB"))
    with pytest.raises(OurError):
        network.nodes["AAA"].store.write(lambda books: routes.set_route(books, "BBB", "NOBODY"))


def test_nothing_is_carried_for_a_party_in_quarantine(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")
    network.nodes["RRR"].store.write(lambda books: books.set_quarantined(frozenset({"BBB"})))
    with pytest.raises(NotForUsError):
        carried(network, "BBB")


# --- a hostile depositor ---


def test_a_depositor_fills_no_more_than_its_bounds(network: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "BOUNDS", dataclasses.replace(BOUNDS, relay_parcels=3, relay_bytes=5000))
    ask = way(network, "AAA")

    def deposit(name: str, size: int) -> int:
        made = _encode(("relto-page/1", "BBB", name, b"", (bytes(size),)))
        return msgspec.msgpack.decode(ask(Ask("RRR", Deposit(made))), type=Kept).n

    assert [deposit("a", 10), deposit("a", 10), deposit("b", 10)] == [1, 1, 2]
    assert deposit("large", 5000) == 0
    assert [deposit("c", 10), deposit("d", 10)] == [3, 0]
    with network.nodes["RRR"].store.read() as books:
        assert books.waiting_parcels("AAA", "BBB").pages == 3
        assert books.waiting_parcels("BBB", "AAA").pages == 0


def test_what_is_no_parcel_is_refused(network: Three) -> None:
    ask = way(network, "AAA")
    for content in (b"", b"\x95", Random(1).randbytes(300), _encode(("relto-page/1", "BBB", "", b"", ()))):
        with pytest.raises(MalformedError):
            ask(Ask("RRR", Deposit(content)))


def test_what_nobody_collects_is_forgotten_in_time_and_left_again(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")
    clock = network.clock
    clock.set(clock.now_ms() + (BOUNDS.relay_days + 1) * DAY_MS)
    assert carried(network, "BBB").arrived == 0
    carried(network, "AAA")
    assert carried(network, "BBB").arrived == 1


# --- a hostile relay ---


def test_a_changed_byte_is_refused_and_held_against_the_relay_alone(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")

    def flip(each: Handed) -> Handed:
        at = len(each.content) - 40
        if not each.content:
            return each
        return replace(each, content=each.content[:at] + bytes([each.content[at] ^ 1]) + each.content[at + 1 :])

    assert carried(network, "BBB", handed(flip)).arrived == held(network) == 0
    assert set(incidents(network, "BBB")) == {(FORGERY, "RRR")}


def test_a_parcel_of_another_is_refused(network: Three) -> None:
    """R swaps recipients: what is sealed for itself or renamed for B does not open as A's for B."""
    publish_to(network, 1)
    carried(network, "AAA")

    def renamed(each: Handed) -> Handed:
        if not each.content:
            return each
        magic, _, batch, enc, parts = msgspec.msgpack.decode(each.content)
        return replace(each, content=_encode((magic, "ZZZ", batch, enc, parts)))

    result = carried(network, "BBB", handed(renamed))
    assert (result.arrived, held(network)) == (0, 0)
    assert set(incidents(network, "BBB")) == {(FORGERY, "RRR")}


def test_old_pages_again_have_no_effect(network: Three) -> None:
    publish_to(network, 1)
    with network.nodes["AAA"].store.read() as books:
        old = books.page_after("BBB", 0) or b""
    for party in ("AAA", "BBB", "AAA"):
        carried(network, party)
    assert held(network) == 1
    numbers = iter(range(100, 1000))

    def again(each: Handed) -> Handed:
        n = next(numbers)
        return replace(each, n=n, last_n=n, content=old)

    result = carried(network, "BBB", handed(again))
    assert (result.arrived, held(network)) == (0, 1)
    with network.nodes["BBB"].store.read() as books:
        assert len(books.after(0, 100)) == 1


def test_a_page_left_out_is_noticed_by_the_recipient_and_comes_again(network: Three) -> None:
    publish_to(network, 1, 2, 3)
    carried(network, "AAA")
    with network.nodes["AAA"].store.read() as books:
        second = books.page_after("BBB", 1)

    def skipped(each: Handed) -> Handed:
        return replace(each, content=b"\x95" if each.content == second else each.content)

    carried(network, "BBB", handed(skipped))
    assert held(network) == 1
    assert (GAP, "RRR") in incidents(network, "BBB")
    for _ in range(BOUNDS.receipt_gap_polls + 2):
        carried(network, "AAA")
        carried(network, "BBB")
    carried(network, "AAA")
    assert held(network) == receipted(network) == 3


def test_hidden_pages_are_an_incident_at_the_sender_in_a_bounded_number_of_polls(network: Three) -> None:
    """R says to A that B collected everything, and gives B nothing."""
    publish_to(network, 1)
    claims = handed(lambda each: replace(each, fetched_n=each.kept_n))
    hides = handed(lambda each: replace(each, n=0, content=b""))
    for poll in range(BOUNDS.receipt_gap_polls + 1):
        assert incidents(network, "AAA") == [], poll
        carried(network, "AAA", claims)
        carried(network, "BBB", hides)
    assert incidents(network, "AAA") == [(UNRECEIPTED, "RRR")]


def test_a_receipt_that_the_relay_swallows_is_given_again(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")
    carried(network, "BBB")
    carried(network, "AAA", handed(lambda each: replace(each, content=each.content and b"\x95")))
    assert (held(network), receipted(network)) == (1, 0)
    for _ in range(BOUNDS.receipt_gap_polls + 2):
        carried(network, "AAA")
    carried(network, "BBB")
    carried(network, "AAA")
    assert receipted(network) == 1
    assert (UNRECEIPTED, "RRR") in incidents(network, "AAA")


def test_a_partner_that_is_down_is_no_incident(network: Three) -> None:
    publish_to(network, 1)
    for _ in range(3 * BOUNDS.receipt_gap_polls):
        carried(network, "AAA")
    assert incidents(network, "AAA") == []


def test_a_second_version_of_a_page_is_refused(network: Three) -> None:
    """R holds two pages that both begin at 1: A's own, and one that A's keys signed in another stream."""
    publish_to(network, 1)
    carried(network, "AAA")
    carried(network, "BBB")
    other = Network(network.home / "other", ("AAA", "BBB"), network.clock)
    try:
        other.conclude([("two.toml", agreement("TWO", ("AAA", "BBB")))])
        share(other.nodes["AAA"])
        publish(other.nodes["AAA"], 9)
        while share(other.nodes["AAA"]):
            pass
        with other.nodes["AAA"].store.read() as books:
            forged = books.page_after("BBB", 0) or b""
    finally:
        other.close()
    once = iter([forged])
    result = carried(network, "BBB", handed(lambda each: replace(each, n=99, last_n=99, content=next(once, b""))))
    assert (result.arrived, held(network)) == (0, 1)
    assert set(incidents(network, "BBB")) == {(FORGERY, "RRR")}


def test_a_relay_that_never_ends_fills_no_disk(network: Three) -> None:
    random, numbers = Random(2), iter(range(1, 10_000))
    asked = []

    def flood(each: Handed) -> Handed:
        n = next(numbers)
        asked.append(n)
        return replace(each, n=n, last_n=9999, content=random.randbytes(2000))

    home = network.home / "BBB"
    carried(network, "BBB")
    before = (home / "relto.db").stat().st_size
    result = carried(network, "BBB", handed(flood))
    assert (result.arrived, len(asked)) == (0, BOUNDS.relay_round)
    assert len(incidents(network, "BBB")) == 1
    assert (home / "relto.db").stat().st_size - before < BOUNDS.relay_round * 1000


def test_nonsense_for_an_answer_is_refused(network: Three) -> None:
    for told in (b"", b"\xff", _encode({"n": -1}), _encode([1, 2])):
        with pytest.raises(MalformedError):
            carried(network, "BBB", lambda _asked, _told, told=told: told)


def test_a_relay_that_lost_everything_is_filled_anew(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")
    node = network.nodes["RRR"]
    node.store.write(lambda books: books.drop_parcels("AAA", "BBB", 99))
    node.store.write(lambda books: books.move_carriage(relay.Carriage("AAA", "BBB", 0, 0)))
    carried(network, "AAA")
    assert carried(network, "BBB").arrived == 1


def test_what_our_own_state_does_not_allow_yet_stays_at_the_relay(network: Three) -> None:
    publish_to(network, 1)
    carried(network, "AAA")
    carried(network, "BBB")
    publish_to(network, 2)
    carried(network, "AAA")
    clock = network.clock
    early = clock.now_ms()
    clock.set(parse_utc("2029-01-01T00:00:00Z"))  # A's card is over
    with pytest.raises(ExpiredError):
        carried(network, "BBB")
    clock.set(early)
    assert carried(network, "BBB").arrived == 1


def test_a_pair_goes_on_directly_when_the_relay_is_dead(make_network: MakeNetwork) -> None:
    network = make_network(("AAA", "BBB", "RRR"), (), START)
    network.conclude([("two.toml", agreement("TWO", ("AAA", "BBB")))])
    network.settle()
    publish(network.nodes["AAA"], 1)
    node = network.nodes["BBB"]
    node.store.write(lambda books: routes.set_route(books, "AAA", "RRR"))
    network.stop("RRR")

    def dead(_: Ask) -> bytes:
        raise OurError("cannot be reached.", field="RRR")

    with pytest.raises(OurError):
        node.run(routes.by_relay(node.core, "AAA"), dead)
    assert network.settle() == 1


def test_the_relay_over_tls(make_network: MakeNetwork) -> None:
    network = make_network(("AAA", "BBB", "RRR"), (), START)
    network.conclude([("two.toml", agreement("TWO", ("AAA", "BBB")))])
    network.settle()
    publish(network.nodes["AAA"], 1)
    while share(network.nodes["AAA"]):
        pass
    for party, peer in (("AAA", "BBB"), ("BBB", "AAA")):
        network.nodes[party].store.write(lambda books, peer=peer: routes.set_route(books, peer, "RRR", only=True))
    with pytest.raises(RefusedError, match="misdirected"):
        network.by_relay("AAA", "BBB", "RRR")
    network.nodes["RRR"].store.write(lambda books: relay.allow(books, "AAA", "BBB"))
    assert network.by_relay("AAA", "BBB", "RRR") == 0
    assert network.by_relay("BBB", "AAA", "RRR") == 1
    network.by_relay("AAA", "BBB", "RRR")
    with network.nodes["AAA"].store.read() as books:
        stream = books.stream("BBB")
    assert stream is not None and stream.receipted_n == 1
