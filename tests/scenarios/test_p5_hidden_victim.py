"""Acceptance scenario P5 through real nodes, mutual TLS between them, the clock injected: outcomes 1, 2 and 3."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
import stix2
from stix2validator import ValidationOptions, validate_string

from relto.api.exchange import exchange_app
from relto.api.pages import pages_app
from relto.clock import DAY_MS, FixedClock, parse_utc
from relto.envelope.seal import Sealed, unseal
from relto.exchange.answer import answer
from relto.exchange.books import Stored
from relto.exchange.steps import Pages
from relto.exercise.network import Network
from relto.exercise.scenario import cyber
from relto.item import Header, parse_item
from relto.labels import REL_TO, Category, Handling
from relto.log.leaf import LeafRecord
from relto.node import audit, read, revise
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.node.run import Runner, share
from relto.peers.asking import PATHS
from relto.release.classes import classify, classify_portions
from relto.release.stix_graph import HELD_BACK
from relto.store.records import Selection

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
    with network.nodes[party].store.read() as books:
        found = books.after(0, 100)
    return [each for each in found if parse_item(each.header, each.content).header.origin == origin]


def page_for(node: Node, to: str, after_n: int) -> bytes:
    return node.run(answer(node.core, to, Pages(after_n)))


def header_of(stored: Stored) -> Header:
    return parse_item(stored.header, stored.content).header


def leaf(network: Network, by: str, to: str) -> LeafRecord:
    (found,) = [each for each in read.log_records(network.nodes[by], limit=100) if each.to == to]
    return found


def page_of(network: Network, party: str) -> tuple[bytes, tuple[bytes, ...]]:
    """JPN's first page for a party: as it goes over the wire, and as it opens there."""
    with network.client(party, "JPN") as client:
        page = client.get(PATHS[Pages], {"after": 0})
    magic, to, batch, enc, parts = msgspec.msgpack.decode(page)
    context = f"{magic}\n{to}\n{batch}".encode()
    return page, unseal(Sealed(enc, tuple(parts)), key=network.nodes[party].core.sealing, context=context)


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
    assert page_for(network.nodes["AUS"], "AUS-CTR", 1) == b""
    assert page_for(network.nodes["JPN"], "AUS-CTR", 0) == b""


def test_it_is_amber_strict_that_stops_it_since_amber_would_wait_for_consent(network: Network) -> None:
    aus = network.nodes["AUS"]
    usa = ingest(network.nodes["USA"], cyber(SEED, parse_utc(AT))["USA"], "amber.json", Defaults(level="OFFICIAL"))
    assert usa.new == 1
    network.settle()
    (amber,) = held(network, "AUS", "USA")
    release = header_of(amber).release
    assert release is not None and release.duties.onward.rule == "consent"
    assert read.why(aus, header_of(amber).id, "AUS-CTR").decision.reasons == ("ONWARD_CONSENT_MISSING",)


# --- outcome 3: version 2 withdraws the IPv4 ---

TOKEN = "0" * 32
IPV4 = next(key for key, each in OBJECTS.items() if "ipv4-addr" in each.get("pattern", ""))


def version_two() -> bytes:
    """B1 with the false positive revoked, as STIX 2.1 (3.2) revokes: a later version of the indicator that says so."""
    bundle = json.loads(BUNDLE)
    for each in bundle["objects"]:
        if each["id"] == IPV4:
            each |= {"revoked": True, "modified": "2026-11-03T06:00:00.000Z"}
    return json.dumps(bundle).encode()


@pytest.fixture
def four(tmp_path: Path) -> Iterator[tuple[Network, str]]:
    """JPN has published B1, all have it, and B1 has its id."""
    made = Network(tmp_path / "p5", PARTIES[:4], FixedClock(parse_utc(AT)))
    made.conclude([("p5-a6.toml", (TEXTS / "p5-a6.toml").read_bytes())])
    made.serve()
    made.settle()
    ingest(made.nodes["JPN"], BUNDLE, "b1.json", B1)
    made.settle()
    yield made, header_of(held(made, "JPN")[0]).id
    made.close()


B1 = Defaults(level="OFFICIAL", portions={f"objects[{VICTIM['id']}]": ONLY_IND})


def current(network: Network, party: str) -> list[tuple[int, bool]]:
    """The current items of JPN: version, and whether the false positive is revoked."""
    found, total = read.listing(network.nodes[party], Selection(("cyber.bundle",)))
    assert total == len(found)
    objects = [{each["id"]: each for each in json.loads(stored.content)["objects"]} for stored in found]
    return [(header_of(s).version, each[IPV4].get("revoked", False)) for s, each in zip(found, objects, strict=True)]


def test_within_one_round_all_three_have_version_two_and_no_list_shows_the_first(four: tuple[Network, str]) -> None:
    network, item = four
    jpn = network.nodes["JPN"]
    assert [current(network, party) for party in PARTIES[:4]] == [[(1, False)]] * 4
    # said without the portion: what was held back before stays held back
    revise.correct(jpn, item, version_two(), "b1-v2.json", Defaults(level="OFFICIAL"))
    share(jpn)
    for party in ("AUS", "IND", "USA"):
        network.pull(party, "JPN")
    assert [current(network, party) for party in PARTIES[:4]] == [[(2, True)]] * 4
    for party in ("AUS", "USA"):
        (stored,) = held(network, party)
        assert not any(spelling in stored.header + stored.content for spelling in spellings())
    assert VICTIM["id"].encode() in held(network, "IND")[0].content


@pytest.mark.parametrize("act", ["corrected", "withdrawn"])
def test_aus_after_three_days_down_applies_it_before_it_answers(four: tuple[Network, str], act: str) -> None:
    network, item = four
    jpn, aus = network.nodes["JPN"], network.nodes["AUS"]
    if act == "corrected":
        revise.correct(jpn, item, version_two(), "b1-v2.json", B1)
    else:
        revise.withdraw(jpn, item, "The IPv4 is a false positive.")
    while share(jpn):
        pass
    clock = network.clock
    assert isinstance(clock, FixedClock)
    clock.set(clock.now_ms() + 3 * DAY_MS)
    assert current(network, "AUS") == [(1, False)]
    runner = Runner(aus, exchange_app)
    aus.settings = msgspec.structs.replace(aus.settings, port=0)
    runner.start(pages=pages_app(aus, TOKEN, ready=runner.catch_up.done))
    try:
        with httpx.Client(trust_env=False, cookies={f"relto-{aus.settings.web_port}": TOKEN}) as client:
            url = f"http://127.0.0.1:{aus.settings.web_port}/item/{item}"
            found = client.get(url)
            while found.status_code == 503:
                found = client.get(url)
        assert current(network, "AUS") == ([(2, True)] if act == "corrected" else [])
        if act == "corrected":
            assert found.status_code == 200 and "2, supersedes version 1" in found.text
        else:
            assert found.status_code == 404
    finally:
        runner.stop()
