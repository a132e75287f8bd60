"""Reducing MISP events: attributes and objects leave with every reference to them and every mention of their values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from relto.release.cut import Cut, Reduced
from relto.release.record import reduce_record, write_json

_TELLING_CHARS = 4  # shorter values stand in too many texts to be a mention


def reduce_event(content: bytes, cut: Cut) -> Reduced:
    """Reduce one event; counts that it states are made true again.

    Raises:
        NothingLeft: nothing of it is in the view.
    """
    reduced = reduce_record(content, cut)
    before, after = json.loads(content, parse_float=Decimal), json.loads(reduced.content, parse_float=Decimal)
    gone = _telling(before) - _telling(after)
    if not gone:
        return reduced
    clean = _scrub(after, gone)
    event = clean.get("Event", clean)
    if "attribute_count" in event:
        event["attribute_count"] = str(sum(1 for _ in _attributes(event)))
    return Reduced(write_json(clean), removed=True, clipped=reduced.clipped)


def _telling(record: Any) -> set[str]:
    """The uuids and values of all attributes and objects."""
    event = record.get("Event", record)
    elements = [*_attributes(event), *event.get("Object", [])]
    found = {
        str(each[name]).casefold() for each in elements for name in ("uuid", "value") if each.get(name) is not None
    }
    found |= {part for text in found for part in text.split("|")}  # filename|sha256 and its like
    return {text for text in found if len(text) >= _TELLING_CHARS}


def _attributes(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from event.get("Attribute", [])
    for each in event.get("Object", []):
        yield from each.get("Attribute", [])


def _scrub(value: Any, gone: set[str]) -> Any:
    """The value without elements that refer to what is gone and without texts that mention it."""
    if isinstance(value, dict):
        return {name: _scrub(each, gone) for name, each in value.items() if not _mentions(each, gone)}
    if isinstance(value, list):
        return [_scrub(each, gone) for each in value if not _mentions(each, gone) and not _refers(each, gone)]
    return value


def _mentions(value: Any, gone: set[str]) -> bool:
    return isinstance(value, str) and any(text in value.casefold() for text in gone)


def _refers(value: Any, gone: set[str]) -> bool:
    return isinstance(value, dict) and str(value.get("referenced_uuid", "")).casefold() in gone
