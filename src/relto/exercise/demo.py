"""The demo: seven national nodes as separate processes on this machine, real certificates, real and exercise records.

Everything goes the way of an operator: nodes are made, paired, bound by agreements, started with ``relto serve``, and
fed from files; what moves between them moves over mutual TLS.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import httpx
import msgspec

from relto.clock import HOUR_MS, SECOND_MS
from relto.errors import OurError, ReltoError
from relto.exercise.compare import Comparison, compare
from relto.exercise.network import Place, conclude, found_node, free_ports, pair_all
from relto.exercise.scenario import NATIONS, cyber, generate
from relto.feeds.files import unpack
from relto.labels import REL_TO, Category, Handling, Tlp
from relto.node import audit
from relto.node.home import Settings, SystemClock, entropy
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.node.report import NodeReport, report
from relto.node.run import share

NAMES = {
    "USA": "United States",
    "JPN": "Japan",
    "AUS": "Australia",
    "IND": "India",
    "KOR": "Republic of Korea",
    "PHL": "Philippines",
    "IDN": "Indonesia",
}
STRIP = "EXERCISE · SIMULATED AND SAMPLE RECORDS · ILLUSTRATIVE AGREEMENTS · NOT FOR NAVIGATION"
SEED = 7
_HOURS = 6
_START_S = 60
_QUIET_S = 300


class Feed(msgspec.Struct, frozen=True):
    """One file for one nation, with what its operator says of it."""

    nation: str
    name: str
    content: bytes
    defaults: Defaults


class Progress(msgspec.Struct, frozen=True):
    """One thing that happened, for whoever watches."""

    said: str
    reports: tuple[NodeReport, ...] = ()


class NodeSummary(msgspec.Struct, frozen=True):
    """One node in the demo's report."""

    url: str
    held: dict[str, dict[str, int]]
    decisions: dict[str, dict[str, int]]
    released: int
    delivered: int
    receipted: int
    delayed: int
    log_size: int
    log_verified: bool


class DemoReport(msgspec.Struct, frozen=True):
    """The demo's report: each node, and the pairs checked against the oracle."""

    nodes: dict[str, NodeSummary]
    oracle: dict[str, int]
    differences: list[dict[str, object]]

    @property
    def good(self) -> bool:
        """Whether everything was delivered, receipted and verified, as the oracle says."""
        complete = all(n.released == n.delivered == n.receipted and n.log_verified for n in self.nodes.values())
        return complete and self.oracle["differences"] == 0


class Demo:
    """Seven nodes below one directory."""

    def __init__(self, root: Path) -> None:
        ports = free_ports(2 * len(NATIONS))
        self.places = {
            nation: Place(nation, root / nation, ports[2 * at], ports[2 * at + 1]) for at, nation in enumerate(NATIONS)
        }
        self.tokens = {nation: entropy(16).hex() for nation in NATIONS}
        self.nodes: dict[str, Node] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs = root / "logs"

    def url(self, nation: str) -> str:
        """The address of a node's pages."""
        return f"http://127.0.0.1:{self.places[nation].web_port}/?token={self.tokens[nation]}"

    def build(self) -> Iterator[Progress]:
        """Make the nodes, pair them, conclude the agreements."""
        for nation, place in self.places.items():
            settings = Settings(
                nation,
                NAMES[nation],
                port=place.port,
                web_port=place.web_port,
                strip=STRIP,
                level="OFFICIAL",
                poll_ms=200,
            )
            found_node(place, settings)
            self.nodes[nation] = Node.open(place.home)
            yield Progress(f"{nation}: keys, certificate and store made")
        pair_all(self.nodes, {nation: place.url for nation, place in self.places.items()})
        yield Progress("all paired: cards swapped, fingerprints compared")
        for name, text in agreements():
            held = conclude(self.nodes, text, name)
            yield Progress(f"{held.terms.ref.id}: signed by {' '.join(held.signed_by)} ({held.terms.title})")
        for node in self.nodes.values():
            share(node)

    def start(self) -> Iterator[Progress]:
        """Start the seven processes; returns when all answer.

        Raises:
            OurError: a node does not come up; its log is named.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        for nation, place in self.places.items():
            command = [
                sys.executable,
                "-m",
                "relto",
                "--home",
                str(place.home),
                "serve",
                "--token",
                self.tokens[nation],
            ]
            with (self._logs / f"{nation}.log").open("wb") as log:
                self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        for nation in NATIONS:
            self._await(nation)
            yield Progress(f"{nation}: answers partners on port {self.places[nation].port}")

    def _await(self, nation: str) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                address = f"http://127.0.0.1:{self.places[nation].web_port}/status?token={self.tokens[nation]}"
                if httpx.get(address, timeout=5, trust_env=False).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise OurError("did not come up.", field=nation, remedy=f"See {self._logs / f'{nation}.log'}.")

    def feed(self) -> Iterator[Progress]:
        """Ingest every nation's files, while the nodes run."""
        for feed in feeds(SystemClock().now_ms()):
            result = ingest(self.nodes[feed.nation], feed.content, feed.name, feed.defaults)
            counts = result.summary
            said = f"{feed.nation}: {feed.name}: {counts.accepted:,} of {counts.read:,} records, {result.new:,} items"
            rejected = sum(counts.rejected.values())
            yield Progress(said + (f", {rejected} rejected" if rejected else ""), self.reports())

    def settle(self) -> Iterator[Progress]:
        """Wait until everything that is due has been looked at, sent, stored and receipted.

        Raises:
            OurError: it does not come to rest; the logs are named.
        """
        deadline = time.monotonic() + _QUIET_S
        calm = 0
        while calm < 3:
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                raise OurError("the network did not come to rest.", field="demo", remedy=f"See {self._logs}.")
            reports = self.reports()
            calm = calm + 1 if all(each.quiet for each in reports) else 0
            yield Progress("", reports)
            time.sleep(0.3)

    def reports(self) -> tuple[NodeReport, ...]:
        """Every node's counts now."""
        return tuple(report(node) for node in self.nodes.values())

    def summary(self) -> DemoReport:
        """The report, counted in all stores, with every log recomputed and every pair asked of the oracle."""
        reports = {each.party: each for each in self.reports()}
        checked: Comparison = compare(self.nodes)
        return DemoReport(
            nodes={nation: self._summary(nation, reports) for nation in NATIONS},
            oracle={"pairs": checked.pairs, "differences": len(checked.differences)},
            differences=[msgspec.to_builtins(each) for each in checked.differences[:20]],
        )

    def _summary(self, nation: str, reports: dict[str, NodeReport]) -> NodeSummary:
        own = reports[nation]
        held: dict[str, dict[str, int]] = {}
        for key, number in own.held.items():
            _, kind, view = key.split("/")
            held.setdefault(kind, {}).setdefault(view, 0)
            held[kind][view] += number
        delivered = sum(each.links[nation].received for each in reports.values() if nation in each.links)
        return NodeSummary(
            url=self.url(nation),
            held=held,
            decisions=own.decisions,
            released=sum(link.released for link in own.links.values()),
            delivered=delivered,
            receipted=sum(link.receipted for link in own.links.values()),
            delayed=sum(link.delayed for link in own.links.values()),
            log_size=own.log_size,
            log_verified=_verified(self.nodes[nation]),
        )

    def stop(self) -> None:
        """Stop all processes and close the stores."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        for node in self.nodes.values():
            node.close()


def _verified(node: Node) -> bool:
    try:
        audit.check_log(node)
    except ReltoError:
        return False
    return True


def agreements() -> list[tuple[str, bytes]]:
    """The demo's agreements: (file name, text). All are illustrations."""
    found = resources.files("relto.exercise") / "agreements"
    return [(each.name, each.read_bytes()) for each in sorted(found.iterdir(), key=lambda e: e.name)]


