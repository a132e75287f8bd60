"""Nodes as processes, killed at any moment: what was acknowledged is not lost, and nothing is there twice.

``RELTO_KILLS`` is the number of kills of each kind; a soak sets it higher. A process that ingests is killed while it
writes: most of its time goes by before its first byte is on the disk, so the moment is drawn from what it has written.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from relto.exercise.network import Place, conclude, found_node, free_ports, pair_all
from relto.item import Header, parse_item
from relto.node import audit
from relto.node.home import DATABASE, Settings
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.node.run import share
from tests.node.conftest import agreement, detection

pytestmark = pytest.mark.process

KILLS = int(os.environ.get("RELTO_KILLS", "4"))
SEED = int(os.environ.get("RELTO_KILL_SEED", str(random.SystemRandom().randrange(2**32))))
INGESTED = 1501  # four commits of the store
FED_FILES, FED, FED_EVERY_S = 8, 15, 0.1
SENDER, RECEIVER = "USA", "JPN"
PATIENCE_S = 120


class Pair:
    """Two nodes with an agreement, each the home of processes that come and go."""

    def __init__(self, root: Path) -> None:
        ports = free_ports(4)
        self.root = root
        self.draw = random.Random(SEED)
        self.acknowledged: set[str] = set()
        self.kills: Counter[str] = Counter()
        self._serving: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 0
        self.places = {
            party: Place(party, root / party, ports[2 * at], ports[2 * at + 1])
            for at, party in enumerate((SENDER, RECEIVER))
        }
        for party, place in self.places.items():
            settings = Settings(party, party, port=place.port, web_port=place.web_port, level="OFFICIAL", poll_ms=50)
            found_node(place, settings)
        nodes = {party: Node.open(place.home) for party, place in self.places.items()}
        pair_all(nodes, {party: place.url for party, place in self.places.items()})
        conclude(nodes, agreement("ALL", (SENDER, RECEIVER)), "all.toml")
        for node in nodes.values():
            share(node)
            node.close()

    def start(self, party: str) -> None:
        """Begin to serve; the process may be killed before it is up."""
        with (self.root / f"{party}.log").open("ab") as log:
            self._serving[party] = subprocess.Popen(
                [*self._relto(party), "serve"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self, party: str) -> None:
        """No signal handler, no last write: SIGKILL."""
        process = self._serving.pop(party)
        assert process.poll() is None, (self.root / f"{party}.log").read_text()[-2000:]
        process.kill()
        assert process.wait() == -signal.SIGKILL
        self.kills[party] += 1

    def file(self, number: int) -> Path:
        """A file of so many records that were never there before."""
        features = [json.loads(detection(self._number + at)) for at in range(number)]
        path = self.root / f"{self._number:08}.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        self._number += number
        return path

    def begin(self, path: Path) -> subprocess.Popen[bytes]:
        """Begin to ingest a file in a process of its own."""
        command = [*self._relto(SENDER), "--json", "ingest", str(path)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def written(self, process: subprocess.Popen[bytes], reach_bytes: float = math.inf) -> tuple[int, float]:
        """Wait until a process has written so much into the store's journal, or has ended.

        Returns how many bytes were seen there, and how many seconds lie between the first and the last of them.
        """
        journal = Path(f"{self.places[SENDER].home / DATABASE}-wal")
        seen_bytes, first_s, last_s = 0, 0.0, 0.0
        while process.poll() is None and seen_bytes < reach_bytes:
            size_bytes = journal.stat().st_size if journal.exists() else 0
            if size_bytes > seen_bytes:
                seen_bytes, last_s = size_bytes, time.monotonic()
                first_s = first_s or last_s
            time.sleep(0.0005)
        return seen_bytes, last_s - first_s

    def feed(self, node: Node) -> None:
        """Ingest several small files one after another, beside the serving process, so that several pages go."""
        for _ in range(FED_FILES):
            content = self.file(FED).read_bytes()
            assert ingest(node, content, "more.geojson", Defaults(level="OFFICIAL")).new == FED
            self.acknowledged |= remarks_in(content)
            time.sleep(FED_EVERY_S)

    def ended(self, process: subprocess.Popen[bytes], path: Path) -> bool:
        """Whether the process lived to say that all records of the file are stored."""
        told, _ = process.communicate(timeout=PATIENCE_S)
        if process.returncode == -signal.SIGKILL:
            return False
        assert process.returncode == 0
        wanted = remarks_in(path.read_bytes())
        assert json.loads(told)[str(path)]["items"] == len(wanted)
        self.acknowledged |= wanted
        return True

    def settle(self) -> None:
        """Let both serve until all is sent, stored and receipted; as long as something moves there is time."""
        for party in self.places:
            if party not in self._serving:
                self.start(party)
        seen, deadline = self.place(), time.monotonic() + PATIENCE_S
        while not self.at_rest():
            assert time.monotonic() < deadline, self.progress()
            assert all(process.poll() is None for process in self._serving.values()), self.progress()
            if self.place() != seen:
                seen, deadline = self.place(), time.monotonic() + PATIENCE_S
            time.sleep(0.05)

    def at_rest(self) -> bool:
        newest, scanned, next_n, receipted_n = self.place()
        return newest == scanned and next_n == receipted_n + 1

    def place(self) -> tuple[int, ...]:
        """Where the stream is: newest item, items looked at, next release, receipted."""
        query = "select (select coalesce(max(seq), 0) from item), scanned_seq, next_n, receipted_n from stream"
        return self._query(SENDER, query)

    def items(self) -> int:
        """How many items the sender holds."""
        return self._query(SENDER, "select count(*) from item")[0]

    def moment(self) -> str:
        """What was under way."""
        newest, scanned, next_n, receipted_n = self.place()
        received = self._query(RECEIVER, "select coalesce(max(next_n), 1) from inbound")[0]
        if received < next_n:
            return "released, not stored there"
        if receipted_n < next_n - 1:
            return "stored there, not receipted"
        return "stored, not released" if scanned < newest else "at rest"

    def progress(self) -> str:
        logs = [(self.root / f"{party}.log").read_text()[-1500:] for party in self.places]
        return f"seed {SEED}, place {self.place()}\n" + "\n".join(logs)

    def stop(self) -> None:
        for process in self._serving.values():
            process.terminate()
        for process in self._serving.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._serving.clear()

    def _query(self, party: str, query: str) -> tuple[int, ...]:
        with closing(sqlite3.connect(self.places[party].home / DATABASE, timeout=30)) as connection:
            found: tuple[int, ...] = connection.execute(query).fetchone()
            return found

    def _relto(self, party: str) -> list[str]:
        return [sys.executable, "-m", "relto", "--home", str(self.places[party].home)]


def remarks_in(content: bytes) -> set[str]:
    return {each["properties"]["remarks"] for each in json.loads(content)["features"]}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.stop()


@dataclass(frozen=True, slots=True)
class Held:
    """One row of the items, as it was signed."""

    header: Header
    remark: str


def held(node: Node) -> list[Held]:
    with closing(sqlite3.connect(node.home / DATABASE)) as connection:
        rows = connection.execute("select header, content from item order by seq").fetchall()
    return [
        Held(parse_item(header, content).header, json.loads(content)["properties"]["remarks"])
        for header, content in rows
    ]


def integrity(node: Node) -> str:
    with closing(sqlite3.connect(node.home / DATABASE)) as connection:
        found: str = connection.execute("pragma integrity_check").fetchone()[0]
        return found


def check(pair: Pair) -> None:
    """Everything acknowledged is at the receiver, every item once, and both agree on how they came there."""
    pair.stop()
    sender, receiver = (Node.open(pair.places[party].home) for party in (SENDER, RECEIVER))
    try:
        assert integrity(sender) == integrity(receiver) == "ok"
        own, arrived = held(sender), held(receiver)
        remarks = Counter(each.remark for each in own)
        assert remarks.most_common(1)[0][1] == 1, "an item is stored twice at the sender"
        assert pair.acknowledged <= set(remarks), "an acknowledged record is lost"
        assert Counter(each.header.id for each in own) == Counter(each.header.id for each in arrived)
        assert remarks == Counter(each.remark for each in arrived)
        check_streams(sender, receiver, len(own))
        assert audit.check_log(sender).size == len(own)
        assert audit.check_log(receiver).size == 0
    finally:
        sender.close()
        receiver.close()


def check_streams(sender: Node, receiver: Node, number: int) -> None:
    with sender.store.read() as ours, receiver.store.read() as theirs:
        stream, inbound, head = ours.stream(RECEIVER), theirs.inbound(SENDER), ours.head()
    assert stream is not None
    assert stream.next_n - 1 == stream.receipted_n == inbound.next_n - 1 == number
    assert stream.chain == inbound.chain
    # the sender has the receipt before the receiver knows that it has: killed between the two, it sends it once more
    assert inbound.receipted_n <= stream.receipted_n
    assert (inbound.log_size, inbound.log_root) == (head.size, head.root)


def test_ingest_killed_at_random_moments_of_its_writing(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    path = pair.file(INGESTED)
    process = pair.begin(path)
    whole_bytes, whole_s = pair.written(process)
    assert pair.ended(process, path)
    moments: Counter[str] = Counter()
    path, missing = pair.file(INGESTED), INGESTED
    for _ in range(3 * KILLS + 10):
        if pair.kills["ingest"] == KILLS:
            break
        before = pair.items()
        process = pair.begin(path)
        seen_bytes, _ = pair.written(process, pair.draw.uniform(0, 0.9 * whole_bytes * missing / INGESTED))
        if pair.draw.random() < 0.5:  # not within a commit, but somewhere between two
            time.sleep(pair.draw.uniform(0, whole_s / 8))
        process.kill()
        ended = pair.ended(process, path)
        missing -= pair.items() - before
        if not ended:
            pair.kills["ingest"] += 1
            moments["before" if not seen_bytes else "during" if missing else "after"] += 1
        if not missing:
            assert pair.ended(pair.begin(path), path)  # killed after its last commit, it says so now and adds nothing
            path, missing = pair.file(INGESTED), INGESTED
    assert pair.kills["ingest"] == KILLS, "the process is always done before it can be killed"
    assert moments["during"] > 0, moments
    assert pair.ended(pair.begin(path), path)
    pair.settle()
    check(pair)
    report(capsys, "ingest", pair, moments)


def test_serving_nodes_killed_at_random_moments_during_the_exchange(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = Node.open(pair.places[SENDER].home)
    try:
        pair.start(SENDER)
        pair.start(RECEIVER)
        pair.settle()
        begun_s = time.monotonic()
        pair.feed(sender)
        pair.settle()
        round_s = time.monotonic() - begun_s
        moments: Counter[str] = Counter()
        for _ in range(KILLS):
            feeding = threading.Thread(target=pair.feed, args=(sender,))
            feeding.start()
            first, second = sorted(pair.draw.uniform(0, round_s) for _ in range(2))
            for party, pause_s in zip(pair.draw.sample([SENDER, RECEIVER], 2), (first, second - first), strict=True):
                time.sleep(pause_s)
                pair.kill(party)
                moments[f"{party} while {pair.moment()}"] += 1
                pair.start(party)
            feeding.join()
            pair.settle()  # both are up again before the next kill, or it would only ever meet a program that starts
    finally:
        sender.close()
    check(pair)
    assert pair.kills[SENDER] == pair.kills[RECEIVER] == KILLS
    report(capsys, "serve", pair, moments)


def report(capsys: pytest.CaptureFixture[str], kind: str, pair: Pair, moments: Counter[str]) -> None:
    """A soak tells what it came to."""
    if KILLS > 4:
        with capsys.disabled():
            print(f"\n{kind}: {KILLS} kills, {len(pair.acknowledged)} records, seed {SEED}, {dict(moments)}")
