"""Military tracks: one GeoJSON Feature (RFC 7946) with a Point for the newest place of each track.

``properties`` hold ``track`` (the source's number or name of it), ``observed`` (RFC 3339, Z) and ``class`` (below);
further ``subjects`` (texts, such as ``DPRK-MISSILE``, which become those of the item), ``launched`` (RFC 3339, Z),
``phase`` (``boost``, ``midcourse``, ``terminal``), ``course_deg``, ``speed_mps``, ``altitude_m``, ``uncertainty_m``,
``confidence``, ``sensor``, ``remarks``, ``exercise`` and ``marking``. The last, positions and times are read as
those of detections (``relto.formats.detection``). A Feature keeps its own bytes.
"""

from __future__ import annotations

import re
from typing import Any

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.errors import MalformedError
from relto.formats import detection
from relto.formats.draft import Draft, Intake, settle, short
from relto.formats.rejects import Tally
from relto.formats.slices import RefusedError, read_object
from relto.strict import check_text

KIND = "military.track"
MEDIA_TYPE = "application/geo+json"
CLASSES = ("ballistic-missile", "cruise-missile", "space-launch", "aircraft", "unmanned", "surface", "submarine")
PHASES = ("boost", "midcourse", "terminal")

_RANGES = {
    "course_deg": (0, 360),
    "speed_mps": (0, 15_000),
    "altitude_m": (-500, 100_000_000),
    "uncertainty_m": (0, 40_075_017),
    "confidence": (0, 1),
}
_TEXTS = {"track": BOUNDS.text_chars, "sensor": BOUNDS.text_chars, "remarks": 4096}
_TRACK = re.compile(rb'"track"\s*:')
_FEATURE = re.compile(rb'"type"\s*:\s*"Feature(?:Collection)?"')

Json = dict[str, Any]


def sniff(content: bytes) -> str | None:
    """``"track"`` if the beginning looks like tracks."""
    head = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e")
    return "track" if head.startswith(b"{") and _FEATURE.search(head) and _TRACK.search(head) else None


def read_geojson(content: bytes, *, received_ms: int, source: str = "track") -> Intake:
    """Read a FeatureCollection, a Feature, or one Feature a line into a draft for each Feature.

    Neighbours of a bad Feature are kept. Reasons: those of ``detection.read_geojson`` without those of sensors and
    ellipses, and ``TRACK_MISSING``, ``CLASS_UNKNOWN``, ``PHASE_UNKNOWN``, ``BAD_SUBJECT``.
    """
    tally = Tally(source)
    try:
        features = detection.features_of(content)
    except RefusedError as refused:
        tally.reject("file", refused.code, refused.detail)
        return Intake((), tally.finish())
    return detection.intake_of(features, lambda each: _draft(each, received_ms), tally)


def _draft(content: bytes, received_ms: int) -> Draft:
    feature = read_object(content)
    properties = feature.get("properties")
    if feature.get("type") != "Feature" or not isinstance(properties, dict):
        raise RefusedError("NOT_A_FEATURE", "is no Feature with properties")
    place = detection.place_of(feature, content)
    observed_ms = detection.observed_ms_of(properties, received_ms)
    _check_properties(properties, observed_ms)
    base, parts = detection.marking_of(feature, properties)
    whole, portions = settle(base, parts)
    return Draft(
        kind=KIND,
        media_type=MEDIA_TYPE,
        content=content,
        observed_ms=observed_ms,
        until_ms=observed_ms,
        place=place,
        subjects=_subjects(properties),
        handling=whole,
        portions=portions,
        title=short(f"{properties['class']} {properties['track']}"),
        external_id=detection.identity_of(feature),
    )


def _check_properties(properties: Json, observed_ms: int) -> None:
    for name, limit_chars in _TEXTS.items():
        text = properties.get(name)
        if text is not None and not (isinstance(text, str) and len(text) <= limit_chars):
            raise RefusedError("PROPERTY_INVALID", f"{name} is no text of at most {limit_chars} characters")
    if not properties.get("track"):
        raise RefusedError("TRACK_MISSING", "names no track")
    if properties.get("class") not in CLASSES:
        raise RefusedError("CLASS_UNKNOWN", f"{str(properties.get('class'))[:40]!r} is none of {', '.join(CLASSES)}")
    if properties.get("phase", PHASES[0]) not in PHASES:
        raise RefusedError("PHASE_UNKNOWN", f"{str(properties['phase'])[:40]!r} is none of {', '.join(PHASES)}")
    for name, (low, high) in _RANGES.items():
        value = properties.get(name)
        if value is not None and not (detection.is_number(value) and low <= value <= high):
            raise RefusedError("PROPERTY_INVALID", f"{name} is no number from {low} to {high}")
    if not isinstance(properties.get("exercise", False), bool):
        raise RefusedError("PROPERTY_INVALID", "exercise is neither true nor false")
    _check_launched(properties.get("launched"), observed_ms)


def _check_launched(launched: Any, observed_ms: int) -> None:
    if launched is None:
        return
    try:
        launched_ms = parse_utc(launched if isinstance(launched, str) else "")
    except MalformedError as error:
        raise RefusedError("BAD_TIME", error.reason) from None
    if launched_ms > observed_ms:
        raise RefusedError("BAD_TIME", "was launched after it was observed")


def _subjects(properties: Json) -> tuple[str, ...]:
    """An agreement may let it go by these, so one that cannot be read refuses the record."""
    subjects = properties.get("subjects", [])
    if not isinstance(subjects, list) or len(subjects) > BOUNDS.subjects:
        raise RefusedError("BAD_SUBJECT", f"subjects is no list of at most {BOUNDS.subjects}")
    if not all(isinstance(each, str) and each.strip() for each in subjects):
        raise RefusedError("BAD_SUBJECT", "a subject is no text")
    try:
        return tuple(sorted({check_text(each, "subject") for each in subjects}))
    except MalformedError as error:
        raise RefusedError("BAD_SUBJECT", error.reason) from None
