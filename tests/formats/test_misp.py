"""MISP events: what distribution and tags demand, bytes as they came, and no attribute that costs its neighbours."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from importlib import resources
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.formats import misp
from relto.formats.draft import Draft, Intake
from relto.kinds.spec import shipped_kinds
from relto.labels import NOFORN, Category, Handling, Label, caveats, overall
from relto.release.check import check
from relto.release.cut import Cut
from relto.release.misp import reduce_event

pytestmark = pytest.mark.pure

NOW_MS = parse_utc("2026-11-23T09:00:00Z")
NEVER = Category(NOFORN, "restrictive")
Json = dict[str, Any]


def uuid(number: int) -> str:
    return f"5a3c2fcd-8328-42bb-a95e-{number:012x}"


def attribute(number: int, **members: Any) -> Json:
    return {"uuid": uuid(number), "type": "domain", "value": f"host{number}.example", "distribution": "5"} | members


def an_object(number: int, *attributes: Json, **members: Any) -> Json:
    return {"uuid": uuid(number), "name": "file", "Attribute": list(attributes)} | members


def event(**members: Any) -> Json:
    stated = {"uuid": uuid(0), "info": "Operation Lantern", "date": "2026-11-20", "timestamp": "1763769600"}
    return stated | {"distribution": "3"} | members


def write(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def read(content: bytes) -> Intake:
    return misp.read_event(content, received_ms=NOW_MS)


def draft_of(**members: Any) -> Draft:
    (draft,) = read(write({"Event": event(**members)})).drafts
    return draft


def portions(draft: Draft) -> dict[str, Handling]:
    return {portion.selector: portion.handling for portion in draft.portions}


def tags(*names: str) -> list[Json]:
    return [{"name": name} for name in names]


def shipped(name: str) -> bytes:
    return gzip.decompress((resources.files("relto.exercise") / "data" / "misp" / name).read_bytes())


# --- forms ---


def test_a_wrapped_event_keeps_its_bytes() -> None:
    content = write({"Event": event(Attribute=[attribute(1)])})
    intake = read(content)
    assert intake.drafts[0].content == content
    assert (intake.summary.read, intake.summary.accepted, intake.summary.remarked) == (2, 2, {})


def test_a_bare_event_is_wrapped_and_a_response_is_cut_into_the_bytes_of_its_events() -> None:
    first, second = write(event()), write({"Event": event(uuid=uuid(9))})
    assert read(first).drafts[0].content == b'{"Event":' + first + b"}"
    for answer in (b'{"response": [%s, %s]}', b"[ %s,%s ]"):
        drafts = read(answer % (first, second)).drafts
        assert [draft.content for draft in drafts] == [b'{"Event":' + first + b"}", second]


def test_a_broken_event_of_a_response_does_not_cost_the_others() -> None:
    good = write({"Event": event()})
    intake = read(b'{"response":[%s,{"Event":{"uuid":1}},7,%s]}' % (good, good))
    assert [draft.content for draft in intake.drafts] == [good]
    assert intake.summary.rejected == {"BAD_ID": 1, "DUPLICATE_ID": 1, "NOT_AN_OBJECT": 1}
    assert intake.summary.read == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"Event":', "BAD_JSON"),
        (b'{"Event":[]}', "NOT_AN_EVENT"),
        (b'{"name":"sector","values":[]}', "NOT_AN_EVENT"),
        (b"[1,2", "BAD_JSON"),
        (b'{"Event":{"info":"a","info":"b"}}', "BAD_JSON"),
        (b'{"Event":{},"Event":{}}', "BAD_JSON"),
        (b'{"response":[],"response":[{"Event":{}}]}', "BAD_JSON"),
        (b"\xef\xbb\xbf" + write({"Event": event()}), "NOT_AN_EVENT"),
        (write({"Event": event(Attribute={"0": attribute(1)})}), "NOT_A_LIST"),
        (write({"Event": event(Object=None)}), "NOT_A_LIST"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(content: bytes, reason: str) -> None:
    intake = read(content)
    assert not intake.drafts
    assert intake.summary.rejected == {reason: 1}


def test_a_second_list_of_attributes_under_an_escaped_name_is_refused() -> None:
    content = write({"Event": event(Attribute=[], Attribut_=[attribute(1)])}).replace(b"Attribut_", b"Attribut\\u0065")
    assert read(content).summary.rejected == {"BAD_JSON": 1}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (write({"Event": event()}), "misp"),
        (write({"response": [{"Event": event()}]}), "misp"),
        (write(event(Attribute=[attribute(n) for n in range(90)], threat_level_id="2")), "misp"),
        (b'{"type":"bundle","objects":[]}', None),
        (b'MMSI "Event": {', None),
    ],
)
def test_an_event_is_told_by_its_beginning_or_end(content: bytes, found: str | None) -> None:
    assert misp.sniff(content) == found


# --- one event ---


def test_an_event_becomes_a_draft_with_its_times_and_its_name() -> None:
    draft = draft_of(info="Operation\n Lantern " + "x" * 200)
    assert (draft.kind, draft.media_type) == ("cyber.event", "application/vnd.misp+json")
    assert draft.kind in shipped_kinds()
    assert draft.media_type == shipped_kinds()[draft.kind].media_type
    assert draft.observed_ms == parse_utc("2026-11-20T00:00:00Z")
    assert draft.external_id == uuid(0)
    assert draft.title.startswith("Operation Lantern xx")
    assert len(draft.title) == 80


def test_an_event_lasts_from_its_date_until_its_last_change() -> None:
    changed_ms = parse_utc("2026-11-22T10:00:00Z")
    for stated in (changed_ms // 1000, str(changed_ms // 1000)):
        assert draft_of(timestamp=stated).until_ms == changed_ms
    assert draft_of(timestamp="1").until_ms == parse_utc("2026-11-20T00:00:00Z")
    assert draft_of(date=None, timestamp=changed_ms // 1000).observed_ms == changed_ms


def test_a_date_that_has_begun_only_in_the_east_is_not_in_the_future() -> None:
    late_ms = parse_utc("2026-11-23T16:00:00Z")
    (draft,) = misp.read_event(write(event(date="2026-11-24")), received_ms=late_ms).drafts
    assert draft.observed_ms <= draft.until_ms <= late_ms
    assert read(write(event(date="2026-11-25"))).summary.rejected == {"FUTURE_TIME": 1}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"uuid": "5a3c2fcd"}, "BAD_ID"),
        ({"uuid": uuid(0) + "\n"}, "BAD_ID"),
        ({"uuid": None}, "BAD_ID"),
        ({"info": None}, "MISSING_PROPERTY"),
        ({"date": "2026-02-30"}, "BAD_TIME"),
        ({"date": "20.11.2026"}, "BAD_TIME"),
        ({"date": "1969-12-31"}, "BAD_TIME"),
        ({"date": None, "timestamp": None}, "BAD_TIME"),
        ({"timestamp": "yesterday"}, "BAD_TIME"),
        ({"timestamp": True}, "BAD_TIME"),
        ({"timestamp": -1}, "BAD_TIME"),
        ({"timestamp": NOW_MS // 1000 + 3600}, "FUTURE_TIME"),
        ({"timestamp": NOW_MS}, "FUTURE_TIME"),  # milliseconds where seconds belong
        ({"distribution": "5"}, "BAD_DISTRIBUTION"),
        ({"distribution": 6}, "BAD_DISTRIBUTION"),
        ({"distribution": True}, "BAD_DISTRIBUTION"),
        ({"distribution": "all"}, "BAD_DISTRIBUTION"),
        ({"Tag": "tlp:red"}, "BAD_TAG"),
        ({"Tag": [{"colour": "#fff"}]}, "BAD_TAG"),
        ({"Tag": tags("tlp:" + "x" * 300)}, "BAD_TAG"),
        ({"info": "spoo\u202ef"}, "BAD_JSON"),
    ],
)
def test_a_bad_event_is_refused_with_a_reason(members: Json, reason: str) -> None:
    intake = read(write({"Event": event(**members)}))
    assert not intake.drafts
    assert intake.summary.rejected == {reason: 1}


# --- distribution ---


@pytest.mark.parametrize("number", [0, "0"])
def test_your_organisation_only_never_leaves(number: object) -> None:
    assert NEVER in draft_of(distribution=number).handling.categories


@pytest.mark.parametrize("number", [1, "1", 2, "2", 3, "3"])
def test_communities_of_the_source_restrict_nothing_here(number: object) -> None:
    draft = draft_of(distribution=number)
    assert draft.handling == Handling(categories=(Category(misp.DISTRIBUTION, "informative", (str(number),)),))


@pytest.mark.parametrize("number", [4, "4"])
def test_a_sharing_group_is_a_caveat_that_a_grant_must_name(number: object) -> None:
    group = {"uuid": uuid(77), "name": "Lantern partners"}
    named = draft_of(distribution=number, sharing_group_id="7", SharingGroup=group)
    assert caveats(named.handling) == (f"MISP-SHARING-GROUP:{uuid(77)}",)
    numbered = draft_of(distribution=number, sharing_group_id=7)
    assert caveats(numbered.handling) == ("MISP-SHARING-GROUP:7",)


@pytest.mark.parametrize("group", [{}, {"sharing_group_id": "0"}, {"SharingGroup": {"uuid": "x"}}])
def test_a_sharing_group_that_nobody_can_tell_still_restricts(group: Json) -> None:
    assert caveats(draft_of(distribution=4, **group).handling) == ("MISP-SHARING-GROUP:UNSTATED",)


def test_a_public_feed_states_no_distribution() -> None:
    assert draft_of(distribution=None).handling == Handling()


def test_what_is_stricter_than_the_event_is_a_portion() -> None:
    inner = attribute(4, distribution=4, sharing_group_id="2")
    draft = draft_of(
        Attribute=[attribute(1), attribute(2, distribution="0"), attribute(5, distribution="1")],
        Object=[an_object(3, inner, distribution=0)],
    )
    assert portions(draft) == {
        f"Event.Attribute[{uuid(2)}]": Handling(categories=(NEVER,)),
        f"Event.Object[{uuid(3)}]": Handling(categories=(NEVER,)),
        f"Event.Object[{uuid(3)}].Attribute[{uuid(4)}]": Handling(
            categories=(Category(misp.SHARING_GROUP, "restrictive", ("2",)),)
        ),
    }
    assert NEVER not in draft.handling.categories


def test_an_attribute_is_no_portion_where_the_event_is_as_strict() -> None:
    assert not draft_of(distribution=0, Attribute=[attribute(1, distribution=0)]).portions


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("EventReport", [{"uuid": uuid(5), "distribution": "0"}]),
        ("RelatedEvent", [{"Event": {"distribution": 0}}]),
        ("Galaxy", [{"GalaxyCluster": [{"Tag": tags("tlp:red")}]}]),
        ("Galaxy", [{"GalaxyCluster": [{"distribution": "some"}]}]),
    ],
)
def test_whatever_else_states_more_is_held_back_with_its_member(member: str, value: object) -> None:
    assert list(portions(draft_of(**{member: value}))) == [f"Event.{member}"]


def test_too_many_portions_for_a_label_make_the_whole_as_strict() -> None:
    many = [attribute(n, distribution="0") for n in range(1, BOUNDS.label_portions + 2)]
    draft = draft_of(Attribute=many)
    assert not draft.portions
    assert NEVER in draft.handling.categories


# --- tags ---


@pytest.mark.parametrize(
    ("names", "tlp"),
    [
        (["tlp:white"], "CLEAR"),
        (["TLP:AMBER"], "AMBER"),
        (["tlp:amber+strict", "tlp:amber"], "AMBER+STRICT"),
        (["tlp:green", "tlp:red", "tlp:clear"], "RED"),
        (['misp-galaxy:tool="tlp"', "type:osint"], ""),
    ],
)
def test_the_highest_of_several_colours_counts(names: list[str], tlp: str) -> None:
    draft = draft_of(Tag=tags(*names))
    assert draft.handling.tlp == tlp
    assert caveats(draft.handling) == ()


@pytest.mark.parametrize("name", ["tlp:ex:chr", "tlp:unclear", "TLP RED", "tlp", " tlp : purple", "tlp-amber"])
def test_a_colour_that_is_none_restricts(name: str) -> None:
    assert caveats(draft_of(Tag=tags(name)).handling)


def test_tags_count_also_where_each_is_in_a_link_of_its_own() -> None:
    links = [{"Tag": {"name": "tlp:amber"}}]
    assert draft_of(EventTag=links).handling.tlp == "AMBER"
    draft = draft_of(Attribute=[attribute(1, AttributeTag=links)])
    assert portions(draft)[f"Event.Attribute[{uuid(1)}]"].tlp == "AMBER"


def test_a_colour_on_an_attribute_is_a_portion_only_above_that_of_the_event() -> None:
    draft = draft_of(
        Tag=tags("tlp:green"),
        Attribute=[attribute(1, Tag=tags("tlp:red")), attribute(2, Tag=tags("tlp:clear", "kill-chain:Delivery"))],
    )
    assert portions(draft) == {f"Event.Attribute[{uuid(1)}]": Handling(tlp="RED")}


def test_pap_is_told_and_restricts_nothing() -> None:
    draft = draft_of(Tag=tags("PAP:amber"), Attribute=[attribute(1, Tag=tags("PAP:RED"))])
    assert draft.handling.values(misp.PAP, "informative") == ("AMBER",)
    assert (caveats(draft.handling), draft.portions) == ((), ())


# --- attributes and objects ---

BAD_ATTRIBUTES = [
    (b'{"uuid":"a","uuid":"b"}', "BAD_JSON"),
    (b"[]", "NOT_AN_OBJECT"),
    (write(attribute(7, uuid="7")), "BAD_ID"),
    (write(attribute(7, uuid=None)), "BAD_ID"),
    (write(attribute(1)), "DUPLICATE_ID"),
    (write(attribute(1, uuid=uuid(1).upper())), "DUPLICATE_ID"),
    (write(attribute(7, type="")), "MISSING_PROPERTY"),
    (write(attribute(7, value=None)), "MISSING_PROPERTY"),
    (write(attribute(7, value={"a": 1})), "BAD_VALUE"),
    (write(attribute(7, timestamp="9999999999")), "FUTURE_TIME"),
    (write(attribute(7, timestamp="soon")), "BAD_TIME"),
    (write(attribute(7, distribution="6")), "BAD_DISTRIBUTION"),
    (write(attribute(7, Tag=[7])), "BAD_TAG"),
    (write(attribute(7, value="x" * BOUNDS.record_bytes)), "TOO_LARGE"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_ATTRIBUTES, ids=[reason for _, reason in BAD_ATTRIBUTES])
def test_a_bad_attribute_goes_and_its_neighbours_stay_byte_for_byte(bad: bytes, reason: str) -> None:
    good, last = write(attribute(1)), write(attribute(2))
    form = b'{"Event": {"Attribute" : [%s], ' + write(event())[1:] + b"}"
    intake = read(form % b", ".join([good, bad, last]))
    assert intake.drafts[0].content == form % b",".join([good, last])
    assert intake.summary.rejected == {reason: 1}
    assert intake.summary.remarked == {"REBUILT": 1}
    assert (intake.summary.read, intake.summary.accepted) == (4, 3)
    assert intake.summary.rejects[0].where == "event 0 attribute 1"


def test_a_bad_attribute_of_an_object_leaves_the_object() -> None:
    content = write({"Event": event(Object=[an_object(3, attribute(1), attribute(4, value="")), an_object(5)])})
    intake = read(content)
    (kept, other) = json.loads(intake.drafts[0].content)["Event"]["Object"]
    assert kept == an_object(3, attribute(1))
    assert other == an_object(5)
    assert intake.summary.rejects[0].where == "event 0 object 0 attribute 1"
    assert (intake.summary.accepted, intake.summary.rejected) == (4, {"MISSING_PROPERTY": 1})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (an_object(3, uuid="x"), "BAD_ID"),
        (an_object(1), "DUPLICATE_ID"),
        (an_object(3) | {"Attribute": {}}, "NOT_A_LIST"),
        (an_object(3, distribution=9), "BAD_DISTRIBUTION"),
    ],
)
def test_a_bad_object_goes_with_all_that_is_in_it(bad: Json, reason: str) -> None:
    intake = read(write({"Event": event(Attribute=[attribute(1)], Object=[bad, an_object(5, attribute(6))])}))
    after = json.loads(intake.drafts[0].content)["Event"]
    assert after["Object"] == [an_object(5, attribute(6))]
    assert after["Attribute"] == [attribute(1)]
    assert intake.summary.rejected == {reason: 1}


def test_the_same_uuid_in_two_objects_is_refused_the_second_time() -> None:
    intake = read(write({"Event": event(Object=[an_object(3, attribute(1)), an_object(4, attribute(1))])}))
    assert [len(each["Attribute"]) for each in json.loads(intake.drafts[0].content)["Event"]["Object"]] == [1, 0]
    assert intake.summary.rejected == {"DUPLICATE_ID": 1}


@pytest.mark.parametrize("deleted", [True, 1, "1"])
def test_what_the_source_deleted_is_not_spread_again(deleted: object) -> None:
    gone = an_object(3, attribute(4), deleted=deleted)
    intake = read(write({"Event": event(Attribute=[attribute(1, deleted=deleted), attribute(2)], Object=[gone])}))
    after = json.loads(intake.drafts[0].content)["Event"]
    assert (after["Attribute"], after["Object"]) == ([attribute(2)], [])
    assert intake.summary.ignored == {"DELETED": 2}
    assert intake.summary.remarked == {"REBUILT": 1}


def test_an_event_over_the_bound_of_attributes_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misp, "BOUNDS", replace(BOUNDS, misp_attributes=3))
    flat = [attribute(n) for n in range(1, 5)]
    assert read(write({"Event": event(Attribute=flat[:3])})).drafts
    assert read(write({"Event": event(Attribute=flat)})).summary.rejected == {"TOO_MANY_ATTRIBUTES": 1}
    nested = [an_object(9, *flat[:3])]
    assert read(write({"Event": event(Object=nested)})).summary.rejected == {"TOO_MANY_ATTRIBUTES": 1}


def test_a_file_over_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misp, "BOUNDS", replace(BOUNDS, content_bytes=100))
    assert read(write({"Event": event()})).summary.rejected == {"TOO_LARGE": 1}


# --- with what releases it ---


def reduced(draft: Draft, selectors: frozenset[str]) -> bytes:
    kind = shipped_kinds()[draft.kind]
    cut = Cut(kind=kind, view="full", precision_m=0, remove=frozenset(), portions=selectors, regions=())
    content = reduce_event(draft.content, cut).content
    check(draft.content, content, cut)
    return content


def test_rendering_takes_out_what_each_selector_names() -> None:
    inner = attribute(4, distribution=0, value="inner.example")
    draft = draft_of(
        Attribute=[attribute(1), attribute(2, distribution="0")],
        Object=[an_object(3, inner, attribute(6)), an_object(5, attribute(7), Tag=tags("tlp:red"), name="lantern")],
        RelatedEvent=[{"Event": {"uuid": uuid(9), "distribution": "0"}}],
    )
    assert len(draft.portions) == 4
    left = json.loads(reduced(draft, frozenset(portions(draft))))["Event"]
    assert [each["uuid"] for each in left["Attribute"]] == [uuid(1)]
    assert left["Object"] == [an_object(3, attribute(6))]
    assert "RelatedEvent" not in left


@st.composite
def events(draw: st.DrawFn) -> Json:
    """Events of attributes and objects with any distribution and colour."""
    levels = st.sampled_from([0, "0", 1, "2", "3", "5", None])
    colours = st.lists(st.sampled_from(["tlp:red", "tlp:amber", "tlp:clear", "PAP:RED", "osint"]), max_size=2)
    numbers = iter(range(1, 100))

    def element(**members: Any) -> Json:
        return attribute(next(numbers), distribution=draw(levels), Tag=tags(*draw(colours)), **members)

    flat = [element() for _ in range(draw(st.integers(0, 4)))]
    objects = [
        an_object(next(numbers), *(element() for _ in range(draw(st.integers(0, 3)))), distribution=draw(levels))
        for _ in range(draw(st.integers(0, 3)))
    ]
    whole = draw(st.sampled_from([1, "2", 3]))
    return event(Attribute=flat, Object=objects, Tag=tags(*draw(colours)), distribution=whole)


@given(events())
@settings(max_examples=60, deadline=None)
def test_no_label_is_weaker_than_any_element_states(content: Json) -> None:
    (draft,) = read(write({"Event": content})).drafts
    label = Label(handling=draft.handling, originators=("JPN",), portions=draft.portions)
    flat = content["Attribute"]
    elements = [*flat, *content["Object"], *(each for one in content["Object"] for each in one["Attribute"])]
    never = any(each["distribution"] in (0, "0") for each in elements)
    assert (NEVER in overall(label).categories) == never
    names = {tag["name"] for each in (content, *elements) for tag in each.get("Tag", [])}
    highest = next((each for each in ("RED", "AMBER", "CLEAR") if f"tlp:{each.lower()}" in names), "")
    assert overall(label).tlp == highest
    named = {portion.selector for portion in draft.portions if NEVER in portion.handling.categories}
    assert {f"Event.Attribute[{each['uuid']}]" for each in flat if each["distribution"] in (0, "0")} <= named


@given(st.binary(max_size=80), st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_no_bytes_break_the_reader_or_its_count(noise: bytes, at: int) -> None:
    whole = write({"Event": event(Attribute=[attribute(1)], Object=[an_object(2, attribute(3))])})
    summary = read(whole[:at] + noise + whole[at:]).summary
    assert summary.read == summary.accepted + sum(summary.ignored.values()) + sum(summary.rejected.values())
    assert summary.read


# --- events as they were published ---


@pytest.mark.parametrize(
    ("name", "records", "number", "titled"),
    [
        ("eset-gelsemium.json.gz", 155, "3", "Gelsemium"),
        ("eset-invisimole.json.gz", 320, "1", "InvisiMole"),
        ("eset-powerpool.json.gz", 19, "0", "PowerPool"),
    ],
)
def test_published_events_are_read_whole_or_say_what_is_not(name: str, records: int, number: str, titled: str) -> None:
    intake = read(shipped(name))
    (draft,) = intake.drafts
    assert intake.summary.read == records
    assert draft.handling.values(misp.DISTRIBUTION, "informative") == (number,)
    assert (NEVER in draft.handling.categories) == (number == "0")
    assert titled in draft.title
    assert intake.summary.accepted == records - sum(intake.summary.rejected.values())
    assert msgspec.json.decode(draft.content)["Event"]["uuid"] == draft.external_id


def test_each_attribute_of_a_published_event_can_be_taken_out() -> None:
    (draft,) = read(shipped("eset-gelsemium.json.gz")).drafts
    for each in json.loads(draft.content)["Event"]["Attribute"][:20]:
        assert each["uuid"].encode() not in reduced(draft, frozenset({f"Event.Attribute[{each['uuid']}]"}))
