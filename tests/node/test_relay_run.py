"""Running nodes that cannot reach each other go on by their relay, and directly once they can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relto.api.exchange import exchange_app
from relto.clock import FixedClock, parse_utc
from relto.errors import OurError
from relto.exchange import relay, routes
from relto.exercise.network import Network
from relto.node.node import Node
from relto.node.run import Runner, share
from relto.peers.https import PeerClient
from tests.node.conftest import START, agreement, publish

PARTIES = ("AAA", "BBB", "RRR")


class Cut(Runner):
    """A runner whose line to some partners is cut."""

    cut: frozenset[str] = frozenset()

    def _client(self, party: str) -> PeerClient:
        if party in self.cut:
            raise OurError("the line is cut.", field=party)
        return super()._client(party)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    made = Network(tmp_path, PARTIES, FixedClock(parse_utc(START)))
    made.conclude([("two.toml", agreement("TWO", ("AAA", "BBB")))])
    for node in made.nodes.values():
        share(node)  # the streams begin
    made.nodes["RRR"].store.write(lambda books: relay.allow(books, "AAA", "BBB"))
    yield made


def run(node: Node, *cut: str) -> Cut:
    runner = Cut(node, exchange_app)
    runner.cut = frozenset(cut)
    runner.start()
    return runner


def wait_for_receipt(network: Network, n: int, runner: Cut) -> int:
    """Look until A has the receipt of B up to a release, or give up."""
    for _ in range(600):
        with network.nodes["AAA"].store.read() as books:
            stream = books.stream("BBB")
        if stream is not None and stream.receipted_n >= n:
            return stream.receipted_n
        runner.wait(0.1)
    return 0


@pytest.mark.parametrize("cut", [("AAA", "BBB"), ("BBB",)], ids=["neither reaches the other", "one reaches the other"])
def test_pages_and_receipts_go_by_the_relay(network: Network, cut: tuple[str, ...]) -> None:
    for party, peer in (("AAA", "BBB"), ("BBB", "AAA")):
        network.nodes[party].store.write(lambda books, peer=peer: routes.set_route(books, peer, "RRR"))
    others = {"AAA": ("BBB",) if "AAA" in cut else (), "BBB": ("AAA",), "RRR": ()}
    runners = {party: run(node, *others[party]) for party, node in network.nodes.items()}
    try:
        publish(network.nodes["AAA"], 1)
        assert wait_for_receipt(network, 1, runners["AAA"]) == 1
        runners["BBB"].cut = runners["AAA"].cut = frozenset({"RRR"})
        publish(network.nodes["AAA"], 2)
        assert wait_for_receipt(network, 2, runners["AAA"]) == 2
    finally:
        for runner in runners.values():
            runner.stop()
