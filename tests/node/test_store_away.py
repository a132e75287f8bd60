"""A store that is away for a moment: no worker of a node ends by it, and partners are told to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from relto.api.exchange import exchange_app
from relto.errors import OurError
from relto.exercise.network import Place, conclude, found_node, free_ports, pair_all
from relto.node import read
from relto.node.home import Settings
from relto.node.node import Node
from relto.node.run import Runner, pull, share
from relto.peers.https import PeerClient, RefusedError
from relto.peers.tls import client_context
from relto.store.database import Database
from relto.store.records import Selection
from tests.node.conftest import agreement, publish

PARTIES = ("USA", "JPN")
PATIENCE_S = 60


class Away:
    """Fails what reads the stores while it is on, and remembers which threads have met that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        self.met: set[str] = set()
        reading = Database.read

        @contextmanager
        def failing(database: Database) -> Iterator[Connection]:
            if self.on and threading.current_thread() is not threading.main_thread():
                self.met.add(threading.current_thread().name.rpartition("-")[0] or threading.current_thread().name)
                raise OurError("is away.", field="store", remedy="Wait.")
            with reading(database) as connection:
                yield connection

        monkeypatch.setattr(Database, "read", failing)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[dict[str, Node]]:
    """Two nodes that serve, share and pull."""
    ports = free_ports(2 * len(PARTIES))
    places = {
        party: Place(party, tmp_path / party, ports[2 * at], ports[2 * at + 1]) for at, party in enumerate(PARTIES)
    }
    for party, place in places.items():
        level = "OFFICIAL"
        found_node(place, Settings(party, party, port=place.port, web_port=place.web_port, level=level, poll_ms=50))
    made = {party: Node.open(place.home) for party, place in places.items()}
    pair_all(made, {party: place.url for party, place in places.items()})
    conclude(made, agreement("ALL", PARTIES), "all.toml")
    for node in made.values():
        share(node)  # a stream has what is published after it was begun
    runners = [Runner(node, exchange_app) for node in made.values()]
    for runner in runners:
        runner.start()
    yield made
    for runner in runners:
        runner.stop()


def wait(done: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def held(node: Node) -> int:
    return read.listing(node, Selection())[1]


def test_no_worker_ends_when_the_store_is_away(nodes: dict[str, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    publish(nodes["USA"], 1)
    wait(lambda: held(nodes["JPN"]) == 1)
    away = Away(monkeypatch)
    away.on = True
    wait(lambda: {"share", "partners", "pull"} <= away.met)
    away.on = False
    publish(nodes["USA"], 2)
    publish(nodes["JPN"], 3)
    wait(lambda: held(nodes["JPN"]) == held(nodes["USA"]) == 3)


def test_a_partner_is_told_to_wait_when_the_store_is_away(
    nodes: dict[str, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    usa = nodes["USA"]
    context = client_context(usa.keyring.tls_files(), "JPN", usa.partner("JPN").tls_ca_der())
    away = Away(monkeypatch)
    with PeerClient("JPN", usa.partner("JPN").url, context, 30) as client:
        pull(usa, client)
        away.on = True
        with pytest.raises(RefusedError) as refused:
            pull(usa, client)
    away.on = False
    assert refused.value.status == 503
