"""Real nodes on both engines, killed by SIGKILL at drawn moments under load: nothing acknowledged is lost or doubled.

Two nodes give each other everything; on each, records are published, corrected and withdrawn all the time. Each cycle
kills a sender as it makes a page, a receiver as it stores one, whoever publishes, both nodes at once, a node as it
begins, or with PostgreSQL one of its backends or the whole server. Then both are left alone, and everything is counted.

``RELTO_KILLS`` is the number of cycles; a soak sets it higher. A kill of a process cannot show what a power failure
would: what the system has taken to write, it writes. Only the stop of PostgreSQL shows a part of that.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import select

from relto.exchange.core import halted
from relto.exercise.network import Place, conclude, found_node, free_ports, pair_all
from relto.item import parse_item
from relto.node import audit
from relto.node.home import Settings
from relto.node.node import Node
from relto.node.run import share
from relto.store.records import Selection
from relto.store.schema import items, releases
from tests.node.conftest import agreement
from tests.node.crashing import LEVEL, TELLING, Deed, Doom, ForkServer, Order, Told, ids_of
from tests.postgres import Server, running

pytestmark = pytest.mark.process

CYCLES = int(os.environ.get("RELTO_KILLS", "10"))
SEED = int(os.environ.get("RELTO_KILL_SEED", str(random.SystemRandom().randrange(2**32))))
SOAK = 50  # cycles from which on a run tells how it goes, and how often it is counted on the way
PARTIES = ("USA", "JPN")
PATIENCE_S = 60
IDLE_S = 3.0
STEP_S = 0.002

MOMENTS = {
    "publisher": ("INSERT INTO item ", "COMMIT", TELLING),
    "sender": ("INSERT INTO page ", "INSERT INTO release ", "INSERT INTO receipt ", "COMMIT"),
    "receiver": ("INSERT INTO arrival ", "INSERT INTO inbound ", "COMMIT"),
    "both": ("INSERT INTO page ", "INSERT INTO arrival ", "INSERT INTO receipt ", "COMMIT"),
}
ROLES = ("sender", "receiver", "publisher", "both", "starting", "sender", "receiver", "publisher")
SERVER_ROLES = ("backend", "engine")

# promises broken on purpose, and whose kill shows it
PLANTED = [
    ("sqlite", "told early", "receiver"),
    ("sqlite", "receipt first", "receiver"),
    ("sqlite", "stored anew", "publisher"),
    ("postgresql", "told early", "receiver"),
    ("postgresql", "unsynced", "engine"),
]
FOUND = "lost|doubled|incident|come to rest"
TRIES = 30


@dataclass(slots=True)
class Record:
    """What was ordered for one record, and what of it was acknowledged."""

    number: int
    party: str
    ingested: bool = False
    turn: int = 0
    corrected: int = 0
    withdrawing: bool = False
    withdrawn: bool = False
    id: str = ""


@dataclass(slots=True)
class Publisher:
    """A process that does deeds, and the file in which it says which are done."""

    pid: int
    deeds: tuple[Deed, ...]
    told: Path


@dataclass(slots=True)
class Run:
    """Two nodes as processes that come and go, and what they owe."""

    root: Path
    databases: tuple[str, ...]
    postgres: Server | None = None
    fault: str = ""
    seed: int = SEED
    draw: random.Random = field(init=False)
    places: dict[str, Place] = field(init=False)
    server: ForkServer = field(init=False)
    serving: dict[str, int] = field(default_factory=dict)
    publishing: dict[str, Publisher] = field(default_factory=dict)
    again: dict[str, list[Deed]] = field(default_factory=lambda: {party: [] for party in PARTIES})
    records: dict[int, Record] = field(default_factory=dict)
    number: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        ports = free_ports(4)
        self.places = {
            party: Place(party, self.root / party, ports[2 * at], ports[2 * at + 1]) for at, party in enumerate(PARTIES)
        }
        for (party, place), url in zip(self.places.items(), self.databases, strict=True):
            settings = Settings(
                party, party, port=place.port, web_port=place.web_port, level=LEVEL, poll_ms=50, database=url
            )
            found_node(place, settings)
        nodes = {party: Node.open(place.home) for party, place in self.places.items()}
        pair_all(nodes, {party: place.url for party, place in self.places.items()})
        conclude(nodes, agreement("ALL", PARTIES), "all.toml")
        for node in nodes.values():
            share(node)
            node.close()
        self.server = ForkServer()

    # processes

    def serve(self) -> None:
        """Let every node serve that does not.

        A node that began without its engine has said so and ended; whoever keeps it begins it anew.
        """
        for party in PARTIES:
            if party in self.serving and self.server.ended(self.serving[party]) is not None:
                assert self.postgres, self.said(party)
                self.moments["began without an engine"] += 1
                del self.serving[party]
            if party not in self.serving:
                order = Order(str(self.places[party].home), self._log(party), fault=self.fault)
                self.serving[party] = self.server.begin(order)

    def publish(self, party: str, doom: Doom | None = None) -> Publisher:
        """Begin to publish at a node: what was not acknowledged before, then what is new."""
        deeds = tuple(self._deeds(party))
        self.number += 1
        told = self.root / f"{self.number:08}.told"
        pause_s = self.draw.uniform(0.01, 0.15)
        order = Order(str(self.places[party].home), self._log(party), deeds, str(told), pause_s, doom, self.fault)
        self.publishing[party] = Publisher(self.server.begin(order), deeds, told)
        return self.publishing[party]

    def load(self) -> None:
        """Keep both nodes busy, and see that nothing has ended by itself that should run."""
        for party in PARTIES:
            if party in self.publishing and self._over(party):
                self.harvest(party)
            if party not in self.publishing:
                self.publish(party)

    def _over(self, party: str) -> bool:
        code = self.server.ended(self.publishing[party].pid)
        assert code in (None, 0) or self.postgres, self.said(party)
        return code is not None

    def harvest(self, party: str) -> None:
        """Learn from a publisher that is over what it had acknowledged."""
        over = self.publishing.pop(party)
        lines = over.told.read_bytes().splitlines() if over.told.exists() else []
        told = [msgspec.json.decode(line, type=Told) for line in lines]
        for each in told:
            if not each.refused:
                self._acknowledged(over.deeds[each.at])
            elif self.postgres:
                self.refused[each.refused[:60]] += 1
            else:
                raise AssertionError(f"{over.deeds[each.at]}: {each.refused}")
        done = {each.at for each in told if not each.refused}
        left = [deed for at, deed in enumerate(over.deeds) if at not in done and deed.verb == "ingest"]
        self.again[party] += [deed for deed in left if self.draw.random() < 0.7]
        over.told.unlink(missing_ok=True)

    def _acknowledged(self, deed: Deed) -> None:
        for number in deed.numbers:
            record = self.records[number]
            if deed.verb == "ingest":
                record.ingested = True
            elif deed.verb == "correct":
                record.corrected = deed.turn
            else:
                record.withdrawn = True

    def _deeds(self, party: str) -> Iterator[Deed]:
        standing = [r for r in self.records.values() if r.party == party and r.ingested and not r.withdrawing]
        yield from self.again[party]
        self.again[party] = []
        for _ in range(self.draw.randint(4, 12)):
            chance = self.draw.random()
            if chance < 0.7 or not standing:
                first = len(self.records)
                numbers = tuple(range(first, first + self.draw.randint(1, 8)))
                self.records |= {number: Record(number, party) for number in numbers}
                yield Deed("ingest", numbers)
            elif chance < 0.85:
                record = self.draw.choice(standing)
                record.turn += 1
                yield Deed("correct", (record.number,), record.turn)
            else:
                record = standing.pop(self.draw.randrange(len(standing)))
                record.withdrawing = True
                yield Deed("withdraw", (record.number,))

    # kills

    def cycle(self, role: str) -> None:
        """One kill at a drawn moment, under load."""
        starting = [party for party in PARTIES if party not in self.serving]
        self.serve()
        if role in SERVER_ROLES:
            self._kill_engine(role)
        elif role == "publisher":
            self._kill_publisher(self.draw.choice(PARTIES))
        elif role == "starting":
            self._kill_starting(starting)
        else:
            self._kill_node(role)
        self.kills[role] += 1

    def _doom(self, role: str, others: tuple[int, ...] = ()) -> Doom:
        delay_s = self.draw.choice((0.0, self.draw.uniform(0, 0.005), self.draw.uniform(0, 0.05)))
        at, count = self.draw.choice(MOMENTS[role]), self.draw.choice((1, 1, 2, 3))
        return Doom(at, count, delay_s, self.draw.random() < 0.3, others)

    def _kill_node(self, role: str) -> None:
        party = self.draw.choice(PARTIES)
        other = PARTIES[1 - PARTIES.index(party)]
        others = (self.serving[other],) if role == "both" else ()
        doom = self._doom(role, others)
        self.server.arm(self.serving[party], doom)
        self._await(lambda: self.server.ended(self.serving[party]), party, doom)
        del self.serving[party]
        if role == "both":
            self._check_killed(self.server.kill(self.serving.pop(other)), other)
        if self.draw.random() < 0.25 and party in self.publishing:  # the whole machine of the node
            self.server.kill(self.publishing[party].pid)
            self.harvest(party)
            self.kills["publisher with its node"] += 1

    def _await(self, ended: Callable[[], int | None], party: str, doom: Doom) -> None:
        """Go on under load until the doomed is dead; if what was drawn does not come about, it is killed as it is."""
        until_s, code = time.monotonic() + IDLE_S, None
        while (code := ended()) is None and time.monotonic() < until_s:
            self.load()
            time.sleep(STEP_S)
        if code is None:
            code = self.server.kill(self.serving[party])
            self.moments[f"idle, for {doom.at.strip()}"] += 1
        else:
            self.moments[doom.at.strip()] += 1
        self._check_killed(code, party)

    def _check_killed(self, code: int, party: str) -> None:
        """Nothing else ends a node, unless there is no engine as it begins."""
        assert code == -signal.SIGKILL or (self.postgres and code == 1), self.said(party)

    def _kill_publisher(self, party: str) -> None:
        """Kill one as it begins or in the middle of its deeds; one that is done before is none."""
        code = 0
        while code != -signal.SIGKILL:
            doom = self._doom("publisher")
            if party in self.publishing and self._over(party):
                self.harvest(party)
            if party in self.publishing:
                self.server.arm(self.publishing[party].pid, doom)
            else:
                self.publish(party, doom)
            code = self._end(self.publishing[party].pid)
            assert code in (0, -signal.SIGKILL) or self.postgres, self.said(party)
            self.harvest(party)
        self.moments[doom.at.strip()] += 1

    def _kill_starting(self, starting: list[str]) -> None:
        party = self.draw.choice(starting or PARTIES)
        until_s = time.monotonic() + self.draw.uniform(0, 0.6)
        while time.monotonic() < until_s:
            self.load()
            time.sleep(STEP_S)
        self._check_killed(self.server.kill(self.serving.pop(party)), party)

    def _kill_engine(self, role: str) -> None:
        """Kill a backend of the engine, on which all others end too, or stop the engine as a crash does."""
        assert self.postgres is not None
        until_s = time.monotonic() + self.draw.uniform(0.2, 0.8)
        while time.monotonic() < until_s:
            self.load()
            time.sleep(STEP_S)
        if role == "engine":
            self.postgres.stop("immediate")
            time.sleep(self.draw.uniform(0, 0.3))
            self.postgres.start()
        else:
            with suppress(ProcessLookupError):
                os.kill(self.draw.choice(self._backends()), signal.SIGKILL)
        time.sleep(0.2)  # before it knows that a backend is gone, it still answers
        self._wait(self._engine_answers)

    def _backends(self) -> list[int]:
        query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        with self._engine() as connection:
            return [row[0] for row in connection.execute(query)] or [connection.info.backend_pid]

    def _engine(self) -> psycopg.Connection[Any]:
        assert self.postgres is not None
        return psycopg.connect(host=str(self.postgres.home), user="relto", dbname="postgres", autocommit=True)

    def _engine_answers(self) -> bool:
        with suppress(psycopg.OperationalError), self._engine() as connection:
            connection.execute("SELECT 1")
            return True
        return False

    def _wait(self, done: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < until_s, self.said(*PARTIES)
            time.sleep(STEP_S)

    def _end(self, pid: int) -> int:
        until_s = time.monotonic() + PATIENCE_S
        while (code := self.server.ended(pid)) is None:
            assert time.monotonic() < until_s, self.said(*PARTIES)
            time.sleep(STEP_S)
        return code

    # what it comes to

    def settle(self) -> None:
        """Let both serve until all is sent, stored and receipted; as long as something moves there is time."""
        self.serve()
        for party in list(self.publishing):
            code = self._end(self.publishing[party].pid)
            assert code == 0 or self.postgres, self.said(party)
            self.harvest(party)
        nodes = self._nodes()
        try:
            seen, until_s = None, time.monotonic() + PATIENCE_S
            while not all(at_rest(*state) for state in self._states(nodes).values()):
                now = self._states(nodes)
                if time.monotonic() > until_s:
                    self._show_threads()
                    raise AssertionError(f"does not come to rest: {now}\n{self.said(*PARTIES)}")
                if now != seen:
                    seen, until_s = now, time.monotonic() + PATIENCE_S
                self.serve()
                time.sleep(0.05)
        finally:
            for node in nodes.values():
                node.close()

    def _show_threads(self) -> None:
        """Let the nodes write into their logs where each of their threads stands."""
        for pid in self.serving.values():
            os.kill(pid, signal.SIGUSR1)
        time.sleep(1)

    def _states(self, nodes: dict[str, Node]) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for party, other in (PARTIES, PARTIES[::-1]):
            with nodes[party].store.read() as ours, nodes[other].store.read() as theirs:
                stream, inbound = ours.stream(other), theirs.inbound(party)
                assert stream is not None
                place = (ours.last_seq(), stream.scanned_seq, stream.urgent_seq)
                found[party] = (*place, stream.next_n, stream.receipted_n, inbound.next_n)
        return found

    def _nodes(self) -> dict[str, Node]:
        return {party: Node.open(place.home) for party, place in self.places.items()}

    def check(self) -> None:
        """Hold what both nodes have against what was ordered and acknowledged."""
        nodes = self._nodes()
        try:
            for party, other in (PARTIES, PARTIES[::-1]):
                check_store(nodes[party])
                check_own(nodes[party], [each for each in self.records.values() if each.party == party])
                check_releases(nodes[party], nodes[other])
                check_streams(nodes[party], nodes[other])
            check_readable(*nodes.values())
        finally:
            for node in nodes.values():
                node.close()

    def stop(self) -> None:
        """End everything."""
        self.server.close()
        self.serving.clear()

    def said(self, *parties: str) -> str:
        """The ends of the nodes' logs."""
        return f"seed {self.seed}\n" + "\n".join(
            Path(self._log(party)).read_text()[-9000:] for party in parties if Path(self._log(party)).exists()
        )

    def _log(self, party: str) -> str:
        return str(self.root / f"{party}.log")


