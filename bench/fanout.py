"""Many items to many recipients: in bounded memory, and complete at the sender means complete at each recipient.

``python -m bench.fanout --items 120000 --recipients 42``. One sender releases to all; the recipients take their streams
one after the other, each over mutual TLS into a store of its own, and are compared with the sender's books: count,
number of the last release, and chain value, which is the root over all that went. Each is removed before the next.
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import tempfile
import threading
import time
from pathlib import Path
from random import Random

import structlog

from bench.items import DEFAULTS, NOW_MS, draft
from relto.clock import FixedClock
from relto.exercise.network import Network, conclude
from relto.node.ingest import store_drafts
from relto.node.run import share
from relto.store.records import Selection

SENDER = "AUS"
_STEP = 5000


def main() -> None:
    """Run, print what was compared and the most memory that was ever held."""
    parser = argparse.ArgumentParser(prog="bench.fanout")
    parser.add_argument("--items", type=int, default=120_000)
    parser.add_argument("--recipients", type=int, default=42)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    names = [f"R-{at:02}" for at in range(options.recipients)]
    with tempfile.TemporaryDirectory() as directory:
        run(Path(directory), names, options.items)


def run(root: Path, names: list[str], items: int) -> None:
    """Release everything to everybody, and compare each recipient with the sender."""
    start = time.perf_counter()
    network = Network(root, (SENDER, *names), FixedClock(NOW_MS))
    for name in names:
        conclude({party: network.nodes[party] for party in (SENDER, name)}, _agreement(name), name)
    network.serve()
    sender = network.nodes[SENDER]
    share(sender)
    _told(start, f"{len(names)} partners paired")
    rng = Random(7)
    for at in range(0, items, _STEP):
        store_drafts(sender, [draft(rng, number) for number in range(at, min(at + _STEP, items))], DEFAULTS)
    _told(start, f"{items:,} items stored")
    for name in names:
        _told(start, f"{name}: {_take(network, name, items)}")
    network.close()


def _take(network: Network, name: str, items: int) -> str:
    """Bring one recipient up to date while the sender makes its pages, and compare the two."""
    sender, recipient = network.nodes[SENDER], network.nodes[name]
    done = threading.Event()

    def releasing() -> None:
        while not done.is_set():
            if not share(sender):
                done.wait(0.01)

    worker = threading.Thread(target=releasing)
    worker.start()
    try:
        while True:
            with recipient.store.read() as books:
                if books.inbound(SENDER).next_n > items:
                    break
            network.pull(name, SENDER)
    finally:
        done.set()
        worker.join()
    with sender.store.read() as books:
        stream = books.stream(name)
    with recipient.store.read() as books:
        inbound = books.inbound(SENDER)
        held = books.count(Selection(), recipient.reading())
    assert stream is not None
    same = (stream.next_n, stream.receipted_n, stream.chain) == (inbound.next_n, inbound.next_n - 1, inbound.chain)
    recipient.store.close()
    shutil.rmtree(network.places[name].home)
    if not same or held != items:
        raise SystemExit(f"{name} holds {held:,} of {items:,}; sender {stream}, recipient {inbound}")
    return f"{held:,} held = {stream.receipted_n:,} receipted, root {stream.chain[:16]}"


def _agreement(name: str) -> bytes:
    return f"""
format = "relto-agreement/1"
id = "TO-{name}"
version = 1
title = "Fan-out"
illustration = true
term = {{ from = 2026-01-01T00:00:00Z }}
party = [{{ id = "{SENDER}", name = "A", tier = "T3" }}, {{ id = "{name}", name = "R", tier = "T3" }}]
level = [{{ name = "OFFICIAL", {SENDER} = ["OFFICIAL"], "{name}" = ["OFFICIAL"] }}]
[[grant]]
id = "all"
text = "Everything of the cyber domain goes as it is held."
from = ["{SENDER}"]
to = ["{name}"]
domains = ["cyber"]
ceiling = "OFFICIAL"
view = "full"
""".encode()


def _told(start: float, text: str) -> None:
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - start:8.1f} s  {peak_mib:6.0f} MiB  {text}", flush=True)


if __name__ == "__main__":
    main()
