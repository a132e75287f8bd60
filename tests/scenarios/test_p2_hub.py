"""Acceptance scenario P2 through real nodes, mutual TLS between them, the clock injected: outcomes 1 to 5.

In the story A2 is *suspended* before K3 and K4. Suspension by a signed statement is not built yet, so here A2's term
ends at that moment: A2 is in force no more, which is what outcome 3 turns on. The code that KOR's node gives for K4 is
therefore that of A3, which names both parties and does not cover its subject, and not AGREEMENT_SUSPENDED.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from relto.clock import FixedClock, parse_utc
from relto.exchange.books import Stored
from relto.exchange.page import sha256
from relto.exchange.provenance import continues, read_hops
from relto.exercise.network import Network
from relto.item import Header, parse_item
from relto.labels import Marking
from relto.node import audit, read
from relto.node.ingest import Defaults, ingest
from tests.conftest import TEXTS

PARTIES = ("KOR", "JPN", "USA", "AUS")
AGREEMENTS = ("p2-a2.toml", "p2-a3.toml", "p2-jpn-aus.toml")
BOTH_IN_FORCE, A2_OVER = "2026-11-20T03:05:00Z", "2026-11-22T00:00:00Z"
III_KUP, CONFIDENTIAL = Marking("KOR", "III-KUP", "III-KUP"), Marking("USA", "CONFIDENTIAL", "CONFIDENTIAL")
TRACKS = {
    "K1": (BOTH_IN_FORCE, "III-KUP", "DPRK-MISSILE"),
    "K2": (BOTH_IN_FORCE, "III-KUP", "DPRK-COAST-GUARD"),
    "K3": (A2_OVER, "III-KUP", "DPRK-MISSILE"),
    "K4": (A2_OVER, "III-KUP", "DPRK-COAST-GUARD"),
    "K5": (A2_OVER, "II-KUP", "DPRK-MISSILE"),
}


def track(name: str) -> bytes:
    at, _, subject = TRACKS[name]
    return json.dumps(
        {
            "type": "Feature",
            "id": name,
            "geometry": {"type": "Point", "coordinates": [129.5 + int(name[1]), 39.1]},
            "properties": {
                "track": name,
                "class": "ballistic-missile",
                "phase": "midcourse",
                "observed": at.replace("05:00Z", "04:00Z"),
                "subjects": [subject],
                "speed_mps": 2100,
            },
        }
    ).encode()


def publish(network: Network, name: str) -> None:
    at, level, _ = TRACKS[name]
    clock = network.clock
    assert isinstance(clock, FixedClock)
    clock.set(parse_utc(at))
    result = ingest(network.nodes["KOR"], track(name), f"{name}.geojson", Defaults(level=level))
    assert (result.items, result.new) == (1, 1)
    network.settle()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """KOR has published K1 and K2 under A2 and A3, then K3 to K5 under A3 alone."""
    made = Network(tmp_path_factory.mktemp("p2"), PARTIES, FixedClock(parse_utc(BOTH_IN_FORCE)))
    made.conclude((name, (TEXTS / name).read_bytes()) for name in AGREEMENTS)
    made.serve()
    made.settle()
    for name in TRACKS:
        publish(made, name)
    yield made
    made.close()


def held(network: Network, party: str, name: str) -> dict[str, tuple[Header, Stored]]:
    """What a party holds of a track, by who released it."""
    with network.nodes[party].store.read() as books:
        found = books.after(0, 100)
    parsed = [(parse_item(each.header, each.content), each) for each in found]
    return {each.by: (item.header, each) for item, each in parsed if json.loads(item.content)["id"] == name}


def item_id(network: Network, name: str) -> str:
    return held(network, "KOR", name)[""][0].id


def verdict(network: Network, by: str, name: str, to: str) -> tuple[str, tuple[str, ...]]:
    decision = read.why(network.nodes[by], item_id(network, name), to).decision
    return decision.verdict, decision.reasons


@pytest.mark.parametrize("name", ["K1", "K2"])
def test_1_jpn_has_both_in_full_under_a2_as_hi_with_the_original_kept(network: Network, name: str) -> None:
    header, stored = held(network, "JPN", name)["KOR"]
    assert (stored.view, stored.content) == ("full", track(name))
    assert header.release is not None
    assert [ref.id for ref in header.release.agreements] == ["A2"]
    assert header.label.handling.markings == (III_KUP,)
    assert read.handled_as(network.nodes["JPN"], header) == "HI"


def test_2_usa_has_k1_in_full_under_a3_and_k2_is_withheld(network: Network) -> None:
    header, stored = held(network, "USA", "K1")["KOR"]
    assert (stored.view, stored.content) == ("full", track("K1"))
    assert header.release is not None
    assert [ref.id for ref in header.release.agreements] == ["A3"]
    assert held(network, "USA", "K2") == {}
    assert verdict(network, "KOR", "K2", "USA") == ("WITHHELD", ("SUBJECT_NOT_COVERED",))


def test_3_k3_reaches_jpn_by_the_hub_alone_with_the_whole_chain_of_labels(network: Network) -> None:
    assert list(held(network, "USA", "K3")) == ["KOR"]
    ((by, (header, stored)),) = held(network, "JPN", "K3").items()
    assert (by, stored.view, stored.content) == ("USA", "full", track("K3"))
    assert header.release is not None
    assert [ref.id for ref in header.release.agreements] == ["A3"]
    assert header.label.handling.markings == (III_KUP, CONFIDENTIAL)
    assert read.handled_as(network.nodes["JPN"], header) == "HI"


def test_3_both_hops_are_in_the_provenance_and_kors_signature_verifies_at_jpn(network: Network) -> None:
    jpn = network.nodes["JPN"]
    header, stored = held(network, "JPN", "K3")["USA"]
    (passage,) = read.provenance(jpn, stored)
    assert (passage.by, passage.to, passage.known, passage.markings) == ("KOR", "USA", True, (III_KUP,))
    (hop,) = read_hops(stored.hops)
    at_usa, there = held(network, "USA", "K3")["KOR"]
    assert hop.header == there.header
    assert continues(at_usa, header)
    proven = audit.verify(audit.prove(jpn, header.id))
    assert [(each.by, each.to) for each in proven.hops] == [("KOR", "USA")]
    assert (proven.by, proven.to) == ("USA", "JPN")
    assert proven.header.sha256 == sha256(track("K3"))


def test_3_k4_is_withheld_from_jpn_and_never_reaches_usa(network: Network) -> None:
    assert verdict(network, "KOR", "K4", "JPN")[0] == "WITHHELD"
    assert [list(held(network, party, "K4")) for party in ("JPN", "USA", "AUS")] == [[], [], []]


def test_3_kor_itself_may_not_release_to_jpn_by_the_hubs_clause(network: Network) -> None:
    assert verdict(network, "KOR", "K3", "JPN") == ("WITHHELD", ("HOLDER_NOT_COVERED",))


def test_4_k1_goes_from_jpn_to_aus_by_no_agreement(network: Network) -> None:
    assert verdict(network, "JPN", "K1", "AUS") == ("WITHHELD", ("ONWARD_NONE",))
    assert held(network, "AUS", "K1") == {}


def test_5_a_level_without_an_equal_is_withheld_and_never_mapped_down(network: Network) -> None:
    assert verdict(network, "KOR", "K5", "USA") == ("WITHHELD", ("LEVEL_UNMAPPED",))
    assert held(network, "USA", "K5") == {}
    assert held(network, "JPN", "K5") == {}
