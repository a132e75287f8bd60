"""Acceptance scenario P5 through real nodes, mutual TLS between them, the clock injected: outcomes 1 and 2."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import stix2
from stix2validator import ValidationOptions, validate_string

from relto.clock import FixedClock, parse_utc
from relto.envelope.seal import Sealed, unseal
from relto.exercise.network import Network
from relto.exercise.scenario import cyber
from relto.item import Header, parse_item
from relto.labels import REL_TO, Category, Handling
from relto.log.leaf import LeafRecord
from relto.node import answer, audit, read
from relto.node.ingest import Defaults, ingest
from relto.node.receive import PAGES
from relto.release.classes import classify, classify_portions
from relto.release.stix_graph import HELD_BACK
from relto.store import records
from relto.store.records import Stored

SEED = 7
AT = "2026-11-02T06:00:00Z"
PARTIES = ("AUS", "IND", "JPN", "USA", "AUS-CTR")
TEXTS = Path(__file__).parents[1] / "agreements" / "texts"
BUNDLE = cyber(SEED, parse_utc(AT))["JPN"]
OBJECTS = {each["id"]: each for each in json.loads(BUNDLE)["objects"]}
VICTIM = next(each for each in OBJECTS.values() if each["type"] == "identity")
ONLY_IND = Handling(categories=(Category(REL_TO, "permissive", ("IND",)),), tlp="RED")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """JPN has published B1, and everybody has what everybody shares; then AUS publishes its own GREEN bundle."""
    made = Network(tmp_path_factory.mktemp("p5"), PARTIES, FixedClock(parse_utc(AT)))
    made.conclude((name, (TEXTS / name).read_bytes()) for name in ("p5-a6.toml", "p5-contractor.toml"))
    made.serve()
    made.settle()
    defaults = Defaults(level="OFFICIAL", portions={f"objects[{VICTIM['id']}]": ONLY_IND})
    result = ingest(made.nodes["JPN"], BUNDLE, "b1.json", defaults)
    assert (result.items, result.new) == (1, 1)
    made.settle()
    own = ingest(made.nodes["AUS"], cyber(SEED, parse_utc(AT))["AUS"], "own.json", Defaults(level="OFFICIAL"))
    assert own.new == 1
    made.settle()
    yield made
    made.close()


def held(network: Network, party: str, origin: str = "JPN") -> list[Stored]:
    with network.nodes[party].database.read() as connection:
        found = records.after(connection, 0, 100)
    return [each for each in found if parse_item(each.header, each.content).header.origin == origin]


def header_of(stored: Stored) -> Header:
    return parse_item(stored.header, stored.content).header


def leaf(network: Network, by: str, to: str) -> LeafRecord:
    (found,) = [each for each in read.log_records(network.nodes[by], limit=100) if each.to == to]
    return found


def page_of(network: Network, party: str) -> tuple[bytes, tuple[bytes, ...]]:
    """JPN's first page for a party: as it goes over the wire, and as it opens there."""
    with network.client(party, "JPN") as client:
        page = client.get(PAGES, {"after": 0})
    magic, to, batch, enc, parts = msgspec.msgpack.decode(page)
    context = f"{magic}\n{to}\n{batch}".encode()
    return page, unseal(Sealed(enc, tuple(parts)), key=network.nodes[party].sealing, context=context)


