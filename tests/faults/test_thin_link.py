"""A link of 9.6 kbit/s: what is urgent goes first, what broke off is gone on with, and little is said twice.

Waiting is counted in bytes on a real line between real nodes, both ways added up, and told in seconds at that rate.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from relto.api.exchange import exchange_app
from relto.clock import FixedClock, parse_utc
from relto.errors import MalformedError, OurError, PeerError
from relto.exchange.answer import answer
from relto.exchange.books import DISTRESS, PRIORITY
from relto.exchange.link import WIDE, held_back, set_link, thin, worst_wait_s
from relto.exchange.steps import Pages, mark
from relto.exercise.network import Network
from relto.node import revise
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.node.run import Known, Runner, pull, refresh, share
from relto.peers.asking import Begun
from relto.peers.https import PeerClient
from relto.peers.tls import client_context
from relto.store.schema import items
from tests.faults.proxy import BYTES_S_9600, FaultProxy, Faults
from tests.node.conftest import START, agreement, publish

MakeNetwork = Callable[..., Network]
PARTIES = ("USA", "JPN")
FAST = 20  # how many times faster the line is than it is said to be
POINT = {"type": "Point", "coordinates": [120.5, 12.25]}


@pytest.fixture
def network(make_network: MakeNetwork) -> Network:
    made = make_network(PARTIES, (), START)
    made.conclude([("ALL.toml", agreement("ALL", PARTIES))])
    made.settle()
    made.nodes["USA"].store.write(lambda books: set_link(books, "JPN", thin(), made.clock.now_ms()))
    return made


@pytest.fixture
def line(network: Network) -> Iterator[FaultProxy]:
    with FaultProxy(network.places["USA"].port) as proxy:
        yield proxy


def client(network: Network, proxy: FaultProxy) -> PeerClient:
    node = network.nodes["JPN"]
    context = client_context(node.keyring.tls_files(), "USA", node.partner("USA").tls_ca_der())
    return PeerClient("USA", proxy.url, context, 20)


def alert(node: Node, **properties: Any) -> None:
    told = {"observed": "2026-11-02T05:59:00Z"} | properties
    feature = {"type": "Feature", "geometry": POINT, "properties": told}
    assert ingest(node, json.dumps(feature).encode(), "a.geojson", Defaults(level="OFFICIAL")).new == 1


def arrived(network: Network) -> list[str]:
    """The received items in the order in which they were stored: the word that is their own."""
    with network.nodes["JPN"].store.database.read() as connection:
        rows = connection.execute(select(items.c.content).where(items.c.by != "").order_by(items.c.seq)).scalars()
        found = [json.loads(content)["properties"] for content in rows]
    return [each.get("distress") or each.get("warning") or each["remarks"] for each in found]


def shared(node: Node) -> None:
    while share(node):
        pass


def test_distress_waits_for_one_small_page_and_its_receipt(network: Network, line: FaultProxy) -> None:
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    publish(usa, *range(60))
    shared(usa)
    with closing(client(network, line)) as near:
        refresh(jpn, near)
        line.set(up=Faults(bytes_s=FAST * BYTES_S_9600), down=Faults(bytes_s=FAST * BYTES_S_9600))
        before = line.down.passed_bytes
        pulling = threading.Thread(target=pull, args=(jpn, near))
        pulling.start()
        while line.down.passed_bytes == before:
            time.sleep(0.002)
        alert(usa, distress="sinking", vessel={"name": "MV EXAMPLE"})
        shared(usa)
        said = line.down.passed_bytes + line.up.passed_bytes
        pulling.join()
        shared(usa)
        while "sinking" not in arrived(network):
            assert pull(jpn, near)
        waited_s = (line.down.passed_bytes + line.up.passed_bytes - said) / BYTES_S_9600
    assert len(arrived(network)) < 30, "the backlog went first"
    assert 5 < waited_s < worst_wait_s(thin())
    shared(usa)
    assert network.settle() > 0 and len(arrived(network)) == 61


def test_while_a_page_waits_only_distress_passes_and_then_warnings_before_the_backlog(network: Network) -> None:
    usa = network.nodes["USA"]
    publish(usa, *range(30))
    shared(usa)
    alert(usa, warning="security", text="A first warning.")
    shared(usa)
    alert(usa, distress="fire")
    alert(usa, warning="search", text="A second warning.")
    shared(usa)
    with usa.store.read() as books:
        assert len(books.page_sizes("JPN", 0, 10)) == 2  # the routine page, and distress alone
    network.settle()
    found = arrived(network)
    alone = found.index("fire")
    assert found[alone : alone + 3] == ["fire", "security", "search"] and alone < 15
    assert sorted(found) == sorted([*(f"contact {n}" for n in range(30)), "fire", "security", "search"])


def test_many_alerts_at_once_all_arrive_the_worst_first(network: Network) -> None:
    usa = network.nodes["USA"]
    for number in range(25):
        alert(usa, warning="security", text=f"Warning {number}: {'x' * 50}")
        alert(usa, distress="piracy", vessel={"mmsi": number})
    network.settle()
    assert arrived(network) == ["piracy"] * 25 + ["security"] * 25
    with network.nodes["JPN"].store.read() as books:  # who passes them on passes them on as urgent
        assert {each.urgency for each in books.urgent_after(0, 50)} == {DISTRESS, PRIORITY}


def test_what_is_too_large_waits_but_a_correction_of_what_is_held_goes(network: Network) -> None:
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    publish(usa, 1)
    network.settle()
    noise = "".join(chr(0x4E00 + 7 * n % 20_000) for n in range(4000))
    ellipse = {"semi_major_m": 2500, "semi_minor_m": 900, "orientation_deg": 35, "confidence_pct": 95}
    properties = {"sensor": "rf", "observed": "2026-11-02T05:00:00Z", "ellipse": ellipse, "remarks": noise}
    large = json.dumps({"type": "Feature", "geometry": POINT, "properties": properties}).encode()
    ingest(usa, large, "large.geojson", Defaults(level="OFFICIAL"))
    assert network.settle() == 0
    with usa.store.read() as books:
        assert held_back(books, "JPN") == 1
    with jpn.store.read() as books:
        (stored,) = books.after(0, 10)
    revise.correct(usa, json.loads(stored.header)["id"], large, "large.geojson", Defaults(level="OFFICIAL"))
    assert network.settle() == 1
    usa.store.write(lambda books: set_link(books, "JPN", WIDE, network.clock.now_ms()))
    assert network.settle() == 1
    with usa.store.read() as books:
        assert held_back(books, "JPN") == 0


def test_a_page_that_broke_off_is_gone_on_with(network: Network, line: FaultProxy) -> None:
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    usa.store.write(lambda books: set_link(books, "JPN", WIDE, network.clock.now_ms()))
    publish(usa, *range(120))
    shared(usa)
    with usa.store.read() as books:
        ((_, _, size_bytes),) = books.page_sizes("JPN", 0, 10)
    begun = Begun()
    line.set(down=Faults(cut_after=size_bytes // 2, chunk_bytes=2000))
    with closing(client(network, line)) as near, pytest.raises(OurError):
        pull(jpn, near, begun=begun)
    line.heal()
    assert size_bytes // 4 < len(begun.content) < size_bytes
    passed = line.down.passed_bytes
    with closing(client(network, line)) as near:
        assert pull(jpn, near, begun=begun) == 120
    assert line.down.passed_bytes - passed < size_bytes * 3 // 4
    assert begun.content == b""


def test_a_beginning_that_does_not_fit_is_thrown_away_and_held_against_nobody(network: Network) -> None:
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    publish(usa, 1)
    shared(usa)
    begun = Begun(0, bytearray(b"something else"))
    with network.client("JPN", "USA") as near:
        with pytest.raises(PeerError):
            pull(jpn, near, begun=begun)
        assert pull(jpn, near, begun=begun) == 1
    with jpn.store.read() as books:
        assert list(books.incidents()) == []


def test_the_rest_of_a_page_is_given_only_for_its_own_beginning(network: Network) -> None:
    usa = network.nodes["USA"]
    publish(usa, 1)
    shared(usa)
    page = usa.run(answer(usa.core, "JPN", Pages(0)))
    assert usa.run(answer(usa.core, "JPN", Pages(0, 0, 100, mark(page[:100])))) == page[100:]
    for from_byte, part in ((100, mark(page[:99])), (len(page), mark(page)), (len(page) + 1, mark(page))):
        with pytest.raises(MalformedError):
            usa.run(answer(usa.core, "JPN", Pages(0, 0, from_byte, part)))


def test_agreements_are_told_once_and_a_new_signature_is_told_at_once(network: Network, line: FaultProxy) -> None:
    jpn, known = network.nodes["JPN"], Known()
    jpn.store.write(lambda books: set_link(books, "USA", thin(), network.clock.now_ms()))

    def told_bytes() -> tuple[int, int]:
        """How many agreements were taken, and the bytes that came for it."""
        before = line.down.passed_bytes
        found = refresh(jpn, near, known)
        return found, line.down.passed_bytes - before

    near = client(network, line)
    near.get("/exchange/v1/pages", {"after": 0})  # the connection is open from here on
    (first, whole), (second, brief) = told_bytes(), told_bytes()
    assert (first, second) == (1, 0) and brief < 1000 < 4000 < whole
    network.conclude([("MORE.toml", agreement("MORE", PARTIES))])
    assert told_bytes()[0] == 2
    near.close()


def has_stream(node: Node) -> bool:
    with node.store.read() as books:
        return books.stream("JPN") is not None


def test_running_nodes_stay_current_over_a_thin_link(tmp_path: Path) -> None:
    network = Network(tmp_path, PARTIES, FixedClock(parse_utc(START)))
    network.conclude([("ALL.toml", agreement("ALL", PARTIES))])
    with ExitStack() as stack:
        for party, peer in (PARTIES, PARTIES[::-1]):
            network.nodes[party].store.write(lambda books, peer=peer: set_link(books, peer, thin(), 0))  # type: ignore[misc]
            runner = Runner(network.nodes[party], exchange_app)
            stack.callback(runner.stop)
            runner.start()
        usa, deadline_s = network.nodes["USA"], time.monotonic() + 30
        while not has_stream(usa) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        publish(usa, *range(15))
        alert(usa, distress="fire")
        while len(arrived(network)) < 16 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert len(arrived(network)) == 16
