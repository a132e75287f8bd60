"""Warnings and distress: one GeoJSON Feature (RFC 7946) with a Point each; both go ahead of everything routine.

A warning's ``properties`` hold ``warning`` (``navigational``, ``meteorological``, ``security``, ``search``),
``observed`` (RFC 3339, Z: when it was issued) and ``text``; further ``number`` (in its series), ``area`` (a name),
``radius_m`` around the Point, ``from`` and ``until`` (RFC 3339, Z). A distress's hold ``distress`` (its nature, the
words of ITU-R M.493-15, table A1-3, with hyphens) and ``observed``; further ``vessel`` (``name``, ``mmsi``,
``call_sign``), ``persons``, ``position_observed`` (RFC 3339, Z) and ``text``. Both may have ``source``, ``exercise``
and ``marking``, which is read as that of detections (``relto.formats.detection``), like positions and times. A Feature
keeps its own bytes. What is no longer so is withdrawn, or follows as a new version.
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

WARNING, DISTRESS = "maritime.warning", "maritime.distress"
MEDIA_TYPE = "application/geo+json"
WARNINGS = ("navigational", "meteorological", "security", "search")
NATURES = (
    "fire",
    "flooding",
    "collision",
    "grounding",
    "listing",
    "sinking",
    "disabled-and-adrift",
    "undesignated",
    "abandoning-ship",
    "piracy",
    "man-overboard",
    "epirb",
)

_TEXTS: dict[tuple[str, ...], int] = {
    ("text",): 4096,
    ("number",): BOUNDS.text_chars,
    ("area",): BOUNDS.text_chars,
    ("source",): BOUNDS.text_chars,
    ("vessel", "name"): BOUNDS.text_chars,
    ("vessel", "call_sign"): 16,
}
_RANGES: dict[tuple[str, ...], tuple[int, int]] = {
    ("radius_m",): (0, 20_037_508),
    ("persons",): (0, 20_000),
    ("vessel", "mmsi"): (0, 999_999_999),
}
_TIMES = ("from", "until", "position_observed")
_MARK = re.compile(rb'"(?:warning|distress)"\s*:')
_FEATURE = re.compile(rb'"type"\s*:\s*"Feature(?:Collection)?"')

Json = dict[str, Any]


def sniff(content: bytes) -> str | None:
    """``"alert"`` if the beginning looks like warnings or distress."""
    head = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e")
    return "alert" if head.startswith(b"{") and _FEATURE.search(head) and _MARK.search(head) else None


def read_geojson(content: bytes, *, received_ms: int, source: str = "alert") -> Intake:
    """Read a FeatureCollection, a Feature, or one Feature a line into a draft for each Feature.

    Neighbours of a bad Feature are kept. Reasons: those of ``detection.read_geojson`` without those of sensors and
    ellipses, and ``ALERT_UNKNOWN``, ``TEXT_MISSING``.
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
    kind = _kind(properties)
    place = detection.place_of(feature, content)
    observed_ms = detection.observed_ms_of(properties, received_ms)
    _check_properties(properties)
    base, parts = detection.marking_of(feature, properties)
    whole, portions = settle(base, parts)
    return Draft(
        kind=kind,
        media_type=MEDIA_TYPE,
        content=content,
        observed_ms=observed_ms,
        until_ms=observed_ms,
        place=place,
        handling=whole,
        portions=portions,
        title=title(properties),
        external_id=detection.identity_of(feature),
    )


def title(properties: Json) -> str:
    """One line for a list."""
    if "distress" in properties:
        vessel = properties.get("vessel") or {}
        return short(f"DISTRESS {properties['distress']} {vessel.get('name') or vessel.get('mmsi') or ''}".rstrip())
    return short(f"{properties.get('warning', '')} warning: {properties.get('text', '')}")


def _kind(properties: Json) -> str:
    for name, words, kind in (("distress", NATURES, DISTRESS), ("warning", WARNINGS, WARNING)):
        if name in properties:
            if properties[name] not in words:
                raise RefusedError("ALERT_UNKNOWN", f"{str(properties[name])[:40]!r} is none of {', '.join(words)}")
            if "distress" in properties and "warning" in properties:
                raise RefusedError("ALERT_UNKNOWN", "is both a warning and distress")
            if kind == WARNING and not properties.get("text"):
                raise RefusedError("TEXT_MISSING", "a warning without a text")
            return kind
    raise RefusedError("ALERT_UNKNOWN", "is neither a warning nor distress")


def _check_properties(properties: Json) -> None:
    for path, limit_chars in _TEXTS.items():
        text = _at(properties, path)
        if text is not None and not (isinstance(text, str) and len(text) <= limit_chars):
            raise RefusedError("PROPERTY_INVALID", f"{'.'.join(path)} is no text of at most {limit_chars} characters")
    for path, (low, high) in _RANGES.items():
        value = _at(properties, path)
        if value is not None and not (detection.is_number(value) and low <= value <= high):
            raise RefusedError("PROPERTY_INVALID", f"{'.'.join(path)} is no number from {low} to {high}")
    if not isinstance(properties.get("exercise", False), bool):
        raise RefusedError("PROPERTY_INVALID", "exercise is neither true nor false")
    for name in _TIMES:
        _check_time(name, properties.get(name))


def _check_time(name: str, text: Any) -> None:
    try:
        if text is not None:
            parse_utc(text if isinstance(text, str) else "")
    except MalformedError as error:
        raise RefusedError("BAD_TIME", f"{name}: {error.reason}") from None


def _at(properties: Json, path: tuple[str, ...]) -> Any:
    value: Any = properties
    for name in path:
        if value is not None and not isinstance(value, dict):
            raise RefusedError("PROPERTY_INVALID", f"{'.'.join(path[:-1])} is no object")
        value = None if value is None else value.get(name)
    return value
