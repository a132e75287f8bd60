"""What comes back after a loss, and cards that travel: nothing counts that the party's own keys do not prove."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from relto.clock import FixedClock, parse_utc
from relto.errors import ExpiredError, MalformedError, PeerError, ProofError, SignatureError, UnknownPartyError
from relto.exchange import cards, documents, receive, recover, resuming
from relto.exchange.answer import answer
from relto.exchange.books import TWO_CARDS
from relto.exchange.messages import FIRST_CHAIN
from relto.exchange.recover import Counts, Place, Returned, ReturnedPage, verified
from relto.exchange.resuming import awaited
from relto.exchange.share import share, share_all
from relto.exchange.steps import Ask, Returns
from relto.exercise.network import Network
from relto.log.leaf import LeafRecord
from relto.node import pair
from relto.node.node import Node
from tests.node.conftest import START, agreement, publish

PARTIES = ("JPN", "PHL", "USA")


@dataclasses.dataclass(slots=True)
class World:
    """JPN has released three batches to PHL, and one to the USA; then it forgot all of it."""

    network: Network
    batches: tuple[Returned, ...]
    others: tuple[Returned, ...]

    @property
    def jpn(self) -> Node:
        return self.network.nodes["JPN"]

    @property
    def phl(self) -> Node:
        return self.network.nodes["PHL"]

    def check(self, returned: Returned) -> Any:
        with self.jpn.store.read() as books:
            return verified(self.jpn.core, books, "PHL", returned)


def asking(node: Node, by: str) -> Callable[[Ask], bytes]:
    """The way to a node without a wire between."""
    return lambda ask: node.run(answer(node.core, by, ask.request))


def deliver(network: Network, sender: str, recipient: str) -> None:
    node, into = network.nodes[sender], network.nodes[recipient]
    while node.run(share(node.core, recipient)):
        pass
    while into.run(receive.pull(into.core, sender), asking(node, recipient)):
        pass


def batches_at(node: Node) -> tuple[Returned, ...]:
    with node.store.read() as books:
        return msgspec.msgpack.decode(recover.returns(books, "JPN", 0), type=ReturnedPage).batches


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    network = Network(tmp_path_factory.mktemp("recover"), PARTIES, FixedClock(parse_utc(START)))
    network.conclude([("a", agreement("BACK-1", PARTIES))])
    jpn = network.nodes["JPN"]
    for node in network.nodes.values():
        node.run(share_all(node.core))
    for numbers in ((1, 2), (3,), (4, 5)):
        publish(jpn, *numbers)
        deliver(network, "JPN", "PHL")
    deliver(network, "JPN", "USA")
    yield World(network, batches_at(network.nodes["PHL"]), batches_at(network.nodes["USA"]))
    network.close()


def changed(returned: Returned, **values: Any) -> Returned:
    return msgspec.structs.replace(returned, **values)


def test_what_was_released_is_proven_by_our_own_keys(world: World) -> None:
    found = [world.check(each) for each in world.batches]
    assert [each.batch.first_n for each in found] == [1, 3, 4]
    assert [len(each.items) for each in found] == [2, 1, 2]
    assert all(each.proven and not each.void for each in found)


def _items(returned: Returned, change: Callable[[int, bytes, bytes], tuple[int, bytes, bytes]]) -> Returned:
    return changed(returned, items=tuple(change(*each) for each in returned.items))


def _record(returned: Returned, **values: Any) -> Returned:
    records = msgspec.msgpack.decode(returned.records, type=tuple[LeafRecord, ...])
    return changed(
        returned, records=msgspec.msgpack.encode([msgspec.structs.replace(each, **values) for each in records])
    )


LIES: dict[str, Callable[[Returned], Returned]] = {
    "content": lambda r: _items(r, lambda place, header, content: (place, header, content + b" ")),
    "header": lambda r: _items(r, lambda p, h, c: (p, h.replace(b'"version":1', b'"version":2'), c)),
    "release taken off": lambda r: _items(r, lambda p, h, c: (p, h[: h.index(b',"release"')] + b',"release":null}', c)),
    "place": lambda r: _items(r, lambda p, h, c: (1 - p, h, c)),
    "place beyond": lambda r: _items(r, lambda p, h, c: (p + 100, h, c)),
    "item twice": lambda r: changed(r, items=r.items + r.items),
    "hash": lambda r: changed(r, hashes=bytes(32) + r.hashes[32:]),
    "hashes cut": lambda r: changed(r, hashes=r.hashes[:32], entries=r.entries[:32]),
    "hashes torn": lambda r: changed(r, hashes=r.hashes[:-1]),
    "entry": lambda r: changed(r, entries=bytes(32) + r.entries[32:]),
    "salt": lambda r: changed(r, salts=bytes(32) + r.salts[32:]),
    "verdict": lambda r: _record(r, verdict="SANITISED"),
    "number": lambda r: _record(r, n=7),
    "records": lambda r: changed(r, records=b"\x90"),
    "statement": lambda r: changed(r, statement=r.statement[:-9] + b"A" + r.statement[-8:]),
    "proof": lambda r: changed(r, proof=b"\x00"),
    "card": lambda r: changed(r, card=b"{}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_whatever_a_partner_changes_in_what_it_returns_is_refused(world: World, lie: str) -> None:
    assert LIES[lie](world.batches[0]) != world.batches[0]
    with pytest.raises(PeerError):
        world.check(LIES[lie](world.batches[0]))


def test_what_went_to_somebody_else_is_not_returned(world: World) -> None:
    with pytest.raises(PeerError, match="not of our stream"):
        world.check(world.others[0])


def test_a_card_of_other_authority_keys_proves_nothing(world: World) -> None:
    theirs = world.phl.card_of("USA")
    with pytest.raises(SignatureError):
        world.check(changed(world.batches[0], card=theirs))


def test_without_the_salts_nothing_rests_on_the_record(world: World) -> None:
    assert not world.check(changed(world.batches[0], salts=b"")).proven


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (1, 2), (0, 2), (0, 0)])
def test_batches_left_out_moved_or_repeated_are_noticed(world: World, order: tuple[int, ...]) -> None:
    jpn = world.jpn

    def take(books: Any) -> None:
        _forget(books)
        recover._take_back(jpn.core, books, "PHL", [world.batches[at] for at in order])

    with pytest.raises(ProofError, match="not the next"):
        jpn.store.write(take)


def _forget(books: Any) -> None:
    """As after a loss: nothing is known of the stream."""
    stream = books.stream("PHL")
    books.drop_unreceived("PHL", 0)
    first = FIRST_CHAIN
    books.advance(msgspec.structs.replace(stream, next_n=1, chain=first, log_size=0, receipted_n=0))


def test_a_partner_that_says_more_than_it_returns(world: World) -> None:
    jpn = world.jpn
    jpn.store.write(lambda books: resuming.begin(books, remake=True))
    with jpn.store.read() as books:
        stream = books.stream("PHL")
        log = books.head().size
    assert stream is not None
    more = Place(stream.next_n + 5, "00" * 32, 1, log, bytes(32))
    with pytest.raises(MalformedError, match="says that it has"):
        jpn.run(recover.resume(jpn.core, "PHL", more, None), asking(world.phl, "JPN"))
    with jpn.store.read() as books:
        assert awaited(books, "PHL") and awaited(books, "USA")


def test_until_it_has_compared_nothing_goes_and_nothing_is_taken(world: World) -> None:
    jpn, phl = world.jpn, world.phl
    jpn.store.write(lambda books: resuming.begin(books, remake=True))
    publish(jpn, 6)
    publish(phl, 60)
    while phl.run(share(phl.core, "JPN")):
        pass
    assert jpn.run(share(jpn.core, "PHL")) == 0
    assert jpn.run(receive.pull(jpn.core, "PHL"), asking(phl, "JPN")) == 0
    with jpn.store.read() as books:
        assert books.inbound("PHL").next_n == 1
    jpn.run(documents.refresh(jpn.core, "PHL"), asking(phl, "JPN"))
    with jpn.store.read() as books:
        assert not awaited(books, "PHL") and awaited(books, "USA")
    assert jpn.run(share(jpn.core, "PHL")) > 0
    assert jpn.run(receive.pull(jpn.core, "PHL"), asking(phl, "JPN")) == 1
    jpn.run(documents.refresh(jpn.core, "USA"), asking(world.network.nodes["USA"], "JPN"))


def test_a_partner_returns_what_came_from_the_asker_and_nothing_else(world: World) -> None:
    jpn, phl = world.jpn, world.phl
    phl.store.write(lambda books: books.set_quarantined(frozenset({"JPN"})))
    page = asking(phl, "JPN")(Ask("PHL", Returns(0)))
    assert len(msgspec.msgpack.decode(page, type=ReturnedPage).batches) >= 3
    assert msgspec.msgpack.decode(asking(phl, "USA")(Ask("PHL", Returns(0))), type=ReturnedPage).batches == ()
    phl.store.write(lambda books: books.set_quarantined(frozenset()))
    assert jpn.party == "JPN"


class TestCards:
    def test_a_newer_card_goes_from_partner_to_partner(self, world: World) -> None:
        network = world.network
        card, found = pair.invite(world.jpn, "https://jpn.example:9443")
        pair.accept(network.nodes["USA"], card, found)
        assert world.phl.partner("JPN").url != "https://jpn.example:9443"
        world.phl.run(documents.refresh(world.phl.core, "USA"), asking(network.nodes["USA"], "PHL"))
        assert world.phl.partner("JPN").url == "https://jpn.example:9443"

    def test_nobody_becomes_a_partner_by_a_card_that_travels(self, world: World, tmp_path: Any) -> None:
        stranger = Network(tmp_path, ("KOR",), world.network.clock)
        card, _ = pair.invite(stranger.nodes["KOR"], "https://kor.example")
        with pytest.raises(UnknownPartyError):
            world.phl.store.write(lambda books: cards.take(world.phl.core, books, card))
        stranger.close()

    def test_a_card_by_another_authority_of_the_same_name(self, world: World, tmp_path: Any) -> None:
        thief = Network(tmp_path, ("JPN",), world.network.clock)
        for _ in range(20):
            card, _ = pair.invite(thief.nodes["JPN"], "https://thief.example")
        with pytest.raises(SignatureError, match="is pinned"):
            world.phl.store.write(lambda books: cards.take(world.phl.core, books, card))
        thief.close()

    def test_an_older_card_does_not_come_back(self, world: World) -> None:
        old = world.phl.card_of("JPN")
        card, found = pair.invite(world.jpn, "https://jpn.example:9444")
        pair.accept(world.phl, card, found)
        with pytest.raises(ExpiredError):
            world.phl.store.write(lambda books: cards.take(world.phl.core, books, old))

    def test_two_cards_of_one_version_are_kept_both_and_the_first_stands(self, world: World) -> None:
        phl, jpn = world.phl, world.jpn
        pair.accept(phl, *pair.invite(jpn, "https://jpn.example:9555"))
        first = phl.card_of("JPN")
        jpn.store.write(
            lambda books: books.put_setting(cards.CARD_VERSION, str(phl.partner("JPN").version - 1).encode())
        )
        jpn.store.write(lambda books: books.put_setting(cards.OWN_CARD, b""))
        second, _ = pair.invite(jpn, "https://elsewhere.example")
        assert cards.signed_card_of(second).version == phl.partner("JPN").version
        usa = world.network.nodes["USA"]
        usa.store.write(lambda books: cards.take(usa.core, books, second))
        phl.run(documents.refresh(phl.core, "USA"), asking(usa, "PHL"))
        with phl.store.read() as books:
            (noted,) = [each for each in books.incidents() if each.kind == TWO_CARDS]
        assert dict(noted.evidence) == {"card-1": first, "card-2": second}
        assert phl.card_of("JPN") == first

    def test_a_party_is_told_of_cards_only_where_an_agreement_names_both(self, world: World, tmp_path: Any) -> None:
        network = Network(tmp_path, ("AUS", "IND", "JPN"), world.network.clock)
        network.conclude([("a", agreement("PAIR-1", ("AUS", "JPN"))), ("b", agreement("PAIR-2", ("JPN", "IND")))])
        jpn = network.nodes["JPN"]
        with jpn.store.read() as books:
            assert set(cards.shared(jpn.core, books, "AUS")) == {"AUS", "JPN"}
            assert set(cards.shared(jpn.core, books, "IND")) == {"IND", "JPN"}
            assert [each.party for each in cards.told(jpn.core, books, "AUS")] == ["AUS", "JPN"]
        network.close()


def test_counts_add_up() -> None:
    both = Counts(releases=3, originals=1, missing=2).plus(Counts(releases=2, withdrawals=1, void=1))
    assert both == Counts(releases=5, originals=1, withdrawals=1, void=1, missing=2)
