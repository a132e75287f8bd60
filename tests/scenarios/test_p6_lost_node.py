"""Acceptance scenario P6 through real nodes, mutual TLS between them, the clock injected.

IDN's node and its backups are lost at T0, and its node keys must be held stolen. Four days later a fresh node is made
with new keys under IDN's authority, which was kept offline.
"""

from __future__ import annotations

import dataclasses
import json
import ssl
from collections.abc import Iterable, Iterator

import msgspec
import pytest
from sqlalchemy import select

from relto.clock import DAY_MS, HOUR_MS, FixedClock, parse_utc
from relto.envelope.card import signed_card
from relto.errors import OurError, PeerError, SignatureError
from relto.exchange import receive, recover
from relto.exchange.books import KEY_REVOKED, RETURNED, Books, Stored
from relto.exchange.recover import Counts, counted
from relto.exchange.resuming import awaited
from relto.exchange.share import share
from relto.exchange.withdraw import withdraw
from relto.exercise.network import HOST, Network
from relto.item import Header, parse_item
from relto.keyring.files import FileKeyring
from relto.node import audit, pair
from relto.node.home import KEYS, Settings, make_home, write_settings
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.peers.https import PeerClient
from relto.peers.tls import client_context
from relto.store.schema import items
from tests.node.conftest import agreement, detection, publish

AT = "2026-11-02T06:00:00Z"
T0_MS = parse_utc("2026-11-10T00:00:00Z")
PARTIES = ("AUS", "IDN", "MYS", "PHL", "SGP", "USA")
OTHERS = tuple(party for party in PARTIES if party != "IDN")
LIFETIME_S = 4 * 365 * 24 * 3600
_COLUMNS = [items.c[name] for name in Stored.__struct_fields__]


@dataclasses.dataclass(slots=True)
class Story:
    """The network as it goes through the scenario, and what IDN had before."""

    network: Network
    clock: FixedClock
    published: dict[str, tuple[bytes, bytes]]
    heads: dict[str, tuple[int, bytes]]
    old_card: bytes
    authority: bytes
    thief: Node
    thief_clock: FixedClock

    def node(self, party: str) -> Node:
        return self.network.nodes[party]


def held(node: Node, origin: str, *, standing: str = "current", by: str | None = None) -> list[Stored]:
    """The contents of a party that a node holds in one standing."""
    query = select(*_COLUMNS).where(items.c.origin == origin, items.c.standing == standing, items.c.view != "nothing")
    query = query if by is None else query.where(items.c.by == by)
    with node.store.database.read() as connection:
        return [Stored(*row) for row in connection.execute(query.order_by(items.c.seq))]


def header_of(stored: Stored) -> Header:
    return parse_item(stored.header, stored.content).header


def settle(network: Network, parties: tuple[str, ...] = OTHERS) -> int:
    """Share and pull among some of the parties until nothing moves; returns how many releases arrived."""
    arrived, moved = 0, True
    while moved:
        moved = False
        for party in parties:
            core = network.nodes[party].core
            moved = sum(network.nodes[party].run(share(core, peer)) for peer in parties) > 0 or moved
        for party in parties:
            for peer in parties:
                found = network.pull(party, peer) if peer != party else 0
                arrived += found
                moved = moved or found > 0
    return arrived


def forged_pages(thief: Node, to: str) -> list[bytes]:
    """Every page that a thief's node makes for a party; it waits for no receipts."""
    with thief.store.read() as books:
        stream = books.stream(to)
    assert stream is not None
    first_n = stream.receipted_n
    while thief.run(share(thief.core, to)):
        thief.store.write(lambda books: _receipted(books, to))
    with thief.store.read() as books:
        stream = books.stream(to)
        assert stream is not None
        pages, n = [], first_n
        while page := books.page_after(to, n):
            pages.append(page)
            n = next(end for end in range(n + 1, stream.next_n) if books.chain_at(to, end) is not None)
    return pages


def forge(thief: Node, numbers: Iterable[int]) -> int:
    """Ingest many detections as one file; returns how many items they are."""
    features = [json.loads(detection(number)) for number in numbers]
    content = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    return ingest(thief, content, "forged.geojson", Defaults(level="OFFICIAL")).new


