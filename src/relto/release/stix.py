"""Reducing STIX 2.1 bundles: whole objects leave, with every reference to them and every mention of them.

The rest still validates: an object that requires what was taken out leaves as well (``stix_graph``).
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from relto.kinds.spec import Field
from relto.release.cut import Cut, NothingLeft, Reduced
from relto.release.record import write_json
from relto.release.stix_graph import without

StixObject = dict[str, Any]
_MARKING = "marking-definition"


def reduce_bundle(content: bytes, cut: Cut) -> Reduced:
    """Reduce a bundle. A kind's fields name object types, a grant's removals ``type`` or ``type.property``.

    Raises:
        NothingLeft: no object but markings is left.
    """
    bundle = json.loads(content, parse_float=Decimal)
    before: list[StixObject] = bundle["objects"]
    objects = [_without_properties(each, cut) for each in before]
    removed = {each["id"] for each in objects if _taken_out(each, cut)}
    secret = {identity for identity in removed if f"objects[{identity}]" in cut.portions}
    objects = without(objects, removed, secret_ids=secret)
    objects = _used_markings(objects)
    if all(each["type"] == _MARKING for each in objects):
        raise NothingLeft
    return Reduced(write_json(bundle | {"objects": objects}), removed=objects != before)


def _taken_out(each: StixObject, cut: Cut) -> bool:
    if each["type"] == _MARKING:
        return False
    if f"objects[{each['id']}]" in cut.portions or each["type"] in cut.remove:
        return True
    field: Field | None = next((field for field in cut.kind.fields if field.path == each["type"]), None)
    return not (cut.view == "full" or (field is not None and cut.keeps(field)))


def _without_properties(each: StixObject, cut: Cut) -> StixObject:
    """The object without properties that a grant or a granular marking takes out."""
    named = {path.partition(".")[2] for path in cut.remove if path.startswith(f"{each['type']}.")}
    prefix = f"objects[{each['id']}]."
    # A granular marking inside a property takes the whole property: half a value is still a value.
    named |= {selector[len(prefix) :].split(".")[0] for selector in cut.portions if selector.startswith(prefix)}
    if cut.precision_m and each["type"] == "location":
        named |= {"latitude", "longitude", "precision"}
    if not named & each.keys():
        return each
    kept = {name: value for name, value in each.items() if name not in named}
    marks = [mark for mark in kept.pop("granular_markings", []) if not _speaks_of(mark, named)]
    return kept | ({"granular_markings": marks} if marks else {})


def _speaks_of(mark: StixObject, named: set[str]) -> bool:
    return any(selector.split(".")[0] in named for selector in mark.get("selectors", []))


def _used_markings(objects: list[StixObject]) -> list[StixObject]:
    """Markings that nothing left refers to would tell of what they marked."""
    used: set[str] = set()
    for each in objects:
        used |= set(each.get("object_marking_refs", []))
        used |= {mark["marking_ref"] for mark in each.get("granular_markings", []) if "marking_ref" in mark}
    return [each for each in objects if each["type"] != _MARKING or each["id"] in used]