def at_rest(newest: int, scanned: int, urgent: int, next_n: int, receipted_n: int, stored_n: int) -> bool:
    return min(scanned, urgent) == newest and next_n == receipted_n + 1 == stored_n


@dataclass(frozen=True, slots=True)
class Held:
    """One row of the items. ``remark`` is empty where the content is gone, or is that of a withdrawal."""

    id: str
    version: int
    by: str
    view: str
    standing: str
    remark: str


def held(node: Node) -> list[Held]:
    """Everything that a store has, whoever may read it."""
    columns = (items.c.id, items.c.version, items.c.by, items.c.view, items.c.standing, items.c.header, items.c.content)
    with node.store.database.read() as connection:
        return [
            Held(key.hex(), version, by, view, standing, remark_of(view, header, content))
            for key, version, by, view, standing, header, content in connection.execute(select(*columns))
        ]


def remark_of(view: str, header: bytes, content: bytes) -> str:
    """What a row says, its content held against its header."""
    if not header or view == "nothing":
        assert view == "nothing" or not content
        return ""
    return str(json.loads(parse_item(header, content).content)["properties"]["remarks"])


def check_store(node: Node) -> None:
    """The engine finds nothing wrong, nothing is halted, nobody is accused, and the log proves itself."""
    with node.store.database.read() as connection:
        assert node.store.database.dialect.fault(connection) == ""
    with node.store.read() as books:
        assert not halted(books), f"{node.party} is halted"
        assert books.incidents() == [], f"{node.party} has an incident: {[each.text for each in books.incidents()]}"
        number = sum(stream.next_n - 1 for stream in books.all_streams())
    assert audit.check_log(node).size == number


