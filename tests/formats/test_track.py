"""Tracks: one record a Feature, as it came, with its subjects; a bad one costs its neighbours nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relto.clock import parse_utc
from relto.feeds import files
from relto.formats import track
from relto.formats.arriving import title
from relto.item import Place, new_item
from relto.kinds.spec import shipped_kinds
from relto.labels import Handling, Label

pytestmark = pytest.mark.pure

NOW_MS = parse_utc("2026-11-23T09:00:00Z")
Json = dict[str, Any]


def feature(**changed: Any) -> Json:
    properties = {
        "track": "K1",
        "class": "ballistic-missile",
        "observed": "2026-11-23T08:59:00Z",
        "launched": "2026-11-23T08:57:30Z",
        "subjects": ["DPRK-MISSILE"],
        "phase": "boost",
        "speed_mps": 1800.5,
        "altitude_m": 64000,
        "course_deg": 91,
    } | changed
    point = {"type": "Point", "coordinates": [129.1234567, 40.5]}
    return {"type": "Feature", "id": "k1", "geometry": point, "properties": properties}


def refusals(*features: Json) -> dict[str, int]:
    content = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    return dict(track.read_geojson(content, received_ms=NOW_MS).summary.rejected)


def test_a_track_is_a_record_of_its_own_bytes_with_its_subjects() -> None:
    content = json.dumps(feature(), indent=2).encode()
    assert files.sniff(content) == "track"
    (draft,) = files.read(content, "k1.geojson", received_ms=NOW_MS).drafts
    assert (draft.kind, draft.content, draft.subjects) == ("military.track", content, ("DPRK-MISSILE",))
    assert draft.place == Place(405000000, 1291234567, 405000000, 1291234567)
    assert draft.observed_ms == parse_utc("2026-11-23T08:59:00Z")
    assert (draft.title, draft.external_id) == ("ballistic-missile K1", "k1")
    assert shipped_kinds()[draft.kind].media_type == draft.media_type


def test_one_that_arrives_has_the_same_title() -> None:
    content = json.dumps(feature()).encode()
    label = Label(Handling(), ("KOR",))
    made = new_item(
        id="0" * 32, kind=track.KIND, origin="KOR", observed_ms=0, label=label, content=content, media_type="a/b"
    )
    assert title(made.header, content) == "ballistic-missile K1"


def test_no_field_of_the_kind_is_person_data_and_every_field_of_the_reader_is_named() -> None:
    kind = shipped_kinds()[track.KIND]
    assert kind.paths("person") == ()
    named = {field.path for field in kind.fields}
    assert {f"properties.{name}" for name in feature()["properties"]} <= named


def test_detections_are_still_read_as_detections() -> None:
    properties = {"sensor": "viirs", "observed": "2026-11-23T08:59:00Z"}
    assert files.sniff(json.dumps(feature() | {"properties": properties}).encode()) == "geojson"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"track": ""}, "TRACK_MISSING"),
        ({"track": 7}, "PROPERTY_INVALID"),
        ({"class": "balloon"}, "CLASS_UNKNOWN"),
        ({"class": None}, "CLASS_UNKNOWN"),
        ({"phase": "cruise"}, "PHASE_UNKNOWN"),
        ({"phase": ["boost"]}, "PHASE_UNKNOWN"),
        ({"speed_mps": -1}, "PROPERTY_INVALID"),
        ({"speed_mps": True}, "PROPERTY_INVALID"),
        ({"confidence": 1.1}, "PROPERTY_INVALID"),
        ({"exercise": "yes"}, "PROPERTY_INVALID"),
        ({"observed": "yesterday"}, "BAD_TIME"),
        ({"observed": "2026-11-23T09:11:00Z"}, "FUTURE_TIME"),
        ({"launched": "2026-11-23T08:59:01Z"}, "BAD_TIME"),
        ({"launched": 5}, "BAD_TIME"),
        ({"subjects": "DPRK-MISSILE"}, "BAD_SUBJECT"),
        ({"subjects": [1]}, "BAD_SUBJECT"),
        ({"subjects": ["A" * 257]}, "BAD_SUBJECT"),
        ({"subjects": ["A"] * 33}, "BAD_SUBJECT"),
        ({"marking": {"noforn": False}}, "BAD_MARKING"),
    ],
)
def test_a_bad_track_is_refused_and_its_neighbour_kept(changed: Json, code: str) -> None:
    good = feature() | {"id": "good"}
    assert refusals(feature(**changed), good) == {code: 1}


def test_other_forms_are_refused() -> None:
    assert refusals(feature() | {"geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}}) == {
        "NOT_A_POINT": 1
    }
    assert refusals(feature() | {"type": "Thing"}) == {"NOT_A_FEATURE": 1}
    assert refusals(feature(), feature()) == {"DUPLICATE_ID": 1}
    assert track.read_geojson(b"[", received_ms=NOW_MS).drafts == ()
