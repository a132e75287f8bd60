"""Real nodes over lines that fail: nothing wrong is stored, the operator reads why, and all arrives once by itself.

Between the two stands ``FaultProxy``. A pull is made as ``Runner`` makes it: after an error by a new client. The
client's timeout is short, so that a line that is silent is known as silent at once.
"""

from __future__ import annotations

import json
import queue
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from relto.api.exchange import exchange_app
from relto.clock import FixedClock, parse_utc
from relto.errors import ReltoError
from relto.exercise.network import Network, Place, conclude, found_node, free_ports, pair_all
from relto.node import audit
from relto.node.home import DATABASE, Settings
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.node.run import Runner, pull, share
from relto.peers.https import PeerClient, RefusedError
from relto.peers.tls import client_context
from tests.faults.proxy import BYTES_S_9600, NONE, FaultProxy, Faults, Refusal
from tests.node.conftest import START, agreement, detection

PARTIES = ("USA", "JPN")
TIMEOUT_S = 10.0
SHORT_S = 0.4  # where the line is silent, and only the client's timeout can end the wait
PATIENCE_S = 30  # no pull takes so long: what has not come back by then hangs
MIXTURE_S = 8
SEED = 20261124
RECEIPT_BYTES = 4000  # a receipt is longer, a request for a page is far shorter
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a receiver holds of one stream: its place, the chain, what is known to be receipted, items and proofs."""

    next_n: int
    chain: str | None
    receipted_n: int
    held: Counter[str]
    proofs: int


@dataclass
class Line:
    """One party pulls from another, over a proxy."""

    nodes: Mapping[str, Node]
    proxy: FaultProxy
    sender: str
    receiver: str
    published: Counter[str] = field(default_factory=Counter)
    number: int = 0

    def client(self, timeout_s: float = TIMEOUT_S) -> PeerClient:
        node = self.nodes[self.receiver]
        context = client_context(node.keyring.tls_files(), self.sender, node.partner(self.sender).tls_ca_der())
        return PeerClient(self.sender, self.proxy.url, context, timeout_s)

    def publish(self, count: int = 1) -> None:
        """Have so many new items lie ready in a new page of the sender."""
        node = self.nodes[self.sender]
        features = [json.loads(detection(self.number + at)) for at in range(count)]
        self.number += count
        found = ingest(
            node,
            json.dumps({"type": "FeatureCollection", "features": features}).encode(),
            "fed.geojson",
            Defaults(level="OFFICIAL"),
        )
        assert found.new == count
        self.published.update(each["properties"]["remarks"] for each in features)
        self.share()

    def share(self) -> None:
        """Make whatever pages the sender may make now."""
        while share(self.nodes[self.sender]):
            pass

    def pull(self, client: PeerClient | None = None) -> int:
        """One pull, by a client of its own unless one is given; what fails raises."""
        node = self.nodes[self.receiver]
        if client is not None:
            return bounded(lambda: pull(node, client))

        def once() -> int:
            with self.client() as made:
                return pull(node, made)

        return bounded(once)

    def refusal(self, client: PeerClient | None = None) -> Exception:
        """What a pull fails with."""
        with pytest.raises(Exception) as found:  # judged by the caller: it has to be one of ours
            self.pull(client)
        return found.value

    def catch_up(self) -> None:
        """Pull as the product does until there is no more; no error is expected any more."""
        for _ in range(self.outgoing()[0]):
            self.share()
            if not self.pull():
                return
        pytest.fail("the same pages come again and again")

    def outgoing(self) -> tuple[Any, ...]:
        """The end of the sender's stream, the chain up to it, and how much of it is receipted."""
        query = "select next_n, chain, receipted_n from stream where recipient = ?"
        return self.rows(self.sender, query, self.receiver)[0]

    def stored(self) -> Stored:
        """What the receiver holds of the sender's stream, at one moment."""
        with closing(sqlite3.connect(self.nodes[self.receiver].home / DATABASE, timeout=30)) as connection:
            connection.execute("begin")
            place = connection.execute(
                "select next_n, chain, receipted_n from inbound where peer = ?", (self.sender,)
            ).fetchone()
            contents = connection.execute("select content from item where by = ?", (self.sender,)).fetchall()
            proofs = connection.execute("select length(hashes) from arrival where peer = ?", (self.sender,)).fetchall()
        held = Counter(json.loads(content)["properties"]["remarks"] for (content,) in contents)
        return Stored(*(place or (1, None, 0)), held, sum(size for (size,) in proofs) // 32)

    def check_sound(self) -> Stored:
        """What is stored is whole pages of the stream from its beginning, each item once, and the place says so."""
        receipted_n = self.outgoing()[2]  # read first: what is stored only grows
        stored = self.stored()
        assert stored.held <= self.published, "something is held that was never published, or is held twice"
        assert stored.held.total() == stored.next_n - 1, "the place moved without its items, or items came without it"
        assert stored.proofs == stored.next_n - 1, "a proof is missing or doubled"
        assert receipted_n <= stored.next_n - 1, "more is receipted than is stored"
        query = "select chain from page where recipient = ? and last_n = ?"
        ends = self.rows(self.sender, query, self.receiver, stored.next_n - 1)
        assert stored.next_n == 1 or [(stored.chain,)] == ends, "the place is where no page ends, or of another stream"
        return stored

    def check_done(self) -> None:
        """Everything arrived once and is receipted at both ends, and both logs verify."""
        stored, sent = self.check_sound(), self.outgoing()
        assert stored.held == self.published
        assert (stored.next_n, stored.chain, stored.receipted_n) == sent if self.published else sent[0] == 1
        assert sent[2] == sent[0] - 1
        for party in (self.sender, self.receiver):
            audit.check_log(self.nodes[party])

    def done(self) -> bool:
        """Whether the sender has the receipt for everything, and the receiver knows that."""
        self.share()
        return self.published.total() == self.outgoing()[2] == self.stored().receipted_n

    def rows(self, party: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.nodes[party].home / DATABASE, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()


def bounded(work: Callable[[], T]) -> T:
    """The work's result or error; to hang is neither."""
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = done.get(timeout=PATIENCE_S)
    except queue.Empty:
        pytest.fail(f"a pull has not come back in {PATIENCE_S} s")
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # the work's own


def check_told(error: Exception, peer: str) -> None:
    """An operator can use it: one of our errors that names the peer, says what is the matter and what to do."""
    assert isinstance(error, ReltoError), repr(error)
    assert peer in error.reason, str(error)
    assert error.remedy.endswith("."), str(error)
    assert "\n" not in str(error) and "Traceback" not in str(error)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    made = Network(tmp_path_factory.mktemp("lines"), PARTIES, FixedClock(parse_utc(START)))
    made.conclude([("all.toml", agreement("ALL", PARTIES))])
    made.serve()
    made.settle()
    yield made
    made.close()


@pytest.fixture(scope="module")
def lines(network: Network) -> Iterator[tuple[Line, Line]]:
    ports = {party: place.port for party, place in network.places.items()}
    with FaultProxy(ports["USA"], SEED) as east, FaultProxy(ports["JPN"], SEED + 1) as west:
        yield Line(network.nodes, east, "USA", "JPN"), Line(network.nodes, west, "JPN", "USA")


@pytest.fixture
def line(lines: tuple[Line, Line]) -> Iterator[Line]:
    """Japan pulls from the United States; the line is healthy, and nothing is under way."""
    found = lines[0]
    found.check_done()
    yield found
    found.proxy.heal()
    found.catch_up()


# --- each fault ---

SILENT = "does not answer in time"
CLOSED = "closes the connection|cannot be reached|was spoilt on its way"
NOBODY = "refuses the connection"
SPOILT = f"TLS|{CLOSED}|{SILENT}"  # silent where the length of a record is spoilt: the rest of it is waited for


@dataclass(frozen=True, slots=True)
class Cell:
    """A fault, what a pull over a new connection says of it and one over an open connection ("": it works), and which
    count of the proxy shows that it happened."""

    new: str
    opened: str
    up: Faults = NONE
    down: Faults = NONE
    refusal: Refusal = ""
    counted: str = ""


SLOW = Faults(delay_s=0.02, jitter_s=0.03)
LATE = Faults(delay_s=SHORT_S + 0.2)
SHUFFLED = Faults(reordered=True, chunk_bytes=60)
CELLS = {
    "late within the timeout": Cell("", "", up=SLOW, down=SLOW),
    "late, up": Cell(SILENT, SILENT, up=LATE),
    "late, down": Cell(SILENT, SILENT, down=LATE),
    "throttled": Cell("", "", up=Faults(bytes_s=100_000), down=Faults(bytes_s=100_000)),
    "stalled, up": Cell(SILENT, SILENT, up=Faults(stalled=True)),
    "stalled, down": Cell(SILENT, SILENT, down=Faults(stalled=True)),
    "dropped, up": Cell(SILENT, SILENT, up=Faults(dropped=True), counted="dropped_bytes"),
    "dropped, down": Cell(SILENT, SILENT, down=Faults(dropped=True), counted="dropped_bytes"),
    "cut, up": Cell(CLOSED, CLOSED, up=Faults(cut_after=0), counted="cuts"),
    "cut, down": Cell(CLOSED, CLOSED, down=Faults(cut_after=0), counted="cuts"),
    "cut at random": Cell(CLOSED, CLOSED, up=Faults(cut_chance=0.9), down=Faults(cut_chance=0.9), counted="cuts"),
    "corrupted, up": Cell(SPOILT, SPOILT, up=Faults(corrupt_every=1), counted="corrupted"),
    "corrupted, down": Cell(SPOILT, SPOILT, down=Faults(corrupt_every=1), counted="corrupted"),
    "reordered, up": Cell(SPOILT, SPOILT, up=SHUFFLED, counted="swapped"),
    "reordered, down": Cell(SPOILT, SPOILT, down=SHUFFLED, counted="swapped"),
    "half open, up": Cell(CLOSED, CLOSED, up=Faults(ended=True), counted="ended"),
    "half open, down": Cell(CLOSED, CLOSED, down=Faults(ended=True), counted="ended"),
    "half open and silent": Cell(SILENT, SILENT, Faults(ended=True), Faults(dropped=True), counted="ended"),
    "nobody listens": Cell(NOBODY, "", refusal="closed"),
    "taken and reset": Cell(CLOSED, "", refusal="reset", counted="refused"),
    "taken by nobody": Cell(SILENT, "", refusal="silent"),
}


@pytest.mark.parametrize("opened", [False, True], ids=["new connection", "open connection"])
@pytest.mark.parametrize("name", CELLS)
def test_each_fault(line: Line, name: str, opened: bool) -> None:
    cell = CELLS[name]
    expected = cell.opened if opened else cell.new
    with line.client(SHORT_S if SILENT in expected else TIMEOUT_S) as client:
        if opened:
            assert line.pull(client) == 0
        line.publish()
        before, counted = line.stored(), happened(line.proxy, cell.counted)
        line.proxy.set(up=cell.up, down=cell.down, refusal=cell.refusal)
        if expected:
            error = line.refusal(client)
            check_told(error, "USA")
            assert re.search(expected, error.reason), str(error)
            assert line.check_sound() == before
        else:
            assert line.pull(client) == 1
        if cell.counted and expected:
            assert happened(line.proxy, cell.counted) > counted, "the fault did not come about"
    line.proxy.heal()
    line.catch_up()
    line.check_done()


def test_a_refusal_told_twice_is_lifted_at_once(line: Line) -> None:
    """Of the proxy itself: what the faults leave behind is not taken for the nodes' failure."""
    refusals: tuple[Refusal, ...] = ("silent", "reset", "closed", "closed")
    for refusal in refusals:
        line.publish()
        line.proxy.set(refusal=refusal)
        with line.client(SHORT_S) as client:
            check_told(line.refusal(client), "USA")
    line.proxy.heal()
    line.catch_up()
    line.check_done()


def happened(proxy: FaultProxy, count: str) -> int:
    if not count:
        return 0
    return sum(getattr(each, count) for each in (proxy, proxy.up, proxy.down) if hasattr(each, count))


def test_a_spoilt_connection_is_given_up_by_itself_when_the_line_is_whole_again(line: Line) -> None:
    """What was swallowed never comes, so the connection is of no more use though nothing is closed."""
    for way in ("up", "down"):
        with line.client(SHORT_S) as client:
            assert line.pull(client) == 0
            line.publish()
            line.proxy.set(**{way: Faults(dropped=True)})
            check_told(line.refusal(client), "USA")
            line.proxy.heal()
            assert line.pull(client) == 1
        line.check_done()


def test_a_connection_cut_at_any_place(line: Line) -> None:
    """In the handshake, within the request, within the page, between page and receipt, and within the receipt."""
    proxy, draw = line.proxy, Random(SEED)
    line.publish(3)
    before = proxy.up.passed_bytes, proxy.down.passed_bytes
    assert line.pull() == 3
    whole = {"up": proxy.up.passed_bytes - before[0], "down": proxy.down.passed_bytes - before[1]}
    outcomes: Counter[str] = Counter()
    for way, size in whole.items():
        step = size // 12
        for begin in range(0, size - 2 * step, step):
            cut_after = draw.randrange(begin, begin + step)
            line.publish(3)
            start = line.stored()
            proxy.set(**{way: Faults(cut_after=cut_after)})
            check_told(line.refusal(), "USA")
            stored, receipted_n = line.check_sound(), line.outgoing()[2]
            assert stored.next_n in (start.next_n, start.next_n + 3), "half a page is stored"
            assert receipted_n == start.receipted_n
            outcomes["page lost" if stored.next_n == start.next_n else "receipt lost"] += 1
            proxy.heal()
            line.catch_up()
            line.check_done()
    assert set(outcomes) == {"page lost", "receipt lost"}, outcomes


def test_a_receipt_whose_answer_is_lost_is_sent_once_more(line: Line) -> None:
    """The sender knows that all is stored, and the receiver does not know that it knows."""
    cut_in_the_receipt(line)
    before = line.outgoing()[2]
    assert (line.stored().next_n, line.stored().receipted_n) == (before + 2, before)
    with line.client(SHORT_S) as client:
        with pytest.raises(RefusedError, match="404"):
            client.get("/nothing")
        line.proxy.set(down=Faults(dropped=True))
        check_told(line.refusal(client), "USA")
    assert (line.outgoing()[2], line.stored().receipted_n) == (before + 1, before)
    line.proxy.heal()
    sent_bytes = line.proxy.up.passed_bytes
    assert line.pull() == 0
    assert line.proxy.up.passed_bytes - sent_bytes > RECEIPT_BYTES
    line.check_done()


def cut_in_the_receipt(line: Line) -> None:
    """A pull that stores its page, and whose line is cut before the receipt is through."""
    with line.client() as client:
        begun_bytes = line.proxy.up.passed_bytes
        assert line.pull(client) == 0
        asked_bytes = line.proxy.up.passed_bytes - begun_bytes
        line.publish()
        line.proxy.set(up=Faults(cut_after=asked_bytes + RECEIPT_BYTES // 2))
        check_told(line.refusal(client), "USA")
    line.proxy.heal()


def test_a_line_of_9600_bit_s(line: Line) -> None:
    """A page that takes far longer than the timeout arrives, since it never stops; nothing of it is there before."""
    line.publish(5)
    before, poor = line.stored(), Faults(bytes_s=BYTES_S_9600)
    begun_bytes = line.proxy.down.passed_bytes
    line.proxy.set(up=poor, down=poor)
    with line.client() as client, ThreadPoolExecutor(1) as background:
        pulling = background.submit(pull, line.nodes["JPN"], client)
        while line.proxy.down.passed_bytes < begun_bytes + 4000 and not pulling.done():
            time.sleep(0.02)
        assert not pulling.done()
        assert line.check_sound() == before
        line.proxy.set(up=Faults(bytes_s=20_000), down=Faults(bytes_s=20_000))  # the rest is more of the same
        assert pulling.result(PATIENCE_S) == 5
    line.check_done()


# --- many faults ---

WILD = (
    Faults(),
    Faults(delay_s=0.05, jitter_s=0.2),
    Faults(bytes_s=30_000, jitter_s=0.02),
    Faults(stalled=True),
    Faults(dropped=True),
    Faults(cut_after=4000),
    Faults(cut_chance=0.2, delay_s=0.02),
    Faults(corrupt_every=3),
    Faults(corrupt_every=7, jitter_s=0.05, chunk_bytes=900),
    Faults(reordered=True, chunk_bytes=1200),
    Faults(ended=True),
)
REFUSALS: tuple[Refusal, ...] = ("", "", "", "", "closed", "reset", "silent")


class Puller:
    """Pulls over a line without a pause, as a node's worker does: what fails is tried again by a new client."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.errors: list[Exception] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "a pull hangs"

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self.line.client(SHORT_S) as client:
                    while not self._stopping.is_set():
                        pull(self.line.nodes[self.line.receiver], client, wait_ms=100)
            except Exception as error:
                self.errors.append(error)
                self._stopping.wait(0.02)


def test_a_mixture_of_faults_in_both_directions(lines: tuple[Line, Line]) -> None:
    draw = Random(SEED)
    pullers = [Puller(line) for line in lines]
    try:
        end_s = time.monotonic() + MIXTURE_S
        while time.monotonic() < end_s:
            for line in lines:
                line.proxy.set(up=draw.choice(WILD), down=draw.choice(WILD), refusal=draw.choice(REFUSALS))
                if draw.random() < 0.2:
                    line.proxy.cut()
                line.publish(draw.randrange(1, 8))
            time.sleep(draw.uniform(0.05, 0.5))
            for line in lines:
                line.check_sound()
        for line in lines:
            line.proxy.heal()
        wait_until(lambda: all(line.done() for line in lines))
    finally:
        for puller in pullers:
            puller.stop()
    for line, puller in zip(lines, pullers, strict=True):
        line.check_done()
        assert puller.errors, "the faults met nobody"
        for error in puller.errors:
            check_told(error, line.sender)


def wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, "it does not settle"
        time.sleep(0.02)


def test_nodes_left_to_themselves_over_bad_lines(tmp_path: Path) -> None:
    """Whole nodes with their own workers: the cards name the proxies. What the log says names the peer."""
    ports = dict(zip(PARTIES, free_ports(2), strict=True))
    with ExitStack() as stack, capture_logs() as logs:
        proxies = {party: stack.enter_context(FaultProxy(ports[party], SEED)) for party in PARTIES}
        nodes = {}
        for party in PARTIES:
            place = Place(party, tmp_path / party, ports[party], 0)
            found_node(place, Settings(party, party, port=ports[party], level="OFFICIAL", poll_ms=50))
            nodes[party] = Node.open(place.home)
        pair_all(nodes, {party: proxy.url for party, proxy in proxies.items()})
        conclude(nodes, agreement("ALL", PARTIES), "all.toml")
        for node in nodes.values():
            share(node)
        runners = [Runner(node, exchange_app) for node in nodes.values()]
        for runner in runners:
            runner.start()
        lines = [Line(nodes, proxies[sender], sender, receiver) for sender, receiver in (PARTIES, PARTIES[::-1])]
        try:
            for wild in LEFT:
                for line in lines:
                    line.proxy.set(**wild)
                    line.publish(2)
                time.sleep(0.3)
                for line in lines:
                    line.check_sound()
                    line.proxy.heal()
                    line.proxy.cut()
                wait_until(lambda: all(line.done() for line in lines))
            for line in lines:
                line.check_done()
        finally:
            with ThreadPoolExecutor(2) as background:
                list(background.map(Runner.stop, runners))
    failed = [entry for entry in logs if entry["event"] == "pull failed"]
    assert {entry["peer"] for entry in failed} == set(PARTIES)
    for entry in failed:
        assert entry["log_level"] == "warning" and "exc_info" not in entry, entry
        assert entry["peer"] in entry["reason"] and entry["reason"].endswith("."), entry
    assert not [entry for entry in logs if entry["log_level"] in ("error", "critical")]


LEFT: tuple[dict[str, Any], ...] = (
    {"refusal": "closed"},
    {"refusal": "reset", "down": Faults(corrupt_every=2)},
    {"up": Faults(cut_after=1500)},
    {"down": Faults(cut_chance=0.3), "up": Faults(jitter_s=0.05)},
    {"up": Faults(corrupt_every=2)},
    {"down": Faults(reordered=True, chunk_bytes=500)},
    {"down": Faults(ended=True)},
    {"up": Faults(dropped=True), "down": Faults(stalled=True)},
)


# --- what could be told better ---


def test_a_partner_that_hangs_up_within_a_receipt_leaves_no_traceback(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    cut_in_the_receipt(line)
    line.catch_up()
    line.check_done()
    if [record for record in caplog.records if record.exc_info]:
        pytest.fail("the operator reads a traceback")


def test_a_line_that_spoils_an_open_connection_is_not_told_as_a_failed_handshake(line: Line) -> None:
    with line.client() as client:
        assert line.pull(client) == 0
        line.proxy.set(down=Faults(corrupt_every=1))
        error = line.refusal(client)
    check_told(error, "USA")
    if "handshake" in str(error):
        pytest.fail(str(error))


def test_a_client_that_our_answer_does_not_reach_is_not_told_as_one_of_an_old_version(line: Line) -> None:
    with capture_logs() as logs:
        line.proxy.set(down=Faults(ended=True))
        check_told(line.refusal(), "USA")
        line.proxy.heal()
        line.catch_up()
    if [entry for entry in logs if "does not speak TLS" in entry.get("reason", "")]:
        pytest.fail("the operator is sent to look for an old program")