def feeds(now_ms: int) -> Iterator[Feed]:
    """All files of the demo, with what each operator says of them; exercise traffic ends an hour before ``now_ms``."""
    start_ms = (now_ms - _HOURS * HOUR_MS - HOUR_MS) // SECOND_MS * SECOND_MS
    for feed in generate(SEED, start_ms, hours=_HOURS).feeds:
        yield Feed(feed.nation, feed.name, feed.content, _exercise(feed.nation, feed.name))
    for nation, bundle in cyber(SEED, start_ms).items():
        yield Feed(nation, "exercise-bundle.json", bundle, Defaults(level="OFFICIAL", portions=_victim(nation)))
    for nation, path, tlp in _SAMPLES:
        content = (resources.files("relto.exercise") / "data" / path).read_bytes()
        name = Path(path).name
        plain = unpack(content, name) if name.endswith(".gz") else content
        yield Feed(nation, name, plain, Defaults(level="OFFICIAL", tlp=tlp))


def _exercise(nation: str, name: str) -> Defaults:
    """How an operator labels the exercise feeds: emitter parameters of our satellites stay at home."""
    kept = ("properties.rf.pulse",) if name.startswith("rf") else ()
    subjects = ("MARITIME-SECURITY",) if nation in ("USA", "PHL") else ()
    return Defaults(level="OFFICIAL", subjects=subjects, withhold=kept)


def _victim(nation: str) -> dict[str, Handling]:
    """JPN's bundle names a victim in India: TLP:RED, for India by name."""
    if nation != "JPN":
        return {}
    victim = next(each for each in msgspec.json.decode(cyber(SEED, 0)["JPN"])["objects"] if each["type"] == "identity")
    return {f"objects[{victim['id']}]": Handling(categories=(Category(REL_TO, "permissive", ("IND",)),), tlp="RED")}


_SAMPLES: tuple[tuple[str, str, Tlp], ...] = (
    ("USA", "ais/noaa_us_pacific_2022-01-03.parquet", ""),
    ("USA", "kev/known_exploited_vulnerabilities-2025-08-25.json.gz", "CLEAR"),
    ("USA", "attack/ics-attack-18.1.json.gz", "CLEAR"),
    ("AUS", "nmea/dma_stream_2010-06-11.nmea.gz", ""),
    ("KOR", "nmea/libais_all_types.aivdm.gz", ""),
    ("AUS", "misp/eset-gelsemium.json.gz", "GREEN"),
    ("JPN", "misp/eset-invisimole.json.gz", "GREEN"),
    ("IND", "misp/eset-powerpool.json.gz", "GREEN"),
    ("IND", "stix/using-granular-markings.json", "GREEN"),
    ("IDN", "stix/sighting-of-an-indicator.json", "GREEN"),
    ("PHL", "stix/defining-campaigns-threat-actors-intrusion-sets.json", "GREEN"),
)