def spellings() -> list[bytes]:
    """Every spelling of the victim's id and name that a byte of a rendition, a header or a page could use."""
    number = UUID(VICTIM["id"].partition("--")[2])
    texts = [str(number), number.hex, VICTIM["name"], *VICTIM["name"].split()[1:2], VICTIM["description"]]
    cased = {text for each in texts for text in (each, each.lower(), each.upper())}
    wide = [text.encode(code) for text in sorted(cased) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    shifted = [base64.b64encode(b"\0" * pad + VICTIM["name"].encode())[4:-4] for pad in range(3)]
    return [*wide, number.bytes, number.bytes_le, *shifted]


def references(value: Any) -> Iterator[str]:
    """Whatever a bundle refers to, at any depth."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name.endswith("_ref"):
                yield each
            elif name.endswith("_refs"):
                yield from each
            else:
                yield from references(each)


def sanitised() -> dict[str, Json]:
    """B1 without the victim, worked out here from the story: what names it, what needs it, and its marking go too."""
    red = VICTIM["object_marking_refs"]
    gone = {VICTIM["id"], *red}
    gone |= {each["id"] for each in OBJECTS.values() if each.get("target_ref") == VICTIM["id"]}
    left = {key: dict(each) for key, each in OBJECTS.items() if key not in gone}
    for each in left.values():
        if each.get("where_sighted_refs") == [VICTIM["id"]]:
            del each["where_sighted_refs"]
    return left


def test_ind_has_the_bundle_as_jpn_holds_it_with_the_victim(network: Network) -> None:
    (own,), (stored,) = held(network, "JPN"), held(network, "IND")
    assert stored.content == own.content == BUNDLE
    assert VICTIM["id"].encode() in stored.content and VICTIM["name"].encode() in stored.content
    record = leaf(network, "JPN", "IND")
    assert (record.verdict, record.view, record.reasons, record.n) == ("FULL", "full", ("AS_HELD",), 1)
    assert header_of(stored).label == header_of(own).label


@pytest.mark.parametrize("party", ["AUS", "USA"])
def test_others_have_it_sanitised_for_the_one_reason(network: Network, party: str) -> None:
    record = leaf(network, "JPN", party)
    assert (record.verdict, record.view, record.reasons) == ("SANITISED", "full", ("FIELD_REMOVED",))
    (stored,) = held(network, party)
    bundle = json.loads(stored.content)
    assert {each["id"]: each for each in bundle["objects"]} == sanitised()
    assert sorted(each["type"] for each in bundle["objects"]) == [
        *["indicator"] * 3,
        "malware",
        "marking-definition",
        *["relationship"] * 3,
        "sighting",
    ]
    assert HELD_BACK not in stored.content.decode()
    assert header_of(stored).label.portions == ()


@pytest.mark.parametrize("party", ["AUS", "USA"])
def test_the_victim_is_in_no_byte_stored_or_sent(network: Network, party: str) -> None:
    (stored,) = held(network, party)
    page, parts = page_of(network, party)
    files = [network.places[party].home / name for name in ("relto.db", "relto.db-wal")]
    told = stored.header + stored.content + stored.title.encode() + b"".join(parts)
    assert stored.header in told and parts[1].count(stored.content) == 1
    for spelling in spellings():
        assert spelling not in told + page, spelling
        if len(spelling) > 8:
            assert all(spelling not in path.read_bytes() for path in files), spelling


def test_the_search_for_the_victim_finds_it_where_it_is_held(network: Network) -> None:
    (stored,) = held(network, "IND")
    _, parts = page_of(network, "IND")
    found = [spelling for spelling in spellings() if spelling in stored.content]
    assert len(found) >= 4 and all(spelling in parts[1] for spelling in found)


@pytest.mark.parametrize("party", ["AUS", "USA", "IND"])
def test_the_bundle_still_validates_and_no_reference_dangles(network: Network, party: str) -> None:
    (stored,) = held(network, party)
    text = stored.content.decode()
    parsed = stix2.parse(text, allow_custom=True)
    assert parsed["type"] == "bundle" and len(parsed["objects"]) == len(json.loads(text)["objects"])
    found = validate_string(text, ValidationOptions(version="2.1"))
    assert found.is_valid, found.errors
    objects = json.loads(text)["objects"]
    assert set(references(objects)) <= {each["id"] for each in objects}


def test_the_named_recipient_alone_gets_red_and_by_the_victim_clause_alone(network: Network) -> None:
    jpn = network.nodes["JPN"]
    table = jpn.rules().table
    header = header_of(held(network, "JPN")[0])
    ((portion, cls),) = classify_portions(header, (), table.epoch)
    assert (portion.selector, portion.handling) == (f"objects[{VICTIM['id']}]", ONLY_IND)
    assert (cls.tlp, cls.rel_to) == ("RED", ("IND",))
    decisions = {party: table.decide(cls, party) for party in ("AUS", "IND", "USA")}
    assert decisions["IND"].rules == ("A6/1/victim-identity",)
    assert (decisions["IND"].view, decisions["IND"].duties.onward.rule) == ("full", "none")
    assert {decisions[party].reasons for party in ("AUS", "USA")} == {("NOT_RELEASABLE_TO",)}
    unnamed = msgspec.structs.replace(cls, rel_to=None)
    assert {table.decide(unnamed, party).reasons for party in decisions} == {("TLP_RED_NOT_NAMED",)}
    whole = table.decide(classify(header, (), table.epoch), "AUS")
    assert whole.rules == ("A6/1/indicators", "A6/1/victim-identity")


@pytest.mark.parametrize("party", ["AUS", "IND", "USA"])
def test_amber_strict_goes_out_with_no_right_to_pass_it_on(network: Network, party: str) -> None:
    header = header_of(held(network, party)[0])
    assert header.release is not None and header.release.duties.onward.rule == "none"
    assert header.label.handling.tlp == "AMBER+STRICT"


def test_aus_gives_its_contractors_nothing_of_it(network: Network) -> None:
    aus = network.nodes["AUS"]
    (stored,) = held(network, "AUS")
    before = audit.check_log(aus).size
    found = read.why(aus, header_of(stored).id, "AUS-CTR")
    assert (found.decision.verdict, found.decision.reasons) == ("WITHHELD", ("ONWARD_NONE",))
    assert all(field.theirs is None for field in found.fields)
    assert audit.check_log(aus).size == before + 1
    last = read.log_records(aus, start=before, limit=1)[0]
    assert (last.to, last.verdict, last.reasons, last.n) == ("AUS-CTR", "WITHHELD", ("ONWARD_NONE",), 0)
    assert held(network, "AUS-CTR") == []


def test_the_contractors_do_get_what_is_australias_own(network: Network) -> None:
    (own,) = held(network, "AUS", "AUS")
    (stored,) = held(network, "AUS-CTR", "AUS")
    assert stored.content == own.content
    assert answer.page(network.nodes["AUS"], "AUS-CTR", 1) == b""
    assert answer.page(network.nodes["JPN"], "AUS-CTR", 0) == b""


def test_it_is_amber_strict_that_stops_it_since_amber_would_wait_for_consent(network: Network) -> None:
    aus = network.nodes["AUS"]
    usa = ingest(network.nodes["USA"], cyber(SEED, parse_utc(AT))["USA"], "amber.json", Defaults(level="OFFICIAL"))
    assert usa.new == 1
    network.settle()
    (amber,) = held(network, "AUS", "USA")
    release = header_of(amber).release
    assert release is not None and release.duties.onward.rule == "consent"
    assert read.why(aus, header_of(amber).id, "AUS-CTR").decision.reasons == ("ONWARD_CONSENT_MISSING",)