def check_own(node: Node, owed: list[Record]) -> None:
    """At its own node each record is there once with all its versions, as far as it was acknowledged."""
    rows: dict[str, list[Held]] = {}
    for row in held(node):
        if not row.by:
            rows.setdefault(row.id, []).append(row)
    unnamed = [each for each in owed if not each.id]
    for each, id in zip(unnamed, ids_of(node, tuple(each.number for each in unnamed)), strict=True):
        each.id = id
    known = {each.id: each for each in owed}
    assert rows.keys() <= known.keys(), f"{len(rows.keys() - known.keys())} items that were never ordered: doubled"
    lost = [each.number for key, each in known.items() if each.ingested and key not in rows]
    assert not lost, f"{len(lost)} acknowledged records are lost at {node.party}: {lost[:10]}"
    for key, found in rows.items():
        check_versions(known[key], sorted(found, key=lambda row: row.version))


def check_versions(owed: Record, found: list[Held]) -> None:
    """The versions of one record follow each other, and the last says what was acknowledged last, or ordered after."""
    assert [row.version for row in found] == list(range(1, len(found) + 1)), f"{owed}: {found}"
    last = found[-1]
    dead = last.view == "nothing"
    assert owed.withdrawing or not dead, f"{owed} was never to be withdrawn"
    assert dead or not owed.withdrawn, f"the withdrawal of {owed} was acknowledged and is lost"
    assert [row.standing for row in found].count("current") == 1, f"{owed}: {found}"
    assert last.standing == "current"
    contents = [row.remark for row in found if row.view != "nothing"]
    turns = [int(remark.rpartition(" ")[2]) for remark in contents[1:]]
    assert contents[0] == f"contact {owed.number}"
    assert turns == sorted(set(turns)), f"{owed}: corrected twice"
    assert owed.corrected <= (turns[-1] if turns else 0) <= owed.turn, f"{owed}: a correction is lost, {turns}"


