"""Contents that arrive from a peer: whether they are of their kind's form at all, and a short title for lists."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from relto.columns import read_table
from relto.errors import MalformedError
from relto.formats import alert, positions
from relto.formats.draft import short
from relto.item import Header
from relto.kinds.spec import Shape
from relto.strict import parse_json


def check_content(header: Header, content: bytes, shape: Shape) -> None:
    """Refuse a content that no reader of its kind could take, in whatever view it came.

    Raises:
        MalformedError, TooLargeError: not strict JSON with an object on top, or not a batch of its kind's columns.
    """
    if shape == "opaque":
        return
    if shape == "columns":
        positions.read(content, header.kind, partial=True)
        return
    record = parse_json(content, header.kind)
    objects = record.get("objects") if isinstance(record, dict) else None
    if not isinstance(record, dict) or (shape == "stix" and not isinstance(objects, list)):
        raise MalformedError("is no record of its kind.", field=header.kind, remedy="Tell the peer.")


def title(header: Header, content: bytes) -> str:
    """A title of at most a line; what cannot be told is the kind's name."""
    try:
        return short(_told(header, content)) or header.kind
    except (AttributeError, KeyError, TypeError, ValueError):
        return header.kind


def _told(header: Header, content: bytes) -> str:
    if header.media_type.startswith("application/vnd.apache.parquet"):
        table = read_table(content)
        noun = header.kind.partition(".")[2]
        vessels = f" of {len(table['mmsi'].unique()):,} vessels" if "mmsi" in table.column_names else ""
        return f"{table.num_rows:,} {noun}{vessels}"
    titled = _TITLES.get(header.kind)
    return titled(json.loads(content)) if titled else ""


def _detection(record: dict[str, Any]) -> str:
    properties = record.get("properties") or {}
    parts = [str(properties.get("sensor", "")).upper()]
    parts += [f"{properties['rf']['band']} band"] if properties.get("rf", {}).get("band") else []
    parts += [f"{properties['length_m']:g} m"] if properties.get("length_m") is not None else []
    return " ".join(parts)


def _track(record: dict[str, Any]) -> str:
    properties = record.get("properties") or {}
    return f"{properties.get('class', '')} {properties.get('track', '')}"


def _alert(record: dict[str, Any]) -> str:
    return alert.title(record.get("properties") or {})


def _bundle(record: dict[str, Any]) -> str:
    counts = Counter(str(each.get("type")) for each in record.get("objects", []))
    counts.pop("marking-definition", None)
    return ", ".join(f"{number} {name}" for name, number in counts.most_common(3))


def _event(record: dict[str, Any]) -> str:
    return str(record.get("Event", record).get("info", ""))


def _vulnerability(record: dict[str, Any]) -> str:
    return f"{record.get('cveID', '')} {record.get('vulnerabilityName', '')}"


def _scene(record: dict[str, Any]) -> str:
    return f"{record.get('name', '')} ({record.get('size', 0):,} bytes)"


_TITLES = {
    "geospatial.scene": _scene,
    "maritime.detection": _detection,
    "maritime.warning": _alert,
    "maritime.distress": _alert,
    "military.track": _track,
    "cyber.bundle": _bundle,
    "cyber.event": _event,
    "cyber.vulnerability": _vulnerability,
}
