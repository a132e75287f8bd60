"""Measure everything, print the table and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from bench import decisions, items, positions, taxii, withdrawal
from bench.measure import RUNS, Row, machine

TARGET = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main() -> None:
    """Run as ``python -m bench [--quick]``; a quick run writes no file."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, and no file")
    part = 10 if parser.parse_args().quick else 1
    start = time.perf_counter()
    rows = items.measure(20_000 // part)
    rows += taxii.measure(10_000 // part)
    rows += decisions.measure(1_000_000 // part, 2000 // part)
    rows += positions.measure(100_000 // part)
    rows += withdrawal.measure(200 // part, 20_000 // part)
    text = page(rows)
    print(text)
    print(f"{time.perf_counter() - start:.0f} s")
    if part == 1:
        TARGET.write_text(text, encoding="utf-8")


def page(rows: list[Row]) -> str:
    """The table with what is needed to read it."""
    lines = [f"| {row.what} | {row.ours} | {row.floor} | {row.ratio} |" for row in rows]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"Written by `make bench` (`python -m bench`). Each figure is the median of {RUNS}, measured side by side "
            "in one run with new stores each time. The ratio counts: the speed of the machine cancels out of it.",
            "",
            f"Machine: {machine()}.",
            "",
            "| what | Relto | floor | ratio |",
            "|---|---|---|---|",
            *lines,
            "",
            "The floors: *bare SQLite* inserts the same rows under keys of 16 bytes, WAL, synchronous FULL, pages of "
            "16 KB, 500 to a transaction. *TLS and SQLite only* reads pages of 500 from SQLite, carries them through "
            "the same server and client, and inserts them; it decides, signs, logs, seals and verifies nothing. "
            "*OpenTAXII* is a peer in an environment and a process of its own (gunicorn, four threads, SQLite, a "
            "token, no TLS); its pages are as long as ours, and its client keeps nothing of them.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
