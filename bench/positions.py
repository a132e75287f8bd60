"""Positions: read from AIS sentences and stored, and rendered for several views with the second check."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pyais
import pyarrow as pa

from bench.measure import RUNS, Row, rate, seconds, typical_s
from relto.clock import FixedClock, parse_utc
from relto.exercise.network import Network
from relto.feeds import files
from relto.formats.ais import write_nmea
from relto.formats.positions import POSITIONS, SCHEMAS, write
from relto.item import Duties, Item, Place, View, new_item
from relto.kinds.spec import shipped_kinds
from relto.labels import Handling, Label
from relto.node.ingest import Defaults, ingest
from relto.release.decide import Decision, ItemDecision
from relto.release.render import render

NOW_MS = parse_utc("2026-11-01T00:00:00Z")
KIND = shipped_kinds()[POSITIONS]
VIEWS: tuple[tuple[View, int], ...] = (("detail", 1000), ("summary", 10_000), ("notice", 0))


def table(rows: int) -> pa.Table:
    """Vessels under way between Luzon and Taiwan, a report of each every two minutes."""
    rng = np.random.default_rng(3)
    vessels = max(1, rows // 100)
    of = np.arange(rows) % vessels
    since_ms = np.arange(rows) // vessels * 120_000
    course = rng.uniform(0, 360, vessels)[of]
    run_e7 = (rng.uniform(0, 400, vessels)[of] * since_ms / 1000).astype(np.int64)
    lat = rng.integers(150_000_000, 230_000_000, vessels)[of] + (run_e7 * np.cos(course)).astype(np.int64)
    lon = rng.integers(1_180_000_000, 1_240_000_000, vessels)[of] + (run_e7 * np.sin(course)).astype(np.int64)
    known = {
        "mmsi": 200_000_000 + of,
        "observed_ms": NOW_MS - 86_400_000 + since_ms,
        "lat_e7": lat,
        "lon_e7": lon,
        "sog_dkn": rng.integers(0, 220, rows),
        "cog_ddeg": (course * 10).astype(np.int64) % 3600,
        "heading_deg": course.astype(np.int64) % 360,
        "nav_status": np.zeros(rows, dtype=np.int64),
    }
    schema = SCHEMAS[POSITIONS]
    columns = [
        pa.array(known[field.name]).cast(field.type)
        if field.name in known
        else pa.array(["A"] * rows)
        if field.name == "transceiver"
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def measure(rows: int) -> list[Row]:
    """AIS to the store against decoding alone; a batch to three views."""
    every = table(rows)
    sentences = write_nmea(every)
    stored_s = median(_stored(sentences) for _ in range(RUNS))
    bare = [line[line.index(b"!") :] for line in sentences.splitlines()]
    decoded_s = typical_s(lambda: _decode(bare))
    read_s = typical_s(lambda: files.read(sentences, "bench.nmea", received_ms=NOW_MS))
    item = _item(every)
    took = {view: typical_s(partial(_render, item, view, precision_m)) for view, precision_m in VIEWS}
    whole_s = sum(took.values())
    shown = ", ".join(f"{view} {rate(rows, each, 'rows')}" for view, each in took.items())
    return [
        Row("AIS sentences read and stored (floor: pyais decoding only)", rate(rows, stored_s, "sentences"),
            rate(rows, decoded_s, "sentences"), f"{decoded_s / stored_s:.1f} times"),
        Row("- read alone", rate(rows, read_s, "sentences"), "", ""),
        Row(f"A batch of {rows:,} positions rendered and checked for 3 views", rate(3 * rows, whole_s, "rows"), "", ""),
        Row(f"- {shown}", "", "", ""),
    ]  # fmt: skip


def _stored(sentences: bytes) -> float:
    with tempfile.TemporaryDirectory() as root:
        network = Network(Path(root), ("AUS",), FixedClock(NOW_MS))
        node, defaults = network.nodes["AUS"], Defaults(level="OFFICIAL")
        took_s = seconds(lambda: ingest(node, sentences, "bench.nmea", defaults))
        network.close()
    return took_s


def _decode(lines: list[bytes]) -> None:
    for line in lines:
        pyais.decode(line)


def _item(every: pa.Table) -> Item:
    return new_item(
        id="0" * 32,
        kind=POSITIONS,
        origin="AUS",
        observed_ms=NOW_MS,
        place=Place(100_000_000, 1_100_000_000, 300_000_000, 1_300_000_000),
        label=Label(Handling(), ("AUS",)),
        content=write(every),
        media_type="application/vnd.apache.parquet",
    )


def _render(item: Item, view: View, precision_m: int) -> None:
    decision = Decision(view, Duties(precision_m), (), (), (), (), (), "")
    found = render(item, ItemDecision(decision, ()), KIND)
    assert not found.decision.withheld, found.decision.reasons
