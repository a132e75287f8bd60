"""Exposure: the list of what one party had of us since a time, out of a million release records."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from bench.measure import RUNS, Row, seconds
from relto.clock import DAY_MS, FixedClock, parse_utc
from relto.exercise.network import Network
from relto.node.exposure import exposure
from relto.node.node import Node
from relto.store.schema import releases

NOW_MS = parse_utc("2026-11-01T00:00:00Z")
RECIPIENTS = 42
_STEP = 10_000


def fill(node: Node, number: int, recipients: int = RECIPIENTS) -> None:
    """Write release records: three levels, a third originator now and then, retention from a day to a year, or none."""
    random = Random(7)
    for start in range(0, number, _STEP):
        rows = list(_rows(random, start, min(start + _STEP, number), recipients))
        node.store.database.write(lambda connection, rows=rows: connection.execute(releases.insert(), rows))  # type: ignore[misc]


def _rows(random: Random, start: int, end: int, recipients: int) -> Iterator[dict[str, Any]]:
    for at in range(start, end):
        released_ms = NOW_MS - random.randrange(365) * DAY_MS
        kept_ms = random.choice((None, DAY_MS, 30 * DAY_MS, 365 * DAY_MS))
        yield {
            "recipient": f"Q{at % recipients:02}",
            "n": at // recipients + 1,
            "item": at + 1,
            "leaf": at,
            "id": random.randbytes(16),
            "version": 1,
            "view": random.choice(("full", "detail", "summary")),
            "released_ms": released_ms,
            "expires_ms": None if kept_ms is None else released_ms + kept_ms,
            "level": random.choice(("JPN:HI", "JPN:OFFICIAL", "JPN:OPEN")),
            "originators": random.choice(("JPN", "JPN", "JPN", "JPN USA")),
        }


def measure(number: int) -> list[Row]:
    """The list of one of 42 recipients."""
    with tempfile.TemporaryDirectory() as directory:
        network = Network(Path(directory), ("JPN",), FixedClock(NOW_MS))
        node = network.nodes["JPN"]
        fill(node, number)
        taken_s = median(seconds(lambda: exposure(node, "Q00", NOW_MS - 2 * DAY_MS)) for _ in range(RUNS))
        found = len(exposure(node, "Q00", NOW_MS - 2 * DAY_MS).releases)
        network.close()
    return [Row(f"exposure of one party: {found:,} of {number:,} release records", f"{taken_s:.2f} s", "", "")]