def check_releases(sender: Node, receiver: Node) -> None:
    """What was released is at the receiver, each version once, and the newest one stands."""
    columns = (releases.c.n, releases.c.id, releases.c.version, releases.c.view)
    with sender.store.database.read() as connection:
        query = select(*columns).where(releases.c.recipient == receiver.party).order_by(releases.c.n)
        released = [(n, key.hex(), version, view) for n, key, version, view in connection.execute(query)]
    assert [row[0] for row in released] == list(range(1, len(released) + 1))
    arrived = [row for row in held(receiver) if row.by == sender.party]
    once = Counter((key, version, view) for _, key, version, view in released)
    assert all(number == 1 for number in once.values()), "released twice"
    came = Counter((row.id, row.version, row.view) for row in arrived)
    assert all(number == 1 for number in came.values()) and came.keys() <= once.keys(), "doubled on the way"
    stands = {row.id: row for row in held(sender) if not row.by and row.standing == "current"}
    there = {row.id: row for row in arrived if row.standing == "current"}
    gone = {key for key, row in stands.items() if row.view == "nothing"}
    # what was withdrawn before its page was there is not stored any more
    assert {key for key, _, _ in once.keys() - came.keys()} <= gone, "lost on the way"
    assert there.keys() <= stands.keys()
    assert stands.keys() - there.keys() <= gone, "an item was never released"
    for key, row in there.items():
        assert (row.version, row.view, row.remark) == (stands[key].version, stands[key].view, stands[key].remark)
    assert not [row for row in arrived if row.id in gone and row.remark], "withdrawn, and its content is still there"


