"""STIX bundles: what each object's markings demand, and no bad object that costs its neighbours."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.formats import stix
from relto.formats.draft import Draft, Intake
from relto.kinds.spec import shipped_kinds
from relto.labels import TLP_ORDER, Category, Handling, Label, caveats, overall

pytestmark = pytest.mark.pure

NOW_MS = parse_utc("2026-11-23T09:00:00Z")
WHEN = "2026-11-01T00:00:00.000Z"
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
AMBER = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
AMBER_1 = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
Json = dict[str, Any]


def name_of(kind: str, number: int) -> str:
    return f"{kind}--5a3c2fcd-8328-42bb-a95e-{number:012x}"


def indicator(number: int, **members: Any) -> Json:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": name_of("indicator", number),
        "created": WHEN,
        "modified": WHEN,
        "pattern": f"[domain-name:value = 'host{number}.example']",
        "pattern_type": "stix",
        "valid_from": WHEN,
    } | members


def marking(number: int, **members: Any) -> Json:
    identity = name_of("marking-definition", number)
    return {"type": "marking-definition", "spec_version": "2.1", "id": identity, "created": WHEN} | members


def statement(number: int, text: str) -> Json:
    return marking(number, definition_type="statement", definition={"statement": text})


def bundle(*objects: Any, **members: Any) -> Json:
    return {"type": "bundle", "id": name_of("bundle", 0), "objects": list(objects)} | members


def write(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def read(content: bytes) -> Intake:
    return stix.read_bundle(content, received_ms=NOW_MS)


def draft_of(*objects: Json) -> Draft:
    (draft,) = read(write(bundle(*objects))).drafts
    return draft


def portions(draft: Draft) -> dict[str, Handling]:
    return {portion.selector: portion.handling for portion in draft.portions}


def shipped(path: str) -> bytes:
    content = (resources.files("relto.exercise") / "data" / path).read_bytes()
    return gzip.decompress(content) if path.endswith(".gz") else content


# --- the bundle ---


def test_a_bundle_is_one_draft_of_its_own_bytes() -> None:
    content = write(bundle(indicator(1, name="Lantern"), indicator(2, modified="2026-11-20T00:00:00Z")))
    intake = read(content)
    (draft,) = intake.drafts
    assert draft.content == content
    assert (draft.external_id, draft.title) == (name_of("bundle", 0), "Lantern")
    assert draft.observed_ms == draft.until_ms == parse_utc("2026-11-20T00:00:00Z")
    assert shipped_kinds()[draft.kind].media_type == draft.media_type
    assert (intake.summary.read, intake.summary.accepted, intake.summary.remarked) == (2, 2, {})


def test_a_bundle_of_the_future_was_observed_when_it_was_received() -> None:
    assert draft_of(indicator(1, modified="2030-01-01T00:00:00Z")).observed_ms == NOW_MS


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"type":"bundle"', "BAD_JSON"),
        (b'{"type":"bundle","objects":[],"objects":[]}', "BAD_JSON"),
        (write(bundle(indicator(1), type="report")), "NOT_A_BUNDLE"),
        (write(bundle(indicator(1), id="bundle--1")), "BAD_ID"),
        (write(bundle(indicator(1), id=name_of("report", 1))), "BAD_ID"),
        (write(bundle(indicator(1), spec_version="2.0")), "SPEC_VERSION"),
        (write(bundle()), "EMPTY"),
        (write(bundle() | {"objects": {}}), "EMPTY"),
    ],
)
def test_a_bad_bundle_is_refused_whole(content: bytes, reason: str) -> None:
    intake = read(content)
    assert not intake.drafts
    assert intake.summary.rejected == {reason: 1}


def test_a_bundle_over_the_bound_of_objects_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stix, "BOUNDS", replace(BOUNDS, stix_objects=2))
    assert read(write(bundle(indicator(1), indicator(2)))).drafts
    intake = read(write(bundle(*(indicator(n) for n in range(3)))))
    assert intake.summary.rejected == {"TOO_MANY_OBJECTS": 1}


def test_bundles_are_told_by_either_end() -> None:
    long = {"objects": [indicator(n) for n in range(40)], "id": name_of("bundle", 0), "type": "bundle"}
    assert stix.sniff(write(long)) == stix.sniff(write(bundle(indicator(1)))) == "stix"
    assert stix.sniff(write(indicator(1))) is None


# --- one object ---


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([], "NOT_AN_OBJECT"),
        (indicator(9, type="i"), "BAD_TYPE"),
        (indicator(9, id=name_of("malware", 9)), "BAD_ID"),
        (indicator(9, id=name_of("indicator", 9) + "\n"), "BAD_ID"),
        (indicator(9, id=7), "BAD_ID"),
        (indicator(9, spec_version="2.0"), "SPEC_VERSION"),
        ({k: v for k, v in indicator(9).items() if k != "spec_version"}, "SPEC_VERSION"),
        ({k: v for k, v in indicator(9).items() if k != "modified"}, "BAD_TIME"),
        (indicator(9, created="2026-11-01"), "BAD_TIME"),
        (indicator(9, modified="2026-10-31T00:00:00Z"), "BAD_TIME"),
        ({k: v for k, v in indicator(9).items() if k != "pattern"}, "MISSING_PROPERTY"),
        (indicator(9, created_by_ref="JPN"), "BAD_REFERENCE"),
        (indicator(9, object_marking_refs=name_of("marking-definition", 1)), "BAD_MARKING"),
        (indicator(9, object_marking_refs=[name_of("identity", 1)]), "BAD_MARKING"),
        (indicator(9, granular_markings={}), "BAD_MARKING"),
        (indicator(9, granular_markings=[{"marking_ref": RED, "selectors": []}]), "BAD_MARKING"),
        (indicator(9, granular_markings=[{"marking_ref": RED, "selectors": ["description"]}]), "BAD_MARKING"),
        (indicator(9, granular_markings=[{"marking_ref": RED, "selectors": ["labels.[0]"]}]), "BAD_MARKING"),
        (indicator(9, granular_markings=[{"selectors": ["pattern"]}]), "BAD_MARKING"),
        (indicator(9, x_relto_rel_to="USA"), "BAD_REL_TO"),
        (indicator(9, x_relto_rel_to=["usa!"]), "BAD_REL_TO"),
        (indicator(9, x_relto_rel_to=[f"P{n:02d}" for n in range(BOUNDS.label_values + 1)]), "BAD_REL_TO"),
        (indicator(1), "DUPLICATE"),
        (indicator(9, description="x" * BOUNDS.record_bytes), "TOO_LARGE"),
        (indicator(9, name="spoo\u202ef"), "BAD_JSON"),
    ],
)
def test_a_bad_object_goes_and_its_neighbours_stay_byte_for_byte(bad: Any, reason: str) -> None:
    good, last = write(indicator(1)), write(indicator(2))
    form = b'{"id": "%s", "objects" : [%%s], "type":"bundle"}' % name_of("bundle", 0).encode()
    intake = read(form % b", ".join([good, write(bad), last]))
    assert intake.drafts[0].content == form % b",".join([good, last])
    assert intake.summary.rejected == {reason: 1}
    assert intake.summary.remarked == {"REBUILT": 1}
    assert (intake.summary.read, intake.summary.rejects[0].where) == (3, "object 1")


def test_two_versions_of_an_object_stay_and_share_their_handling() -> None:
    later = indicator(1, modified="2026-11-20T00:00:00Z", object_marking_refs=[RED])
    draft = draft_of(indicator(1), later, indicator(2))
    assert portions(draft) == {f"objects[{name_of('indicator', 1)}]": Handling(tlp="RED")}


def test_a_bundle_of_which_nothing_is_good_gives_no_draft() -> None:
    intake = read(write(bundle(7, 8)))
    assert (intake.drafts, intake.summary.rejected) == ((), {"NOT_AN_OBJECT": 2})


# --- markings ---


def test_the_colour_of_all_is_that_of_the_bundle_and_a_higher_one_a_portion() -> None:
    draft = draft_of(indicator(1, object_marking_refs=[GREEN]), indicator(2, object_marking_refs=[GREEN, AMBER]))
    assert draft.handling == Handling(tlp="GREEN")
    assert portions(draft) == {f"objects[{name_of('indicator', 2)}]": Handling(tlp="AMBER")}


@pytest.mark.parametrize(("identity", "colour"), sorted(stix.TLP_MARKINGS.items()))
def test_the_well_known_colours_need_no_definition(identity: str, colour: str) -> None:
    assert draft_of(indicator(1, object_marking_refs=[identity])).handling.tlp == colour


def test_a_bundle_cannot_define_a_well_known_colour_down() -> None:
    lower = marking(0, id=RED, definition_type="tlp", definition={"tlp": "white"})
    assert draft_of(lower, indicator(1, object_marking_refs=[RED])).handling.tlp == "RED"
    higher = marking(0, id=AMBER_1, definition_type="tlp", definition={"tlp": "red"})
    assert draft_of(higher, indicator(1, object_marking_refs=[AMBER_1])).handling.tlp == "RED"


def test_a_colour_that_the_bundle_defines_counts() -> None:
    extension = {stix.TLP_2_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": "amber+strict"}}
    for defined in ({"definition_type": "tlp", "definition": {"tlp": "red"}}, {"extensions": extension}):
        own = marking(5, **defined)
        draft = draft_of(own, indicator(1, object_marking_refs=[own["id"]]))
        assert draft.handling.tlp in ("RED", "AMBER+STRICT")
        assert caveats(draft.handling) == ()


@pytest.mark.parametrize(
    "defined",
    [
        None,
        {"definition_type": "acs", "definition": {"level": "S"}},
        {"definition_type": "tlp", "definition": {"tlp": 7}},
        {"definition_type": "tlp", "definition": "red"},
        {"extensions": {name_of("extension-definition", 3): {"extension_type": "property-extension"}}},
        {"extensions": []},
    ],
)
def test_a_marking_that_is_not_understood_restricts(defined: Json | None) -> None:
    own = marking(5, **(defined or {}))
    objects = [indicator(1, object_marking_refs=[own["id"]]), *([own] if defined else [])]
    assert caveats(draft_of(*objects).handling) == (f"STIX-MARKING:{own['id']}",)


def test_a_colour_that_is_none_restricts() -> None:
    own = marking(5, definition_type="tlp", definition={"tlp": "purple"})
    assert caveats(draft_of(own, indicator(1, object_marking_refs=[own["id"]])).handling) == ("TLP:PURPLE",)


def test_a_statement_is_told_and_restricts_nothing() -> None:
    own = statement(5, "Copyright Lantern")
    draft = draft_of(own, indicator(1, object_marking_refs=[own["id"]]), indicator(2))
    assert draft.handling == Handling(categories=(Category("STATEMENT", "informative", ("Copyright Lantern",)),))
    assert draft.portions == ()


def test_a_granular_marking_is_a_portion_of_what_it_selects() -> None:
    marks = [
        {"marking_ref": RED, "selectors": ["description", "labels.[1]"]},
        {"lang": "fr", "selectors": ["pattern"]},
    ]
    draft = draft_of(indicator(1, description="seen", labels=["a", "b"], granular_markings=marks))
    owner = f"objects[{name_of('indicator', 1)}]"
    red = Handling(tlp="RED")
    assert portions(draft) == {f"{owner}.description": red, f"{owner}.labels.[1]": red}
    assert draft.handling == Handling()


def test_rel_to_of_an_object_is_its_own() -> None:
    draft = draft_of(indicator(1, x_relto_rel_to=["USA", "JPN", "USA"]), indicator(2))
    limit = Category("REL TO", "permissive", ("JPN", "USA"))
    assert portions(draft) == {f"objects[{name_of('indicator', 1)}]": Handling(categories=(limit,))}
    assert draft.handling == Handling()


@st.composite
def bundles(draw: st.DrawFn) -> list[Json]:
    refs = st.lists(st.sampled_from([*stix.TLP_MARKINGS, name_of("marking-definition", 9)]), max_size=2)
    return [indicator(n, object_marking_refs=draw(refs)) for n in range(draw(st.integers(1, 8)))]


@given(bundles())
@settings(max_examples=60, deadline=None)
def test_no_label_is_weaker_or_stronger_than_the_objects_say(objects: list[Json]) -> None:
    draft = draft_of(*objects)
    label = Label(handling=draft.handling, originators=("JPN",), portions=draft.portions)
    colours = [[stix.TLP_MARKINGS.get(ref, "") for ref in each["object_marking_refs"]] for each in objects]
    own = [max(each, key=TLP_ORDER.index, default="") for each in colours]
    assert overall(label).tlp == max(own, key=TLP_ORDER.index)
    assert draft.handling.tlp == min(own, key=TLP_ORDER.index)
    unknown = name_of("marking-definition", 9)
    held = any(unknown in each["object_marking_refs"] for each in objects)
    assert (f"STIX-MARKING:{unknown}" in caveats(overall(label))) == held


@given(st.binary(max_size=80), st.integers(0, 900))
@settings(max_examples=80, deadline=None)
def test_no_bytes_break_the_reader_or_its_count(noise: bytes, at: int) -> None:
    whole = write(bundle(indicator(1), indicator(2, object_marking_refs=[RED])))
    summary = read(whole[:at] + noise + whole[at:]).summary
    assert summary.read == summary.accepted + sum(summary.rejected.values()) > 0


# --- bundles as they were published ---


@pytest.mark.parametrize(
    ("path", "records", "tlps"),
    [
        ("attack/ics-attack-18.1.json.gz", 1826, set()),
        ("stix/defining-campaigns-threat-actors-intrusion-sets.json", 26, set()),
        ("stix/sighting-of-an-indicator.json", 4, set()),
        ("stix/using-granular-markings.json", 4, {"GREEN", "AMBER", "RED"}),
        ("stix/using-marking-definitions.json", 4, {"AMBER"}),
    ],
)
def test_published_bundles_are_read_whole(path: str, records: int, tlps: set[str]) -> None:
    content = shipped(path)
    intake = read(content)
    (draft,) = intake.drafts
    assert intake.summary.accepted == intake.summary.read == records
    assert draft.content == content
    assert {portion.handling.tlp for portion in draft.portions} == tlps
