"""Warnings and distress: what they say is kept as it came, and what breaks a rule is refused by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relto.clock import parse_utc
from relto.feeds import files
from relto.formats import alert
from relto.kinds.spec import shipped_kinds

pytestmark = pytest.mark.pure

NOW_MS = parse_utc("2026-11-02T06:00:00Z")
WARNING = {"warning": "security", "observed": "2026-11-02T05:00:00Z", "text": "Small craft approach at night."}
DISTRESS = {
    "distress": "sinking",
    "observed": "2026-11-02T05:59:00Z",
    "vessel": {"name": "MV EXAMPLE", "mmsi": 431000001},
}


def feature(properties: dict[str, Any], **changes: Any) -> bytes:
    point = {"type": "Point", "coordinates": [120.5, 12.25]}
    return json.dumps({"type": "Feature", "geometry": point, "properties": properties} | changes).encode()


def test_both_are_told_from_their_bytes_and_kept_as_they_came() -> None:
    for properties, kind, title in (
        (WARNING, "maritime.warning", "security warning: Small craft approach at night."),
        (DISTRESS, "maritime.distress", "DISTRESS sinking MV EXAMPLE"),
    ):
        content = feature(properties)
        assert files.sniff(content) == "alert"
        (draft,) = files.read(content, "a.geojson", received_ms=NOW_MS).drafts
        assert (draft.kind, draft.content, draft.title) == (kind, content, title)
        assert draft.until_ms == draft.observed_ms  # a warning's end must not hold it back like a delay


def test_distress_goes_before_warnings_and_both_before_all_else() -> None:
    urgent = {name: kind.urgency for name, kind in shipped_kinds().by_name.items() if kind.urgency != "routine"}
    assert urgent == {"maritime.warning": "priority", "maritime.distress": "distress"}


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        (WARNING | {"warning": "rumour"}, "ALERT_UNKNOWN"),
        (DISTRESS | {"distress": "SINKING"}, "ALERT_UNKNOWN"),
        (DISTRESS | WARNING, "ALERT_UNKNOWN"),
        (WARNING | {"text": ""}, "TEXT_MISSING"),
        (WARNING | {"text": "x" * 4097}, "PROPERTY_INVALID"),
        (WARNING | {"until": "tomorrow"}, "BAD_TIME"),
        (WARNING | {"observed": "2027-11-02T05:00:00Z"}, "FUTURE_TIME"),
        (WARNING | {"radius_m": -1}, "PROPERTY_INVALID"),
        (DISTRESS | {"vessel": "MV EXAMPLE"}, "PROPERTY_INVALID"),
        (DISTRESS | {"vessel": {"mmsi": "431000001"}}, "PROPERTY_INVALID"),
        (DISTRESS | {"persons": True}, "PROPERTY_INVALID"),
        (DISTRESS | {"exercise": "yes"}, "PROPERTY_INVALID"),
        (DISTRESS | {"marking": {"noforn": False}}, "BAD_MARKING"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_its_neighbour_kept(properties: dict[str, Any], code: str) -> None:
    whole = b'{"type":"FeatureCollection","features":[' + feature(properties) + b"," + feature(DISTRESS) + b"]}"
    intake = alert.read_geojson(whole, received_ms=NOW_MS)
    assert intake.summary.rejected == {code: 1}
    assert [draft.kind for draft in intake.drafts] == ["maritime.distress"]


def test_a_detection_among_alerts_is_no_alert() -> None:
    both = b'{"type":"FeatureCollection","features":[' + feature({"sensor": "rf"}) + b"," + feature(WARNING) + b"]}"
    assert alert.read_geojson(both, received_ms=NOW_MS).summary.rejected == {"ALERT_UNKNOWN": 1}
