"""What a flooding and a stalled partner cost the others: the delivery of single items to a third, with and without."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import structlog

from bench.items import DEFAULTS, drafts
from bench.measure import Row
from relto.api.exchange import exchange_app
from relto.exercise.network import Network, conclude
from relto.formats.draft import Draft
from relto.formats.kev import KIND, MEDIA_TYPE
from relto.labels import Handling
from relto.node.home import SystemClock
from relto.node.ingest import store_drafts
from relto.node.node import Node
from relto.node.run import Runner

PARTIES = ("AUS", "IND", "JPN")
TEXT = Path(__file__).parent.parent / "tests" / "agreements" / "texts" / "p5-a6.toml"
_PAUSE_S = 0.05


def measure(count: int) -> list[Row]:
    """Deliver items one by one from AUS to JPN, alone and while IND misbehaves: the p99 of each."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as root, _running(Path(root)) as (network, runners):
        store_drafts(network.nodes["AUS"], drafts(8000), DEFAULTS)
        _deliver(network, 10, "warm")
        rounds: dict[str, list[float]] = {"alone": [], "flood": [], "stall": []}
        said = {"flood": "", "stall": ""}
        for turn in range(3):  # in turns, so that a busy machine is shared out between the three
            rounds["alone"] += _deliver(network, count // 3, f"alone-{turn}")
            for manner in ("flood", "stall"):
                url = f"https://127.0.0.1:{runners['AUS'].port}"
                arguments = [str(network.places["IND"].home), "AUS", url, manner, str(count // 3 * 0.6)]
                with subprocess.Popen(
                    [sys.executable, "-m", "bench.flood", *arguments], stdout=subprocess.PIPE, text=True
                ) as other:
                    time.sleep(1.5)
                    rounds[manner] += _deliver(network, count // 3, f"{manner}-{turn}")
                    other.terminate() if manner == "stall" else None
                    said[manner] = (other.communicate()[0] or "").strip()
    alone = _p99(rounds["alone"])
    print({name: (round(_p50(took), 3), round(_p99(took), 3)) for name, took in rounds.items()}, said)
    return [
        Row("Delivery of single items, p99 (floor: no other partner active)", f"{alone:.3f} s", "", ""),
        *(
            Row(f"- while a third partner {words}", f"{_p99(rounds[manner]):.3f} s", f"{alone:.3f} s",
                f"{100 * alone / _p99(rounds[manner]):.1f} %")
            for manner, words in (("flood", f"floods (last turn: {said['flood']})"), ("stall", "stalls 16 connections"))
        ),
    ]  # fmt: skip


@contextmanager
def _running(root: Path) -> Iterator[tuple[Network, dict[str, Runner]]]:
    clock = SystemClock()
    network = Network(root, PARTIES, clock)
    text = TEXT.read_text("utf-8").replace('"AUS", "IND", "JPN", "USA"', '"AUS", "IND", "JPN"')
    text = text.replace('[[party]]\nid = "USA"\nname = "United States of America"\ntier = "T3"\n\n', "")
    conclude(network.nodes, text.replace('USA = ["OFFICIAL"]\n', "").encode(), "A6")
    runners = {}
    try:
        for party in ("AUS", "JPN"):
            runners[party] = Runner(network.nodes[party], exchange_app)
            runners[party].start()
        yield network, runners
    finally:
        for runner in runners.values():
            runner.stop()
        network.nodes["IND"].close()


def _deliver(network: Network, count: int, name: str) -> list[float]:
    took = []
    for at in range(count):
        before = _arrived(network.nodes["JPN"])
        start = time.perf_counter()
        store_drafts(network.nodes["AUS"], [_draft(f"{name}-{at}")], DEFAULTS)
        while _arrived(network.nodes["JPN"]) == before and time.perf_counter() - start < 30:
            time.sleep(0.005)
        took.append(time.perf_counter() - start)
        time.sleep(_PAUSE_S)
    return took


def _arrived(node: Node) -> int:
    with node.store.read() as books:
        return books.inbound("AUS").next_n


def _draft(name: str) -> Draft:
    at_ms = SystemClock().now_ms()
    content = json.dumps({"cveID": name, "vulnerabilityName": name}).encode()
    return Draft(
        kind=KIND, observed_ms=at_ms, until_ms=at_ms, place=None, content=content, media_type=MEDIA_TYPE,
        handling=Handling(tlp="GREEN"),
    )  # fmt: skip


def _p50(took: list[float]) -> float:
    return quantiles(took, n=100)[49]


def _p99(took: list[float]) -> float:
    return quantiles(took, n=100)[98]