def check_streams(sender: Node, receiver: Node) -> None:
    """Both ends of a stream agree on its chain, its receipts, and the log behind it."""
    with sender.store.read() as ours, receiver.store.read() as theirs:
        stream, inbound, head = ours.stream(receiver.party), theirs.inbound(sender.party), ours.head()
    assert stream is not None
    assert stream.next_n - 1 == stream.receipted_n == inbound.next_n - 1, f"{stream}, {inbound}"
    assert stream.chain == inbound.chain
    # the sender has the receipt before the receiver knows that it has: killed between the two, it sends it once more
    assert inbound.receipted_n <= stream.receipted_n
    assert (inbound.log_size, inbound.log_root) == (head.size, head.root)


def check_readable(*nodes: Node) -> None:
    """What a reader sees is the same on both sides: all that stands, and nothing that was withdrawn or corrected."""
    seen = []
    for node in nodes:
        with node.store.read() as books:
            listed = books.listing(Selection(limit=1_000_000), node.reading())
        remarks = Counter(remark_of(row.view, row.header, row.content) for row in listed)
        stands = Counter(row.remark for row in held(node) if row.standing == "current" and row.view != "nothing")
        assert remarks == stands
        seen.append(remarks)
    assert seen[0] == seen[1], "the two nodes show their readers different things"


