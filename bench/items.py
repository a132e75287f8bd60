"""Small items: stored, and carried from node to node; each against a floor that only moves the same bytes."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.measure import RUNS, Row, rate, seconds, share
from relto.bounds import BOUNDS
from relto.clock import FixedClock, parse_utc
from relto.exchange.books import Inbound
from relto.exchange.receive import accept, acknowledge
from relto.exchange.steps import Pages
from relto.exercise.network import Network
from relto.formats.draft import Draft
from relto.formats.kev import KIND, MEDIA_TYPE
from relto.labels import Handling
from relto.node.ingest import Defaults, store_drafts
from relto.node.node import Node
from relto.node.run import Runner
from relto.node.run import share as share_round
from relto.peers.asking import PATHS, Partner
from relto.peers.https import PeerClient
from relto.peers.tls import client_context

NOW_MS = parse_utc("2026-11-01T00:00:00Z")
PAGE = 500
DEFAULTS = Defaults(level="OFFICIAL")
AGREEMENT = b"""
format = "relto-agreement/1"
id = "BENCH"
version = 1
title = "Benchmark"
illustration = true
term = { from = 2026-01-01T00:00:00Z }
party = [{ id = "AUS", name = "A", tier = "T3" }, { id = "JPN", name = "J", tier = "T3" }]
level = [{ name = "OFFICIAL", AUS = ["OFFICIAL"], JPN = ["OFFICIAL"] }]
[[grant]]
id = "all"
text = "Everything of the cyber domain goes as it is held."
from = ["AUS"]
to = ["JPN"]
domains = ["cyber"]
ceiling = "OFFICIAL"
view = "full"
"""
Rows = Sequence[tuple[bytes, bytes]]


def drafts(count: int) -> list[Draft]:
    """Distinct entries of 500 to 1000 bytes, like those of the KEV catalog."""
    rng = Random(7)
    return [draft(rng, number) for number in range(count)]


def draft(rng: Random, number: int) -> Draft:
    cve = f"CVE-2026-{number:06d}"
    entry = {
        "cveID": cve,
        "vendorProject": f"Vendor {rng.randrange(900)}",
        "product": f"Product {rng.randrange(9000)}",
        "vulnerabilityName": f"Invented vulnerability {number}",
        "dateAdded": "2026-10-01",
        "shortDescription": "x" * rng.randrange(150, 500),
        "requiredAction": "Apply mitigations per vendor instructions.",
        "dueDate": "2026-10-22",
        "knownRansomwareCampaignUse": "Unknown",
        "notes": f"https://vendor.example/advisories/{number}",
        "cwes": ["CWE-79"],
    }
    content = json.dumps(entry).encode()
    when_ms = parse_utc("2026-10-01T00:00:00Z")
    clear = Handling(tlp="CLEAR")
    return Draft(
        kind=KIND, media_type=MEDIA_TYPE, content=content, observed_ms=when_ms, until_ms=when_ms,
        handling=clear, title=cve, external_id=cve,
    )  # fmt: skip


@contextmanager
def two_nodes() -> Iterator[Network]:
    """AUS and JPN under one agreement, their servers open."""
    with tempfile.TemporaryDirectory() as root:
        network = Network(Path(root), ("AUS", "JPN"), FixedClock(NOW_MS))
        network.conclude([("bench.toml", AGREEMENT)])
        network.serve()
        network.settle()
        try:
            yield network
        finally:
            network.close()


def measure(count: int) -> list[Row]:
    """Ingest, and the exchange by its stages; everything in new stores each time."""
    every = drafts(count)
    runs = [_once(every) for _ in range(RUNS)]
    took = {stage: median(run[stage] for run in runs) for stage in runs[0]}
    whole_s = took["share"] + took["transfer"] + took["accept"] + took["receipt"]
    return [
        Row("Ingest, durable, everything on (floor: bare SQLite)", rate(count, took["ingest"]),
            rate(count, took["ingest floor"]), share(took["ingest"], took["ingest floor"])),
        Row("Exchange node to node, whole (floor: the same bytes, TLS and SQLite only)", rate(count, whole_s),
            rate(count, took["exchange floor"]), share(whole_s, took["exchange floor"])),
        Row("- decide, render, sign, log, seal", rate(count, took["share"]), "", ""),
        Row("- transfer over mutual TLS", rate(count, took["transfer"]), "", ""),
        Row("- open, verify, store", rate(count, took["accept"]), "", ""),
        Row("- receipts, signed and taken", rate(count, took["receipt"]), "", ""),
    ]  # fmt: skip


def _once(every: Sequence[Draft]) -> dict[str, float]:
    took: dict[str, float] = {}
    with two_nodes() as network:
        sender = network.nodes["AUS"]
        took["ingest"] = seconds(lambda: store_drafts(sender, every, DEFAULTS))
        with sender.store.read() as books:
            rows = [(each.header, each.content) for each in books.after(0, len(every))]
        assert len(rows) == len(every)
        took |= exchange(network, len(every))
    with tempfile.TemporaryDirectory() as root:
        took["ingest floor"] = seconds(lambda: _insert(Path(root) / "floor.db", rows))
    took["exchange floor"] = _floor(rows)
    return took


def exchange(network: Network, count: int) -> dict[str, float]:
    """Bring everything that AUS holds to JPN; the seconds that each stage took. A full window waits for receipts."""
    took = {"share": 0.0, "transfer": 0.0, "accept": 0.0, "receipt": 0.0}
    arrived = 0
    with network.client("JPN", "AUS") as client:
        while arrived < count:
            took["share"] += seconds(lambda: _share(network))
            arrived = _pull(network.nodes["JPN"], client, arrived, took)
    return took


def _share(network: Network) -> None:
    while share_round(network.nodes["AUS"]):
        pass


def _pull(node: Node, client: PeerClient, arrived: int, took: dict[str, float]) -> int:
    """Take every page that is made; returns the number of the last release that has arrived."""
    while True:
        page: list[bytes] = []
        moved: list[Inbound] = []
        took["transfer"] += seconds(
            lambda: page.append(client.get(PATHS[Pages], {"after": arrived}, limit_bytes=BOUNDS.page_bytes))  # noqa: B023
        )
        if not page[0]:
            return arrived
        took["accept"] += seconds(lambda: moved.append(node.run(accept(node.core, "AUS", page[0]))[1]))  # noqa: B023
        took["receipt"] += seconds(lambda: node.run(acknowledge(node.core, moved[0]), Partner(client)))  # noqa: B023
        arrived = moved[0].next_n - 1


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("page_size=16384", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS item (seq INTEGER PRIMARY KEY, id BLOB UNIQUE, header BLOB, content BLOB)"
    )
    return connection


def _insert(path: Path, rows: Rows) -> None:
    """The floor of a store: rows with a key of 16 bytes, 500 to a transaction, durable."""
    with closing(_open(path)) as connection:
        for start in range(0, len(rows), PAGE):
            _page_in(connection, start, rows[start : start + PAGE])


def _page_in(connection: sqlite3.Connection, start: int, rows: Rows) -> None:
    connection.execute("BEGIN IMMEDIATE")
    found = [(Random(start + at).randbytes(16), *row) for at, row in enumerate(rows)]
    connection.executemany("INSERT INTO item (id, header, content) VALUES (?, ?, ?)", found)
    connection.execute("COMMIT")


def _floor(rows: Rows) -> float:
    """Pages of 500 read from SQLite, over the same server and client, inserted into SQLite."""
    with two_nodes() as network, tempfile.TemporaryDirectory() as root:
        _insert(Path(root) / "from.db", rows)
        with closing(_open(Path(root) / "from.db")) as source, closing(_open(Path(root) / "to.db")) as target:
            runner = Runner(network.nodes["AUS"], lambda *_: _serving(source))
            runner.node.settings = msgspec.structs.replace(runner.node.settings, port=0)
            runner.serve_exchange()
            reader = network.nodes["JPN"]
            context = client_context(reader.keyring.tls_files(), "AUS", reader.partner("AUS").tls_ca_der())
            with PeerClient("AUS", f"https://127.0.0.1:{runner.port}", context, 30) as client:
                took_s = seconds(lambda: _carry(client, target, len(rows)))
            for server in runner._servers:
                server.should_exit = True
    return took_s


def _serving(source: sqlite3.Connection) -> Starlette:
    def page(after: int) -> bytes:
        query = "SELECT header, content FROM item WHERE seq > ? ORDER BY seq LIMIT ?"
        return msgspec.msgpack.encode(source.execute(query, (after, PAGE)).fetchall())

    async def answer(request: Request) -> Response:
        return Response(await run_in_threadpool(page, int(request.query_params["after"])))

    return Starlette(routes=[Route("/floor/v1/pages", answer)])


def _carry(client: Any, target: sqlite3.Connection, count: int) -> None:
    for start in range(0, count, PAGE):
        page = client.get("/floor/v1/pages", {"after": start}, limit_bytes=BOUNDS.page_bytes)
        _page_in(target, start, msgspec.msgpack.decode(page, type=list[tuple[bytes, bytes]]))
