"""Timing and the rows of the table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

RUNS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what Relto does, what it is held against, and the ratio of the two."""

    what: str
    ours: str
    floor: str
    ratio: str


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def typical_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median of several calls."""
    return median(seconds(work) for _ in range(runs))


def rate(count: int, taken_s: float, noun: str = "items") -> str:
    """So many a second, to three digits."""
    digits = f"{count / taken_s:.2e}"
    return f"{float(digits):,.0f} {noun}/s"


def share(ours_s: float, floor_s: float) -> str:
    """Which part of the floor's speed is left."""
    return f"{100 * floor_s / ours_s:.1f} %"


def machine() -> str:
    """What the figures were measured on."""
    found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = found[0].partition(":")[2].strip() if found else platform.machine()
    return (
        f"{os.cpu_count()} cores, {name}; {platform.system()} {platform.release()}; Python {platform.python_version()}"
    )
