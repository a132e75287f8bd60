"""Acceptance scenario P1 through real nodes, mutual TLS between them, the clock injected: outcomes 1, 2 and 4."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from relto.clock import FixedClock, parse_utc
from relto.exchange.answer import answer
from relto.exchange.books import Stored
from relto.exchange.steps import Pages
from relto.exercise.network import Network
from relto.item import Header, parse_item
from relto.node import read
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.peers.asking import PATHS
from relto.release.grid import snap
from relto.store.records import Reading, Selection

LAT, LON = 12.34567, 120.45678
FEATURE = {
    "type": "Feature",
    "id": "rf-m1",
    "bbox": [120.45678, 12.34567, 120.45678, 12.34567],
    "geometry": {"type": "Point", "coordinates": [LON, LAT]},
    "properties": {
        "sensor": "rf",
        "observed": "2026-10-20T03:00:00Z",
        "ellipse": {"semi_major_m": 2500, "semi_minor_m": 900, "orientation_deg": 35, "confidence_pct": 95},
        "confidence": 0.82,
        "rf": {"band": "X", "frequency_mhz": 9410.2, "pulse": {"prf_hz": 1980, "width_us": 0.25}},
        "provider": "commercial",
        "licence": "gov-partners-only",
        "remarks": "unlit contact seen at 12.34567 120.45678 (12-20.74N 120-27.41E)",
    },
}
PARTIES = ("USA", "PHL", "IDN", "JPN")


@pytest.fixture
def network(make_network: Any) -> Network:
    """USA has published M1 at 03:05."""
    network: Network = make_network(PARTIES, ("p1-a1.toml",), "2026-10-20T03:05:00Z")
    defaults = Defaults(level="OFFICIAL", withhold=("properties.rf.pulse",))
    result = ingest(network.nodes["USA"], json.dumps(FEATURE).encode(), "m1.geojson", defaults)
    assert (result.items, result.new) == (1, 1)
    network.settle()
    return network


def held(network: Network, party: str) -> list[Stored]:
    with network.nodes[party].store.read() as books:
        return books.after(0, 100)


def reasons(network: Network, recipient: str) -> set[str]:
    with network.nodes["USA"].store.read() as books:
        return {reason for to, _, reason, _ in books.tallied() if to == recipient}


def page_for(node: Node, to: str, after_n: int) -> bytes:
    return node.run(answer(node.core, to, Pages(after_n)))


def told(stored: Stored) -> tuple[Header, dict[str, Any]]:
    item = parse_item(stored.header, stored.content)
    return item.header, json.loads(stored.content)


def spellings() -> list[bytes]:
    """Every spelling of the exact position that the wire could use."""
    found = ["12.34567", "120.45678", "123456700", "1204567800", "20.7402", "27.4068", "12-20.74", "120-27.41"]
    ints = [(123456700).to_bytes(4, order, signed=True) for order in ("big", "little")]
    ints += [(1204567800).to_bytes(4, order, signed=True) for order in ("big", "little")]
    return [text.encode() for text in found] + ints


def test_phl_gets_a_kilometre_at_once_without_the_pulse(network: Network) -> None:
    (stored,) = held(network, "PHL")
    header, content = told(stored)
    lon, lat = content["geometry"]["coordinates"]
    assert (round(lat * 1e7), round(lon * 1e7)) == snap(123456700, 1204567800, 1000)
    assert "pulse" not in content["properties"]["rf"] and "bbox" not in content
    assert header.release is not None and header.release.duties.precision_m == 1000
    assert header.release.duties.onward.rule == "consent"
    assert reasons(network, "PHL") == {"PRECISION_1000", "FIELD_REMOVED"}


def test_idn_gets_ten_kilometres_and_not_before_nine(network: Network) -> None:
    clock = network.clock
    assert isinstance(clock, FixedClock)
    assert held(network, "IDN") == []
    clock.set(parse_utc("2026-10-20T08:59:59.999Z"))
    network.settle()
    assert held(network, "IDN") == []
    clock.set(parse_utc("2026-10-20T09:00:00Z"))
    network.settle()
    (stored,) = held(network, "IDN")
    header, content = told(stored)
    lon, lat = content["geometry"]["coordinates"]
    assert (round(lat * 1e7), round(lon * 1e7)) == snap(123456700, 1204567800, 10_000)
    assert content["properties"]["observed"] == "2026-10-20T03:00:00Z"
    assert header.release is not None and header.release.time_ms == parse_utc("2026-10-20T09:00:00Z")
    assert reasons(network, "IDN") == {"PRECISION_10000", "DELAY_21600", "FIELD_REMOVED"}


def test_phl_may_pass_it_neither_to_vnm_nor_to_idn(network: Network) -> None:
    phl = network.nodes["PHL"]
    (stored,) = held(network, "PHL")
    item_id = parse_item(stored.header, stored.content).header.id
    assert read.why(phl, item_id, "VNM").decision.reasons == ("NO_AGREEMENT",)
    assert read.why(phl, item_id, "IDN").decision.reasons == ("ONWARD_CONSENT_MISSING",)
    network.settle()
    assert page_for(phl, "IDN", 0) == b"" and page_for(phl, "VNM", 0) == b""
    log = read.log_records(phl, limit=10)
    assert [(each.to, each.verdict, each.reasons) for each in log] == [
        ("VNM", "WITHHELD", ("NO_AGREEMENT",)),
        ("IDN", "WITHHELD", ("ONWARD_CONSENT_MISSING",)),
    ]


def test_usa_log_has_a_leaf_for_each_release(network: Network) -> None:
    clock = network.clock
    assert isinstance(clock, FixedClock)
    clock.set(parse_utc("2026-10-20T09:00:00Z"))
    network.settle()
    log = read.log_records(network.nodes["USA"], limit=10)
    assert sorted((each.to, each.verdict, each.n) for each in log) == [
        ("IDN", "SANITISED", 1),
        ("JPN", "SANITISED", 1),
        ("PHL", "SANITISED", 1),
    ]


@pytest.mark.parametrize("party", ["PHL", "IDN", "JPN"])
def test_the_exact_position_is_in_no_byte_sent(network: Network, party: str) -> None:
    clock = network.clock
    assert isinstance(clock, FixedClock)
    clock.set(parse_utc("2026-10-20T09:00:00Z"))
    network.settle()
    with network.client(party, "USA") as client:
        page = client.get(PATHS[Pages], {"after": 0})
    (stored,) = held(network, party)
    database = (network.places[party].home / "relto.db").read_bytes()
    database += (network.places[party].home / "relto.db-wal").read_bytes()
    for spelling in spellings():
        assert spelling not in stored.header + stored.content + page, spelling
        if not spelling.isascii() or len(spelling) < 6:
            continue
        assert spelling not in database, spelling
    assert not re.search(rb"12\.345|120\.456|prf_hz", stored.header + stored.content)


def test_a_local_reader_sees_what_may_be_read(network: Network) -> None:
    with network.nodes["PHL"].store.read() as books:
        assert books.count(Selection(), Reading(network.clock.now_ms())) == 1
