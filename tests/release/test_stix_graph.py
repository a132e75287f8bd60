"""Objects taken out of a graph: nothing refers to them, nothing speaks of them, and the rest is valid STIX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
import stix2
from hypothesis import given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_string

from relto.release.stix_graph import HELD_BACK, lacks, without

pytestmark = pytest.mark.pure

WHEN = "2026-11-01T00:00:00.000Z"
NAMES = ("Crimson Heron", "Lantern Works", "Mistral Kite", "Quiet Harbour")
Json = dict[str, Any]


def id_of(kind: str, number: int) -> str:
    return f"{kind}--5a3c2fcd-8328-42bb-a95e-{number:012x}"


def stix_object(kind: str, number: int, **members: Any) -> Json:
    common = {"type": kind, "spec_version": "2.1", "id": id_of(kind, number)}
    return common | {"created": WHEN, "modified": WHEN} | members


def identity(number: int, **members: Any) -> Json:
    return stix_object("identity", number, name=f"Organisation {number}", **members)


def indicator(number: int, **members: Any) -> Json:
    stated = {"pattern": f"[domain-name:value = 'host{number}.example']", "pattern_type": "stix", "valid_from": WHEN}
    return stix_object("indicator", number, **stated | members)


def actor(number: int, name: str = "Crimson Heron", **members: Any) -> Json:
    return stix_object("threat-actor", number, name=name, **members)


def relationship(number: int, source: str, target: str, **members: Any) -> Json:
    ends = {"relationship_type": "related-to", "source_ref": source, "target_ref": target}
    return stix_object("relationship", number, **ends, **members)


def report(number: int, refs: list[str], **members: Any) -> Json:
    return stix_object("report", number, name=f"Report {number}", published=WHEN, object_refs=refs, **members)


def statement(number: int, **members: Any) -> Json:
    identity = {"type": "marking-definition", "spec_version": "2.1", "id": id_of("marking-definition", number)}
    return identity | {"created": WHEN, "definition_type": "statement", "definition": {"statement": "S"}} | members


def left(objects: list[Json], *removed: str, secret: frozenset[str] = frozenset()) -> dict[str, Json]:
    before = json.dumps(objects)
    after = without(objects, set(removed), secret_ids=secret)
    assert json.dumps(objects) == before
    return {each["id"]: each for each in after}


# --- any graph ---


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Json], set[str]]:
    """A complete graph, in any order, and some of its ids."""
    markings = [statement(n) for n in range(draw(st.integers(0, 2)))]
    marking_ids = [each["id"] for each in markings]
    numbers = iter(range(10, 100))
    objects: list[Json] = []

    def chance() -> bool:
        return draw(st.booleans())

    def some(values: list[str], low: int = 0) -> list[str]:
        if not values:
            return []
        return draw(st.lists(st.sampled_from(values), min_size=low, max_size=3, unique=True))

    def common() -> Json:
        known = [each["id"] for each in objects]
        told = some([*NAMES, *known, *(name.upper() for name in [*NAMES, *known])])
        found: Json = {"description": f"Seen with {' and '.join(told)}."} if told else {}
        makers = [name for name in known if name.startswith("identity")]
        found |= {"created_by_ref": draw(st.sampled_from(makers))} if makers and chance() else {}
        marked = some(marking_ids)
        found |= {"object_marking_refs": marked} if marked else {}
        labels = some([*NAMES, *known, "plain", "other"])
        found |= {"labels": labels} if labels else {}
        if labels and marking_ids and chance():
            at = draw(st.integers(0, len(labels) - 1))
            mark = {"marking_ref": draw(st.sampled_from(marking_ids)), "selectors": [f"labels.[{at}]"]}
            found |= {"granular_markings": [mark]}
        return found

    for _ in range(draw(st.integers(1, 4))):
        objects.append(stix_object("identity", next(numbers), name=draw(st.sampled_from(NAMES)), **common()))
        objects.append(indicator(next(numbers), **common()))
        objects.append(actor(next(numbers), draw(st.sampled_from(NAMES)), aliases=["Grey Otter"], **common()))
    for _ in range(draw(st.integers(0, 6))):
        known = [each["id"] for each in objects]
        ends = st.sampled_from([name for name in known if not name.startswith(("report", "relationship"))])
        if chance():
            objects.append(relationship(next(numbers), draw(ends), draw(ends), **common()))
        else:
            objects.append(report(next(numbers), some(known, 1), **common()))
    whole = draw(st.permutations([*markings, *objects]))
    return whole, set(some([each["id"] for each in objects]))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name.endswith("_ref"):
                yield each
            elif name.endswith("_refs"):
                yield from each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def named(objects: list[Json], ids: set[str]) -> set[str]:
    return {
        name for each in objects if each["id"] in ids for name in (each.get("name"), *each.get("aliases", ())) if name
    }


@given(graphs())
@settings(max_examples=80, deadline=None)
def test_nothing_that_went_is_referred_to_or_spoken_of_and_the_rest_is_valid(
    graph: tuple[list[Json], set[str]],
) -> None:
    objects, removed = graph
    after = without(objects, removed)
    text = json.dumps(after).lower()
    ids = {each["id"] for each in after}
    gone = {each["id"] for each in objects} - ids
    assert removed <= gone
    assert not [name for name in gone if name in text]
    assert not [name for name in named(objects, removed) if name.lower() in text]
    assert set(references(after)) <= ids
    assert [each["id"] for each in after] == [each["id"] for each in objects if each["id"] in ids]
    if after:
        bundle = {"type": "bundle", "id": id_of("bundle", 0), "objects": after}
        assert len(stix2.parse(json.dumps(bundle), allow_custom=True).objects) == len(after)


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_what_has_nothing_to_do_with_the_removed_stays_as_it_was(graph: tuple[list[Json], set[str]]) -> None:
    objects, removed = graph
    after = without(objects, removed)
    assert without(after, removed) == after
    if not removed:
        assert after == objects
    names = named(objects, removed)
    kept = {each["id"]: each for each in after}
    lower = {name.lower() for name in {*removed, *names}}
    for each in objects:
        text = json.dumps(each).lower()
        if each["type"] in ("identity", "indicator", "threat-actor") and not any(name in text for name in lower):
            # It may still lose what refers to an object that went with the removed, never its own content.
            assert kept[each["id"]]["type"] == each["type"]


# --- references ---


def test_what_requires_the_removed_goes_with_it_and_so_on() -> None:
    link = relationship(3, id_of("indicator", 1), id_of("threat-actor", 2))
    objects = [indicator(1), actor(2), link, report(4, [link["id"]]), report(5, [id_of("report", 4)])]
    assert list(left(objects, id_of("threat-actor", 2))) == [id_of("indicator", 1)]


def test_an_optional_reference_goes_and_the_object_stays() -> None:
    after = left([identity(1), indicator(2, created_by_ref=id_of("identity", 1))], id_of("identity", 1))
    assert after == {id_of("indicator", 2): indicator(2)}


def test_a_list_of_references_keeps_the_others() -> None:
    objects = [indicator(1), indicator(2), report(3, [id_of("indicator", 1), id_of("indicator", 2)])]
    after = left(objects, id_of("indicator", 1))
    assert after[id_of("report", 3)]["object_refs"] == [id_of("indicator", 2)]


def test_references_to_what_was_never_there_stay() -> None:
    objects = [indicator(1), report(2, [id_of("malware", 9), id_of("indicator", 1)])]
    assert left(objects, id_of("indicator", 1))[id_of("report", 2)]["object_refs"] == [id_of("malware", 9)]


def test_every_version_of_an_object_goes() -> None:
    assert not left([indicator(1), indicator(1, modified="2026-11-02T00:00:00.000Z")], id_of("indicator", 1))


def test_an_id_is_the_same_in_capitals() -> None:
    objects = [identity(1), indicator(2, description=f"by {id_of('identity', 1).upper()}")]
    after = left(objects, id_of("identity", 1).upper())
    assert after[id_of("indicator", 2)]["description"] == f"by {HELD_BACK}"


# --- mentions ---


@pytest.mark.parametrize(
    "spelled",
    [
        "Crimson Heron",
        "CRIMSON HERON",
        "crimson\n heron",
        "Crimson\u00a0Heron",
        "Ｃｒｉｍｓｏｎ Heron",
        "Crim\u00adson He\u200bron",
    ],
)
def test_a_name_is_held_back_from_texts_in_every_spelling(spelled: str) -> None:
    after = left([actor(1), indicator(2, description=f"Used by {spelled} since May.")], id_of("threat-actor", 1))
    text = after[id_of("indicator", 2)]["description"]
    assert HELD_BACK in text
    assert "heron" not in text.lower()


def test_a_name_in_what_says_what_an_object_is_takes_the_object() -> None:
    objects = [actor(1), indicator(2, name="Crimson Heron beacon"), indicator(3, name="Other beacon")]
    assert list(left(objects, id_of("threat-actor", 1))) == [id_of("indicator", 3)]


def test_a_name_in_a_label_takes_the_label() -> None:
    after = left([actor(1), indicator(2, labels=["crimson heron", "apt"])], id_of("threat-actor", 1))
    assert after[id_of("indicator", 2)]["labels"] == ["apt"]


def test_an_alias_is_a_name_and_three_letters_are_none() -> None:
    objects = [actor(1, aliases=["Grey Otter", "APT"]), indicator(2, description="Grey Otter, an APT.")]
    assert left(objects, id_of("threat-actor", 1))[id_of("indicator", 2)]["description"] == f"{HELD_BACK}, an APT."


def test_a_secret_value_takes_the_indicator_that_matches_it() -> None:
    address = {"type": "ipv4-addr", "spec_version": "2.1", "id": id_of("ipv4-addr", 1), "value": "203.0.113.9"}
    match = indicator(2, pattern="[ipv4-addr:value = '203.0.113.9']")
    assert list(left([address, match], address["id"])) == [match["id"]]
    assert not left([address, match], address["id"], secret=frozenset({address["id"]}))


# --- markings ---


def test_a_marking_goes_with_the_last_that_it_marks_and_its_author_stays() -> None:
    mark = statement(1, created_by_ref=id_of("identity", 2))
    objects = [mark, identity(2), indicator(3, object_marking_refs=[mark["id"]]), indicator(4)]
    assert set(left(objects, id_of("indicator", 4))) == {mark["id"], id_of("identity", 2), id_of("indicator", 3)}
    assert set(left(objects, id_of("indicator", 3))) == {id_of("identity", 2), id_of("indicator", 4)}


def test_a_marking_is_no_secret_of_its_author() -> None:
    bare = statement(1)
    mark = bare | {"created_by_ref": id_of("identity", 2), "name": "Organisation 2 only"}
    marked = indicator(3, object_marking_refs=[mark["id"]])
    assert left([mark, identity(2), marked], id_of("identity", 2)) == {mark["id"]: bare, marked["id"]: marked}


def test_nothing_stays_without_a_marking_that_was_asked_to_go() -> None:
    objects = [statement(1), indicator(2, object_marking_refs=[id_of("marking-definition", 1)]), indicator(3)]
    after = left(objects, id_of("marking-definition", 1))
    assert after.get(id_of("indicator", 2), objects[1]) == objects[1]
    assert after[id_of("indicator", 3)] == objects[2]


def test_a_granular_marking_follows_the_entry_that_it_marks() -> None:
    marks = [{"marking_ref": id_of("marking-definition", 1), "selectors": ["labels.[0]", "labels.[2]"]}]
    objects = [statement(1), actor(2), indicator(3, labels=["Crimson Heron", "b", "c"], granular_markings=marks)]
    after = left(objects, id_of("threat-actor", 2))[id_of("indicator", 3)]
    assert after["labels"] == ["b", "c"]
    assert after["granular_markings"][0]["selectors"] == ["labels.[1]"]


def test_a_granular_marking_goes_with_all_that_it_marked() -> None:
    marks = [{"marking_ref": id_of("marking-definition", 1), "selectors": ["labels.[0]"]}]
    objects = [statement(1), actor(2), indicator(3, labels=["Crimson Heron"], granular_markings=marks)]
    after = left(objects, id_of("threat-actor", 2))
    assert set(after) == {id_of("indicator", 3)}
    assert not after[id_of("indicator", 3)].keys() & {"labels", "granular_markings"}


def test_an_extension_definition_stays_while_something_is_written_in_it() -> None:
    members = {"schema": "https://lantern.example", "version": "1.0", "extension_types": ["property-extension"]}
    author = {"name": "Score", "created_by_ref": id_of("identity", 1)}
    definition = stix_object("extension-definition", 2, **members, **author)
    written = {definition["id"]: {"extension_type": "property-extension", "score": 3}}
    objects = [identity(1), definition, indicator(3, extensions=written), indicator(4)]
    assert definition["id"] in left(objects, id_of("indicator", 4))
    assert definition["id"] not in left(objects, id_of("indicator", 3))


# --- what is required, and hostile graphs ---


@pytest.mark.parametrize(
    ("each", "missing"),
    [
        (indicator(1), ""),
        ({k: v for k, v in indicator(1).items() if k != "pattern"}, "pattern"),
        (stix_object("location", 1), "region or country or latitude"),
        (stix_object("location", 1, country="jp"), ""),
        ({"type": "process", "id": id_of("process", 1), "spec_version": "2.1"}, "a property of its own"),
        ({"type": "x-lantern", "id": id_of("x-lantern", 1)}, ""),
    ],
)
def test_what_the_standard_requires_is_missed(each: Json, missing: str) -> None:
    assert lacks(each) == missing


def test_an_object_that_lost_what_it_needs_before_goes() -> None:
    broken = {name: value for name, value in indicator(1).items() if name != "pattern"}
    assert list(left([broken, indicator(2), relationship(3, broken["id"], id_of("indicator", 2))])) == [
        id_of("indicator", 2)
    ]


def test_a_long_chain_and_a_ring_of_references_come_to_an_end() -> None:
    ring = [report(n, [id_of("report", (n + 1) % 2000)]) for n in range(2000)]
    assert not left([*ring, indicator(1)], id_of("report", 0), id_of("indicator", 1))


def test_an_object_that_loses_something_again_and_again_goes() -> None:
    chain = [report(n, [id_of("report", n - 1)]) for n in range(1, 300)]
    listing = report(999, [each["id"] for each in chain] + [id_of("indicator", 5)])
    after = left(
        [report(0, [id_of("indicator", 1)]), *chain, listing, indicator(5), indicator(1)], id_of("indicator", 1)
    )
    assert set(after) <= {id_of("indicator", 5), listing["id"]}
    assert all(set(each.get("object_refs", ())) <= {id_of("indicator", 5)} for each in after.values())


@pytest.mark.parametrize(
    "name",
    [
        "defining-campaigns-threat-actors-intrusion-sets.json",
        "sighting-of-an-indicator.json",
        "using-granular-markings.json",
        "using-marking-definitions.json",
    ],
)
def test_each_object_of_a_published_bundle_can_be_taken_out(name: str) -> None:
    bundle = json.loads((resources.files("relto.exercise") / "data" / "stix" / name).read_bytes())
    objects = bundle["objects"]
    complete = {each["id"] for each in objects}
    for each in objects:
        if each["type"] == "marking-definition":
            continue
        after = without(objects, {each["id"]})
        assert each["id"] not in json.dumps(after)
        assert set(references(after)) & complete <= {one["id"] for one in after}
        if after:
            stix2.parse(json.dumps(bundle | {"objects": after}), allow_custom=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("defining-campaigns-threat-actors-intrusion-sets.json", "identity"),
        ("sighting-of-an-indicator.json", "identity"),
        ("using-granular-markings.json", "threat-actor"),
    ],
)
def test_what_is_left_of_a_published_bundle_is_valid_to_the_validator_of_the_standard(name: str, kind: str) -> None:
    bundle = json.loads((resources.files("relto.exercise") / "data" / "stix" / name).read_bytes())
    removed = next(each["id"] for each in bundle["objects"] if each["type"] == kind)
    after = without(bundle["objects"], {removed})
    assert 0 < len(after) < len(bundle["objects"])
    assert validate_string(json.dumps(bundle | {"objects": after}), ValidationOptions(version="2.1")).is_valid
