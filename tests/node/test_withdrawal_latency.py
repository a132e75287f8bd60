"""How long a withdrawal takes between running nodes: measured and printed, never judged by the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from relto.exercise.network import Network
from relto.exercise.withdrawals import finds, latencies, running, shown
from relto.node import read
from relto.node.home import SystemClock
from relto.store.records import Selection
from tests.node.conftest import agreement, publish

PARTIES = ("AUS", "IND", "JPN", "USA")


def test_withdrawals_reach_three_running_recipients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = Network(tmp_path, PARTIES, SystemClock())
    network.conclude([("all.toml", agreement("ALL", PARTIES))])
    giver, *takers = network.nodes.values()
    items = []

    def make(number: int) -> str:
        publish(giver, number)
        items.append(read.header_of(read.listing(giver, Selection())[0][0]).id)
        return items[-1]

    with running(network):
        found = latencies(giver, takers, make, 5)
        assert len(set(items)) == len(found) == 5
        assert not any(finds(node, item) for node in (giver, *takers) for item in items)
    with capsys.disabled():
        print(f" p50 / p99 of {len(found)} withdrawals: {shown(found)} ", end="")