def _receipted(books: Books, to: str) -> None:
    stream = books.stream(to)
    assert stream is not None
    books.advance(msgspec.structs.replace(stream, receipted_n=stream.next_n - 1))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    root = tmp_path_factory.mktemp("p6")
    clock, thief_clock = FixedClock(parse_utc(AT)), FixedClock(parse_utc(AT))
    network = Network(root, PARTIES, clock)
    network.conclude([("p6.toml", agreement("P6-SEA", PARTIES))])
    network.serve()
    network.settle()
    idn = network.nodes["IDN"]
    publish(idn, *range(12))
    publish(network.nodes["USA"], 100)
    network.settle()
    published = {header_of(each).id: (each.header, each.content) for each in held(idn, "IDN")}
    withdrawn = sorted(published)[0]
    idn.run(withdraw(idn.core, withdrawn, "by mistake"))
    del published[withdrawn]
    network.settle()
    heads = {}
    for party in OTHERS:
        with network.nodes[party].store.read() as books:
            heads[party] = (books.inbound("IDN").log_size, books.inbound("IDN").log_root)
    home = network.places["IDN"].home
    old_card, authority = network.nodes["USA"].card_of("IDN"), (home / KEYS / "authority.key").read_bytes()
    network.stop("IDN")
    home.rename(root / "stolen")  # what the thief has: all but the authority
    (root / "stolen" / KEYS / "authority.key").unlink()
    clock.set(T0_MS)
    thief = Node.open(root / "stolen", clock=thief_clock)
    yield Story(network, clock, published, heads, old_card, authority, thief, thief_clock)
    thief.close()
    network.close()


def test_what_the_thief_sends_before_anybody_knows_is_taken_like_any_other(story: Story) -> None:
    """Nobody can tell it from IDN's own yet. Its own time says that it was made before T0."""
    story.thief_clock.set(T0_MS - HOUR_MS)
    story.clock.set(T0_MS + HOUR_MS)
    publish(story.thief, 500, 501, 502)
    for party in ("PHL", "USA"):
        node = story.node(party)
        for page in forged_pages(story.thief, party):
            node.run(receive.accept(node.core, "IDN", page))
        assert len(held(node, "IDN")) == len(story.published) + 3


def test_service_goes_on_while_idn_is_lost(story: Story) -> None:
    publish(story.node("USA"), 101)
    assert settle(story.network) == len(OTHERS) - 1
    for party in OTHERS:
        assert len(held(story.node(party), "USA")) == 2


def test_a_fresh_node_with_new_keys_under_the_old_authority(story: Story) -> None:
    story.clock.set(T0_MS + 4 * DAY_MS)
    place = story.network.places["IDN"]
    make_home(place.home)
    FileKeyring.create(
        place.home / KEYS,
        "IDN",
        now_ms=parse_utc(AT),
        hostnames=(HOST,),
        authority=story.authority,
        leaf_lifetime_s=LIFETIME_S,
        ca_lifetime_s=LIFETIME_S,
    )
    write_settings(place.home, Settings("IDN", "IDN", port=place.port, web_port=place.web_port, level="OFFICIAL"))
    fresh = story.network.start("IDN")
    with pytest.raises(OurError, match="no card before"):
        pair.invite(fresh, place.url, change=pair.Change(revoke_since_ms=T0_MS))
    change = pair.Change(previous=story.old_card, revoke_since_ms=T0_MS)
    envelope, found = pair.invite(fresh, place.url, change=change)
    card, old = signed_card(envelope, pinned=found), signed_card(story.old_card, pinned=found)
    assert (card.version, card.log) == (old.version + 1, 2)
    assert card.void_since_ms(old.node) == T0_MS and card.node != old.node
    pair.accept(story.node("USA"), envelope, found)  # one member gets it by hand, the others from it


def test_every_member_learns_of_the_revocation_from_any_other(story: Story) -> None:
    for party in ("PHL", "SGP", "AUS", "MYS"):
        assert story.network.refresh(party, "USA" if party == "PHL" else "PHL") >= 1
    for party in OTHERS:
        node = story.node(party)
        assert node.partner("IDN").log == 2
        with node.store.read() as books:
            assert "IDN" in books.quarantined()
            assert [each.kind for each in books.incidents() if each.party == "IDN"] == [KEY_REVOKED]


def test_what_came_by_the_old_key_since_t0_is_put_away_and_what_was_seen_before_stays(story: Story) -> None:
    for party in OTHERS:
        node = story.node(party)
        assert {header_of(each).id for each in held(node, "IDN")} == set(story.published)
        forged = held(node, "IDN", standing="revoked")
        assert len(forged) == (3 if party in ("PHL", "USA") else 0)
        reading = node.reading()
        with node.store.read() as books:
            for each in forged:
                assert books.find(header_of(each).id, reading) == []


def test_what_is_put_away_is_passed_on_to_nobody(story: Story) -> None:
    usa = story.node("USA")
    seqs = [each.seq for each in held(usa, "IDN", standing="revoked")]
    with usa.store.read() as books:
        assert books.by_seq(seqs) == [] and not books.standing(seqs)


