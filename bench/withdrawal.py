"""Withdrawal: how long it takes on healthy links until no reader at three recipients finds the item."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import structlog

from bench.items import drafts
from bench.measure import Row
from relto.exercise.network import Network
from relto.exercise.withdrawals import latencies, running, shown
from relto.node import read
from relto.node.home import SystemClock
from relto.node.ingest import Defaults, store_drafts
from relto.store.records import Selection

GIVER, TAKERS = "AUS", ("IND", "JPN", "USA")
DEFAULTS = Defaults(level="OFFICIAL")
AGREEMENT = b"""
format = "relto-agreement/1"
id = "BENCH"
version = 1
title = "Benchmark"
illustration = true
term = { from = 2026-01-01T00:00:00Z }
party = [
  { id = "AUS", name = "A", tier = "T3" },
  { id = "IND", name = "I", tier = "T3" },
  { id = "JPN", name = "J", tier = "T3" },
  { id = "USA", name = "U", tier = "T3" },
]
level = [{ name = "OFFICIAL", AUS = ["OFFICIAL"], IND = ["OFFICIAL"], JPN = ["OFFICIAL"], USA = ["OFFICIAL"] }]
[[grant]]
id = "all"
text = "Everything of the cyber domain goes as it is held."
from = ["AUS"]
to = ["IND", "JPN", "USA"]
domains = ["cyber"]
ceiling = "OFFICIAL"
view = "full"
"""


def measure(count: int, backlog: int) -> list[Row]:
    """Withdrawals one after the other on quiet links, and while a backlog goes over the same links."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    every = drafts(2 * count + backlog)
    with tempfile.TemporaryDirectory() as root:
        network = Network(Path(root), (GIVER, *TAKERS), SystemClock())
        network.conclude([("bench.toml", AGREEMENT)])
        giver, takers = network.nodes[GIVER], [network.nodes[party] for party in TAKERS]

        def publish(number: int) -> str:
            store_drafts(giver, [every[number]], DEFAULTS)
            found, _ = read.listing(giver, Selection(text=every[number].title))
            return read.header_of(found[0]).id

        with running(network):
            quiet = latencies(giver, takers, publish, count)
            held = [publish(count + number) for number in range(count)]
            latencies(giver, takers, lambda _: publish(2 * count), 1)  # by then all of them have arrived
            store_drafts(giver, every[2 * count + 1 :], DEFAULTS)
            busy = latencies(giver, takers, lambda number: held[number], count)
    return [
        Row("Withdrawal, from the command until gone at three recipients: p50 / p99", shown(quiet), "", ""),
        Row(f"- while {backlog:,} items go over the same links", shown(busy), "", ""),
    ]