@contextmanager
def a_run(root: Path, engine: str, fault: str = "", seed: int = SEED) -> Iterator[Run]:
    """A run on an engine; with PostgreSQL on a server of its own, since that is killed, too."""
    if engine == "sqlite":
        run = Run(root, ("", ""), None, fault, seed)
        try:
            yield run
        finally:
            run.stop()
        return
    with running() as server:
        run = Run(root, (server.new(), server.new()), server, fault, seed)
        try:
            yield run
        finally:
            run.stop()


def roles(run: Run, cycles: int) -> Iterator[str]:
    """The roles of so many cycles; each comes about, also in a short run."""
    every = 20 if cycles >= SOAK else 5
    common, engine = itertools.cycle(ROLES), itertools.cycle(SERVER_ROLES)
    for at in range(cycles):
        if run.postgres and at % every == 3:
            yield next(engine)
        else:
            yield run.draw.choice(ROLES) if cycles >= SOAK else next(common)


def cycles(run: Run, number: int, told: Callable[[str], None]) -> None:
    """Kill so many times, and count everything at the end, in a soak also on the way."""
    begun_s = time.monotonic()
    for at, role in enumerate(roles(run, number), start=1):
        run.cycle(role)
        if at == number or at % (2 * SOAK) == 0:
            run.settle()
            run.check()
            told(summary(run, at, time.monotonic() - begun_s))


def summary(run: Run, done: int, took_s: float) -> str:
    owed = run.records.values()
    counts = {
        "acknowledged": sum(each.ingested for each in owed),
        "corrected": sum(each.corrected > 0 for each in owed),
        "withdrawn": sum(each.withdrawn for each in owed),
    }
    told = {"kills": dict(run.kills), "moments": dict(run.moments), "refused": dict(run.refused)}
    return f"{done} cycles, {took_s:.0f} s, seed {run.seed}, {counts | told}"


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_nothing_acknowledged_is_lost_or_doubled(
    tmp_path: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(text: str) -> None:
        if CYCLES >= SOAK:
            with capsys.disabled():
                print(f"\n{engine}: {text}", flush=True)

    print(f"seed {SEED}")  # the same moments are drawn by it; the machine decides what they meet
    with a_run(tmp_path, engine) as run:
        cycles(run, CYCLES, told)


@pytest.mark.skipif(CYCLES < SOAK, reason="a soak shows it; RELTO_KILLS=50 does")
@pytest.mark.parametrize(("engine", "fault", "role"), PLANTED)
def test_the_kills_find_a_broken_promise(tmp_path: Path, engine: str, fault: str, role: str) -> None:
    with a_run(tmp_path, engine, fault) as run, pytest.raises(AssertionError, match=FOUND):
        for _ in range(TRIES):
            run.cycle("publisher")
            run.cycle(role)
            run.settle()
            run.check()