def test_a_hundred_forged_items_and_revoke_all_are_refused_with_one_alert_a_peer(story: Story) -> None:
    story.thief_clock.set(T0_MS - DAY_MS)  # their own time says before T0
    for id in story.published:
        story.thief.run(withdraw(story.thief.core, id, "all of it"))
    pages = {party: forged_pages(story.thief, party) for party in ("SGP", "PHL")}
    for start in range(600, 700, 10):
        assert forge(story.thief, range(start, start + 10)) == 10
        pages["SGP"] += forged_pages(story.thief, "SGP")
    pages["PHL"] += forged_pages(story.thief, "PHL")
    assert len(pages["SGP"]) == 11 and len(pages["PHL"]) >= 2
    for party in ("SGP", "PHL"):
        node = story.node(party)
        before = held(node, "IDN")
        for page in pages[party]:
            with pytest.raises(SignatureError):
                node.run(receive.accept(node.core, "IDN", page))
        assert held(node, "IDN") == before
        with node.store.read() as books:
            alerts = [each for each in books.incidents() if each.party == "IDN" and each.kind != KEY_REVOKED]
        assert len(alerts) == 1 and alerts[0].count == len(pages[party])


def test_the_thief_gets_no_connection_any_more(story: Story) -> None:
    place, usa = story.network.places["USA"], story.node("USA")
    context = client_context(story.thief.keyring.tls_files(), "USA", story.thief.partner("USA").tls_ca_der())
    with PeerClient("USA", place.url, context, 10) as client, pytest.raises((PeerError, OurError, ssl.SSLError)):
        client.get("/exchange/v1/documents", {}, limit_bytes=1 << 20)
    assert usa.partner("IDN").log == 2


def test_idn_gets_its_own_items_back_byte_for_byte_and_counts_them(story: Story) -> None:
    network, idn = story.network, story.node("IDN")
    for party in OTHERS:
        card, found = pair.invite(story.node(party), network.places[party].url)
        pair.accept(idn, card, found)
    assert held(idn, "IDN") == []
    for party in OTHERS:
        network.refresh("IDN", party)
        with idn.store.read() as books:
            assert not awaited(books, party), party
            counts = counted(books, party)
        void = 3 if party in ("PHL", "USA") else 0
        # twelve items and one withdrawal went to each; of the withdrawn one nobody holds anything
        assert counts == Counts(releases=13 + void, originals=11, withdrawals=1, void=void, missing=1)
    mine = held(idn, "IDN", by="")
    assert {header_of(each).id: (each.header, each.content) for each in mine} == story.published
    assert {each.urgency for each in mine} == {RETURNED}
    assert held(idn, "IDN") == mine


def test_the_heads_that_peers_held_are_those_under_which_it_came_back(story: Story) -> None:
    for party, head in story.heads.items():
        with story.node(party).store.read() as books:
            page = msgspec.msgpack.decode(recover.returns(books, "IDN", 0), type=recover.ReturnedPage)
        with story.node("IDN").store.read() as books:
            found = [recover.verified(story.node("IDN").core, books, party, each) for each in page.batches]
        first = [each.checkpoint for each in found if each.card.log == 1 and not each.void]
        assert (first[-1].size, first[-1].root) == head


def test_who_ever_had_it_is_known_again(story: Story) -> None:
    idn = story.node("IDN")
    with idn.store.read() as books:
        for id in story.published:
            assert {each.recipient for each in books.releases_of(id)} == set(OTHERS)


def test_until_it_is_readmitted_it_receives_nothing_new_and_can_withdraw_its_own(story: Story) -> None:
    network, idn = story.network, story.node("IDN")
    publish(story.node("USA"), 102)
    assert settle(network) == len(OTHERS) - 1
    assert [network.pull("IDN", party) for party in OTHERS] == [0] * len(OTHERS)
    assert held(idn, "USA") == []
    gone = sorted(story.published)[0]
    idn.run(withdraw(idn.core, gone, "found out"))
    for party in OTHERS:
        assert idn.run(share(idn.core, party))
        network._runners["IDN"].let_in()
        assert network.pull(party, "IDN") == 1
        assert gone not in {header_of(each).id for each in held(story.node(party), "IDN")}
        assert len(held(story.node(party), "IDN")) == len(story.published) - 1
    assert audit.check_log(idn).size == len(OTHERS)


def test_readmitted_it_gets_what_waited_and_gives_as_before_exactly_once(story: Story) -> None:
    network = story.network
    for party in OTHERS:
        node = story.node(party)
        node.store.write(lambda books: books.set_quarantined(books.quarantined() - {"IDN"}))
    publish(story.node("IDN"), 700)
    settle(network, PARTIES)
    assert {header_of(each).id for each in held(story.node("IDN"), "USA")} <= {
        header_of(each).id for each in held(story.node("USA"), "USA")
    }
    assert len(held(story.node("IDN"), "USA")) == 2  # what was published since T0; what it had before is not sent again
    for party in OTHERS:
        assert len(held(story.node(party), "IDN")) == len(story.published) - 1 + 1
        with story.node(party).store.read() as books:
            assert books.inbound("IDN").log == 2
    assert settle(network, PARTIES) == 0
