"""What fits through 9.6 kbit/s: ``python -m bench.thin``.

Two real nodes over mutual TLS; every byte that passes between them is counted, both ways, and told as time at 1,200
bytes in a second. The node asks, the page comes, the receipt goes: one after the other, so both ways add up.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from relto.clock import FixedClock, parse_utc
from relto.exchange.link import WIDE, Link, set_link, thin
from relto.exercise.network import Network
from relto.node.ingest import Defaults, ingest
from relto.node.run import Known, pull, refresh, share
from relto.peers.https import PeerClient
from relto.peers.tls import client_context
from tests.faults.proxy import BYTES_S_9600, FaultProxy
from tests.node.conftest import START, agreement, detection

PARTIES = ("USA", "JPN")
HOUR_S = 3600


def measure() -> dict[str, dict[str, float]]:
    """The rows: link and number of detections at once -> bytes of an item, items an hour."""
    found = {}
    for name, link in (("wide", WIDE), ("thin", thin())):
        for at_once in (1, 10, 100):
            with tempfile.TemporaryDirectory() as root:
                found[f"{name}, {at_once} at once"] = _row(Path(root), link, at_once)
    return found


def _row(root: Path, link: Link, at_once: int) -> dict[str, float]:
    network = Network(root, PARTIES, FixedClock(parse_utc(START)))
    try:
        network.conclude([("ALL.toml", agreement("ALL", PARTIES))])
        network.serve()
        network.settle()
        for party, peer in (PARTIES, PARTIES[::-1]):
            network.nodes[party].store.write(lambda books, peer=peer: set_link(books, peer, link, 0))
        rounds = max(3, 20 // at_once)
        size_bytes = sum(_round(network, each * at_once, at_once) for each in range(rounds))
        items = rounds * at_once
    finally:
        network.close()
    return {"bytes_per_item": size_bytes / items, "items_per_hour": HOUR_S * BYTES_S_9600 * items / size_bytes}


def _round(network: Network, first: int, count: int) -> int:
    """Have so many new detections reach the other side; returns the bytes of that, both ways."""
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    features = [json.loads(detection(first + at)) for at in range(count)]
    ingest(usa, json.dumps({"type": "FeatureCollection", "features": features}).encode(), "d", Defaults("OFFICIAL"))
    context = client_context(jpn.keyring.tls_files(), "USA", jpn.partner("USA").tls_ca_der())
    with FaultProxy(network.places["USA"].port) as proxy, closing(PeerClient("USA", proxy.url, context, 30)) as near:
        refresh(jpn, near, Known())  # the connection is open, as it stays
        before, arrived = proxy.up.passed_bytes + proxy.down.passed_bytes, 0
        while arrived < count:
            share(usa)
            arrived += pull(jpn, near)
        return proxy.up.passed_bytes + proxy.down.passed_bytes - before


if __name__ == "__main__":
    rows = measure()
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=2))
    else:
        for name, row in rows.items():
            print(f"{name:18} {row['bytes_per_item']:10,.0f} bytes an item {row['items_per_hour']:8,.0f} items an hour")
