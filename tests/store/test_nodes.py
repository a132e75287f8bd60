"""Real nodes whose stores move between two rounds: streams, receipts and log go on where they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from relto.clock import FixedClock, parse_utc
from relto.exercise.network import Network
from relto.node import audit
from relto.node.report import report
from relto.store.books import SqlStore
from relto.store.database import Database
from relto.store.move import move
from tests.node.conftest import START, agreement, publish


def test_nodes_share_on_after_a_move_to_postgresql(tmp_path: Path, make_where: Callable[[str], Path | str]) -> None:
    network = Network(tmp_path, ("JPN", "PHL"), FixedClock(parse_utc(START)))
    try:
        network.conclude([("test", agreement("MDA-TEST", ("JPN", "PHL")))])
        network.serve()
        network.settle()  # streams begin now
        publish(network.nodes["JPN"], 1, 2)
        publish(network.nodes["PHL"], 11)
        network.settle()
        for node in network.nodes.values():
            left = node.store
            node.store = SqlStore(Database(make_where("postgresql")))
            move(left.database, node.store.database, lambda *_: None)
            left.close()
        publish(network.nodes["JPN"], 3)
        publish(network.nodes["PHL"], 12, 13)
        assert network.settle() == 3
        for node in network.nodes.values():
            assert audit.check_log(node).size == 3
            assert (report(node).items, report(node).quiet) == (6, True)
    finally:
        network.close()
