"""Renditions: what is taken out is gone from the bytes, in every shape and view."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from relto.agreements.terms import Region
from relto.bounds import BOUNDS
from relto.columns import read_table, write_table
from relto.item import Duties, Place, View, new_item
from relto.kinds.spec import shipped_kinds
from relto.labels import Handling, Label, Marking, handling
from relto.release.decide import Decision, ItemDecision
from relto.release.render import Rendition, render

pytestmark = pytest.mark.pure

KINDS = shipped_kinds()
POINT = Place(123_456_789, 1_204_567_891, 123_456_789, 1_204_567_891)
UUIDS = [f"{n}1111111-1111-4111-8111-111111111111" for n in range(3)]


def rendered(kind: str, content: bytes, view: View, precision_m: int = 0, **changes: Any) -> Rendition:
    place, portions = changes.pop("place", POINT), changes.pop("portions", ())
    item = new_item(id="0" * 32, kind=kind, origin="JPN", observed_ms=0, label=Label(Handling(), ("JPN",)),
                    content=content, media_type=KINDS[kind].media_type, place=place)  # fmt: skip
    plain: dict[str, Any] = {"reasons": (), "rules": (), "agreements": (), "remove": (), "regions": ()}
    decision = Decision(view=view, duties=Duties(precision_m), policy_sha256="", **plain | changes)
    return render(item, ItemDecision(decision, portions), KINDS[kind])


FEATURE = {
    "type": "Feature", "id": "rf-1", "bbox": [120.4567891, 12.3456789, 120.4567891, 12.3456789],
    "geometry": {"type": "Point", "coordinates": [120.4567891, 12.3456789]}, "unheard_of": {},
    "properties": {"sensor": "rf", "observed": "2026-10-20T03:04:05Z", "rf": {"pulse": {"prf": 1980}},
                   "remarks": "seen at 12.3456789 120.4567891", "odd": "zebra"},
}  # fmt: skip
RECORD = json.dumps(FEATURE).encode()


@pytest.mark.parametrize("view", ["notice", "summary", "detail"])
@pytest.mark.parametrize("precision_m", [0, 1000])
def test_a_reduced_record_holds_nothing_over_its_view(view: View, precision_m: int) -> None:
    found = rendered("maritime.detection", RECORD, view, precision_m)
    assert not found.decision.withheld
    for gone in (b"unheard_of", b"odd", b"zebra", b"pulse", b"1980", b"bbox"):
        assert gone not in found.content
    if precision_m:
        assert b"12.345" not in found.content and b"remarks" not in found.content
        assert found.place != POINT


def test_the_holders_marks_are_added_to_the_label_and_take_nothing_away() -> None:
    mark = Marking("USA", "CONFIDENTIAL", "CONFIDENTIAL")
    assert rendered("maritime.detection", RECORD, "full").label == Label(Handling(), ("JPN",))
    marked = rendered("maritime.detection", RECORD, "full", marks=(mark,))
    assert marked.label == Label(Handling(markings=(mark,)), ("JPN",))
    assert marked.content == RECORD


def test_a_label_that_has_no_room_for_the_mark_stays() -> None:
    full = handling(markings=tuple(Marking("JPN", f"L{n}", "L") for n in range(BOUNDS.label_values)))
    item = new_item(id="0" * 32, kind="maritime.detection", origin="JPN", observed_ms=0, content=RECORD,
                    label=Label(full, ("JPN",)), media_type="application/geo+json", place=POINT)  # fmt: skip
    decision = Decision("full", Duties(), (), (), (), (), (), "", marks=(Marking("USA", "C", "C"),))
    answer = render(item, ItemDecision(decision, ()), KINDS["maritime.detection"])
    assert answer.decision.reasons == ("RENDER_CHECK_FAILED",)


def test_unknown_fields_leave_in_the_full_exact_view_only() -> None:
    assert rendered("maritime.detection", RECORD, "full").content == RECORD
    coarse = rendered("maritime.detection", RECORD, "full", 1000).content
    assert b"unheard_of" not in coarse and b"zebra" not in coarse and b"1980" in coarse


def test_a_removed_geometry_takes_the_place_of_the_header_with_it() -> None:
    found = rendered("maritime.detection", RECORD, "detail", remove=("geometry", "properties.remarks"))
    assert not found.decision.withheld and found.place is None and b"12.345" not in found.content


@pytest.mark.parametrize("content", [b"[]", b"[" * 50_000, b'{"geometry":{"type":"Point","coordinates":[1,1e400]}}'])
def test_what_cannot_be_rendered_is_withheld_and_raises_nothing(content: bytes) -> None:
    assert rendered("maritime.detection", content, "full", 1000).decision.withheld
    assert rendered("cyber.event", content, "detail", portions=("x",)).decision.withheld


TABLE = pa.table({
    "mmsi": [5, 4], "observed_ms": [3_600_001, 3_700_000], "lat_e7": [123_456_789, 123_456_788],
    "lon_e7": [1_204_567_891, 1_204_567_890], "name": ["SECRETSHIP", "OTHERSHIP"], "odd": [1, 2],
})  # fmt: skip


def test_notice_rows_carry_no_identity_and_no_order() -> None:
    first = rendered("maritime.positions", write_table(TABLE), "notice")
    other = rendered("maritime.positions", write_table(TABLE.take([1, 0])), "notice")
    assert first.content == other.content and b"SECRETSHIP" not in first.content
    rows = read_table(first.content).to_pylist()
    assert len(rows) == 1 and rows[0].keys() == {"observed_ms", "lat_e7", "lon_e7"}


def test_rows_outside_the_regions_are_cut_and_none_left_withholds() -> None:
    inside = Region("IN", (Place(123_456_789, 1_204_567_891, 130_000_000, 1_300_000_000),))
    found = rendered("maritime.positions", write_table(TABLE), "full", regions=(inside,))
    assert read_table(found.content)["mmsi"].to_pylist() == [5] and "REGION_CLIPPED" in found.decision.reasons
    nowhere = Region("OUT", (Place(0, 0, 1, 1),))
    left = rendered("maritime.positions", write_table(TABLE), "full", regions=(nowhere,))
    assert left.decision.withheld and left.decision.reasons == ("REGION_NOT_COVERED",) and not left.content


@pytest.mark.parametrize("precision_m", [0, 1000])
def test_half_a_position_goes_with_the_other_half(precision_m: int) -> None:
    found = rendered("maritime.positions", write_table(TABLE), "full", precision_m, remove=("lat_e7",))
    assert not {"lat_e7", "lon_e7"} & {*read_table(found.content).column_names} and found.place is None


@pytest.mark.parametrize("view", ["full", "detail", "summary"])
def test_a_removed_misp_attribute_is_mentioned_nowhere(view: View) -> None:
    gone = {"uuid": UUIDS[0], "type": "filename|md5", "value": "evil.exe|" + "a" * 32}
    stays = {"uuid": UUIDS[1], "type": "ip-dst", "value": "192.0.2.1", "comment": "drops EVIL.EXE"}
    event = {"Event": {"uuid": UUIDS[2], "info": "x", "Attribute": [gone, stays]}}
    portion = f"Event.Attribute[{UUIDS[0]}]"
    found = rendered("cyber.event", json.dumps(event).encode(), view, place=None, portions=(portion,))
    assert b"192.0.2.1" in found.content and b"evil" not in found.content.lower() and b"aaaa" not in found.content


@pytest.mark.parametrize("view", ["full", "detail", "summary", "notice"])
def test_a_removed_stix_object_is_mentioned_nowhere(view: View) -> None:
    when = "2026-11-01T00:00:00.000Z"
    common = {"spec_version": "2.1", "created": when, "modified": when}
    victim = {"type": "identity", "id": f"identity--{UUIDS[0]}", "name": "Quiet Harbour", **common}
    stays = {"type": "vulnerability", "id": f"vulnerability--{UUIDS[1]}", "name": "CVE-2026-1",
             "description": "Hit quiet harbour.", "created_by_ref": victim["id"], **common}  # fmt: skip
    content = json.dumps({"type": "bundle", "id": f"bundle--{UUIDS[2]}", "objects": [victim, stays]}).encode()
    found = rendered("cyber.bundle", content, view, place=None, portions=(f"objects[{victim['id']}]",))
    assert b"CVE-2026-1" in found.content
    assert b"harbour" not in found.content.lower() and UUIDS[0].encode() not in found.content
