"""What the tests of a node share: agreements as text, records, and the rows of a store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select

from relto.exercise.network import Network
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.store.books import SqlBooks
from relto.store.schema import arrivals, inbounds, items

START = "2026-11-02T06:00:00Z"


def agreement(name: str, parties: Iterable[str], **terms: str) -> bytes:
    """An agreement by which each party gives the others its maritime detections; ``terms`` go into the grant."""
    named = list(parties)
    lines = ['format = "relto-agreement/1"', f'id = "{name}"', "version = 1", 'title = "Detections (test)"']
    lines += ["illustration = true", 'note = "Invented for a test."', "[term]", "from = 2026-01-01T00:00:00Z"]
    lines += ["until = 2028-01-01T00:00:00Z", "notice_days = 30"]
    for party in named:
        lines += ["[[party]]", f'id = "{party}"', f'name = "{party}"', 'tier = "T3"']
    lines += ["[[level]]", 'name = "OFFICIAL"', *(f'{party} = ["OFFICIAL"]' for party in named)]
    grant = {"ceiling": '"OFFICIAL"', "view": '"full"', "tlp_ceiling": '"AMBER"', "onward": '"none"'} | terms
    lines += ["[[grant]]", 'id = "all"', 'text = "Each receives the others\' detections."']
    lines += [f"from = {json.dumps(named)}", f"to = {json.dumps(named)}", 'domains = ["maritime"]']
    lines += [f"{key} = {value}" for key, value in grant.items()]
    return ("\n".join(lines) + "\n").encode()


def detection(number: int) -> bytes:
    ellipse = {"semi_major_m": 2500, "semi_minor_m": 900, "orientation_deg": 35, "confidence_pct": 95}
    properties = {"sensor": "rf", "observed": "2026-11-02T05:00:00Z", "confidence": 0.5, "ellipse": ellipse}
    properties["remarks"] = f"contact {number}"
    point = {"type": "Point", "coordinates": [120 + number % 50_000 / 1000, 12.5]}
    return json.dumps({"type": "Feature", "id": f"rf-{number}", "geometry": point, "properties": properties}).encode()


def publish(node: Node, *numbers: int, **defaults: Any) -> None:
    for number in numbers:
        found = ingest(node, detection(number), f"{number}.geojson", Defaults(level="OFFICIAL", **defaults))
        assert found.items == 1, found


def state(network: Network, party: str, peer: str) -> tuple[Any, ...]:
    """What a refused page must leave alone: how many items and proofs are held, and the row of the peer's stream."""
    with network.nodes[party].store.database.read() as connection:
        counts = [connection.execute(select(func.count()).select_from(each)).scalar() for each in (items, arrivals)]
        row = connection.execute(select(inbounds).where(inbounds.c.peer == peer)).first()
        return (*counts, tuple(row) if row else None, SqlBooks(connection).inbound(peer))
