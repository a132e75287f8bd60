"""STIX 2.1 bundles (OASIS Standard, 10 June 2021): one draft for a bundle, whose objects are its portions.

* **Content** is the bundle byte for byte. Only where objects were refused is it rebuilt, from the bytes of those that
  were accepted and of the bundle around them; the summary then remarks ``REBUILT``. What referred to a refused object
  still does: a bundle need not be complete.
* **Base handling** is what all objects have in common: the lowest TLP, and the permissive and restrictive categories
  that each carries. An object that is stricter is a portion ``objects[<id>]``, all versions of it joined; a granular
  marking is a portion ``objects[<id>].<selector>``. Marking and extension definitions do not count towards the base.
* **Markings**: the four TLP 1 definitions of the standard (section 7.2.1.4) and the five of the TLP 2.0 extension
  (oasis-open/cti-stix-common-objects) by their ids, or by the colour that the bundle defines; the stricter counts if
  they differ. Statements are informative. Every other definition, also one that the bundle does not hold, is
  restrictive ``STIX-MARKING`` with its id, so that nothing so marked leaves before a grant names it.
* ``x_relto_rel_to``, a list of parties on an object, is its REL TO.

No block is copied into the label: markings travel in the content, and leave it with the last object that bears them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.errors import MalformedError
from relto.formats.draft import Draft, Intake, joined, restricting, settle, short
from relto.formats.rejects import Tally
from relto.formats.slices import Cut, RefusedError, cut, read_object
from relto.item import PARTY
from relto.labels import REL_TO, TLP_ORDER, Category, Handling, Tlp, handling, parse_tlp
from relto.release.stix_graph import EXTENSION, MARKING, REQUIRED, lacks
from relto.strict import check_text

KIND = "cyber.bundle"
MEDIA_TYPE = "application/stix+json;version=2.1"

StixObject = dict[str, Any]

STATEMENT = "STATEMENT"
UNREAD_MARKING = "STIX-MARKING"
REL_TO_PROPERTY = "x_relto_rel_to"
TLP_2_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
TLP_MARKINGS: Mapping[str, Tlp] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "CLEAR",  # TLP 1 white
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "GREEN",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "AMBER",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "RED",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": "CLEAR",  # TLP 2.0
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "GREEN",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": "AMBER",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "AMBER+STRICT",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "RED",
}

# Cyber-observable objects (section 6) need neither a version of the standard nor times.
OBSERVABLES = frozenset(
    {
        "artifact",
        "autonomous-system",
        "directory",
        "domain-name",
        "email-addr",
        "email-message",
        "file",
        "ipv4-addr",
        "ipv6-addr",
        "mac-addr",
        "mutex",
        "network-traffic",
        "process",
        "software",
        "url",
        "user-account",
        "windows-registry-key",
        "x509-certificate",
    }
)
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(rf"([a-z0-9][a-z0-9-]{{1,248}}[a-z0-9])--{_UUID}", re.ASCII)
_MARKING_ID = re.compile(rf"{MARKING}--{_UUID}", re.ASCII)
_NUMBERED = re.compile(r"\[(\d{1,9})\]", re.ASCII)
_TITLED = ("report", "grouping", "incident", "campaign", "intrusion-set", "malware", "indicator")


def sniff(content: bytes) -> str | None:
    """``"stix"`` if the beginning or the end looks like a bundle."""
    ends = content[:4096] + b"\n" + content[-4096:]
    return "stix" if re.search(rb'"type"\s*:\s*"bundle"', ends) else None


def read_bundle(content: bytes, *, received_ms: int, source: str = "stix") -> Intake:
    """Read a bundle into one draft, or none if nothing of it is good; each object counts as a record.

    Observed is the latest time at which an object was modified, at most when it was received. Reasons for the whole:
    ``BAD_JSON``, ``TOO_LARGE``, ``NOT_A_BUNDLE``, ``BAD_ID``, ``SPEC_VERSION``, ``TOO_MANY_OBJECTS``, ``EMPTY``. For
    an object: ``BAD_JSON``, ``TOO_LARGE``, ``NOT_AN_OBJECT``, ``BAD_TYPE``, ``BAD_ID``, ``SPEC_VERSION``,
    ``BAD_TIME``, ``MISSING_PROPERTY``, ``BAD_REFERENCE``, ``BAD_MARKING``, ``BAD_REL_TO``, ``DUPLICATE``.
    """
    tally = Tally(source)
    try:
        bundle = _open(content)
    except RefusedError as refused:
        tally.reject("bundle", refused.code, refused.detail)
        return Intake((), tally.finish())
    accepted = _accepted(bundle.objects, tally)
    if not accepted:
        return Intake((), tally.finish())
    if len(accepted) < len(bundle.objects.elements):
        tally.remark("REBUILT")
        content = bundle.objects.holding([element for element, _ in accepted])
    objects = [each for _, each in accepted]
    base, parts = _handlings(objects)
    whole, portions = settle(base, parts)
    observed_ms = _observed_ms(objects, received_ms)
    draft = Draft(
        kind=KIND,
        media_type=MEDIA_TYPE,
        content=content,
        observed_ms=observed_ms,
        until_ms=observed_ms,
        handling=whole,
        portions=portions,
        title=_title(objects),
        external_id=bundle.id,
    )
    return Intake((draft,), tally.finish())


class _Bundle(NamedTuple):
    id: str
    objects: Cut


def _open(content: bytes) -> _Bundle:
    objects = cut(content, "objects")
    around = read_object(objects.around if objects else content, limit_bytes=BOUNDS.json_text_bytes)
    if around.get("type") != "bundle":
        raise RefusedError("NOT_A_BUNDLE", "its type is not bundle")
    if around.get("spec_version", "2.1") != "2.1":
        raise RefusedError("SPEC_VERSION", f"STIX {str(around['spec_version'])[:10]} is not 2.1")
    identity = around.get("id")
    if not isinstance(identity, str) or _type_of(identity) != "bundle":
        raise RefusedError("BAD_ID", f"{str(identity)[:60]!r} is no id of a bundle")
    if objects is None or not objects.elements:
        raise RefusedError("EMPTY", "holds no objects")
    if len(objects.elements) > BOUNDS.stix_objects:
        raise RefusedError("TOO_MANY_OBJECTS", f"{len(objects.elements)} objects, at most {BOUNDS.stix_objects}")
    return _Bundle(identity, objects)


def _accepted(objects: Cut, tally: Tally) -> list[tuple[bytes, StixObject]]:
    accepted: list[tuple[bytes, StixObject]] = []
    seen: set[tuple[str, str]] = set()
    for at, element in enumerate(objects.elements):
        try:
            each = read_object(element)
            _check(each)
            version = (each["id"], each.get("modified", ""))
            if version in seen:
                raise RefusedError("DUPLICATE", f"{version[0]} {version[1]} stands twice")
        except RefusedError as refused:
            tally.reject(f"object {at}", refused.code, refused.detail)
            continue
        seen.add(version)
        accepted.append((element, each))
        tally.accept()
    return accepted


# --- one object ---


def _check(each: StixObject) -> None:
    """Refuse an object that is not STIX 2.1 as far as deciding and rendering rely on it."""
    kind, identity = each.get("type"), each.get("id")
    if not isinstance(kind, str) or not 3 <= len(kind) <= 250:
        raise RefusedError("BAD_TYPE", f"{str(kind)[:60]!r} is no type")
    if not isinstance(identity, str) or _type_of(identity) != kind:
        raise RefusedError("BAD_ID", f"{str(identity)[:80]!r} is no id of type {kind[:60]}")
    _check_version(each)
    missing = lacks(each)
    if missing:
        raise RefusedError("MISSING_PROPERTY", f"{identity} has no {missing}")
    _check_references(each)
    for mark in _granular(each):
        for selector in mark["selectors"]:
            _check_selector(each, selector)
    parties = each.get(REL_TO_PROPERTY, [])
    if not isinstance(parties, list) or not all(isinstance(p, str) and PARTY.fullmatch(p) for p in parties):
        raise RefusedError("BAD_REL_TO", f"{identity}: {REL_TO_PROPERTY} is no list of parties")
    if len(parties) > BOUNDS.label_values:
        raise RefusedError("BAD_REL_TO", f"{identity}: {len(parties)} parties, at most {BOUNDS.label_values}")


def _type_of(identity: str) -> str:
    match = _ID.fullmatch(identity)
    return match.group(1) if match else ""


def _check_version(each: StixObject) -> None:
    observable = each["type"] in OBSERVABLES or (each["type"] not in REQUIRED and "created" not in each)
    if each.get("spec_version", "2.1" if observable else None) != "2.1":
        raise RefusedError("SPEC_VERSION", f"{each['id']} does not say that it is STIX 2.1")
    needed = () if observable else ("created",) if each["type"] == MARKING else ("created", "modified")
    for name in needed:
        if name not in each:
            raise RefusedError("BAD_TIME", f"{each['id']} has no {name}")
    created_ms, modified_ms = (_time_ms(each, name) for name in ("created", "modified"))
    if created_ms is not None and modified_ms is not None and modified_ms < created_ms:
        raise RefusedError("BAD_TIME", f"{each['id']} was modified before it was created")


def _time_ms(each: StixObject, name: str) -> int | None:
    if name not in each:
        return None
    try:
        return parse_utc(each[name] if isinstance(each[name], str) else "")
    except MalformedError as error:
        raise RefusedError("BAD_TIME", f"{each['id']}: {name}: {error.reason}") from None


def _check_references(each: StixObject) -> None:
    marks = each.get("object_marking_refs", [])
    if not isinstance(marks, list) or not all(isinstance(m, str) and _MARKING_ID.fullmatch(m) for m in marks):
        raise RefusedError("BAD_MARKING", f"{each['id']}: object_marking_refs is no list of marking definitions")
    for name, value in each.items():
        required = name in REQUIRED.get(each["type"], ())
        if name == "created_by_ref" or (required and name.endswith("_ref")):
            _check_reference(each, name, value)
        elif required and name.endswith("_refs"):
            for entry in value if isinstance(value, list) and value else [None]:
                _check_reference(each, name, entry)


def _check_reference(each: StixObject, name: str, value: Any) -> None:
    if not isinstance(value, str) or not _type_of(value):
        raise RefusedError("BAD_REFERENCE", f"{each['id']}: {name} holds no id")


def _granular(each: StixObject) -> Iterator[StixObject]:
    """The granular markings that mark; those that only tell a language are left out."""
    marks = each.get("granular_markings", [])
    if not isinstance(marks, list):
        raise RefusedError("BAD_MARKING", f"{each['id']}: granular_markings is no list")
    for mark in marks:
        if not isinstance(mark, dict) or not isinstance(mark.get("selectors"), list) or not mark["selectors"]:
            raise RefusedError("BAD_MARKING", f"{each['id']}: a granular marking has no selectors")
        if "marking_ref" not in mark and "lang" in mark:
            continue
        if not isinstance(mark.get("marking_ref"), str) or not _MARKING_ID.fullmatch(mark["marking_ref"]):
            raise RefusedError("BAD_MARKING", f"{each['id']}: a granular marking names no marking definition")
        yield mark


def _check_selector(each: StixObject, selector: Any) -> None:
    """Refuse a selector that names nothing: what it should protect would stand unprotected (section 7.2.3.1)."""
    value: Any = each
    for step in selector.split(".") if isinstance(selector, str) else ("",):
        numbered = _NUMBERED.fullmatch(step)
        try:
            value = value[int(numbered.group(1))] if numbered else value[step]
        except (KeyError, IndexError, TypeError):
            raise RefusedError("BAD_MARKING", f"{each['id']}: {str(selector)[:60]!r} names nothing") from None


# --- markings ---


def _handlings(objects: list[StixObject]) -> tuple[Handling, dict[str, Handling]]:
    """The base handling, and the handling of every object and of every part that is marked by itself."""
    markings = _Markings(each for each in objects if each["type"] == MARKING)
    own: dict[str, list[Handling]] = defaultdict(list)
    informative: set[Handling] = set()
    common: Handling | None = None
    for each in objects:
        stated = markings.of_object(each)
        own[f"objects[{each['id']}]"].append(restricting(stated))
        informative.add(stated)
        if each["type"] not in (MARKING, EXTENSION):
            common = restricting(stated) if common is None else _common(common, stated)
        for mark in _granular(each):
            part = markings.of(mark["marking_ref"])
            informative.add(part)
            for selector in mark["selectors"]:
                own[f"objects[{each['id']}].{selector}"].append(restricting(part))
    base = joined([common or Handling(), _statements(informative)])
    return base, {selector: joined(stated) for selector, stated in own.items()}


class _Markings:
    """The handling that each marking definition stands for."""

    def __init__(self, definitions: Iterable[StixObject]) -> None:
        self._defined = {each["id"]: each for each in definitions}
        self._known: dict[str, Handling] = {}
        self._joined: dict[tuple[str, ...], Handling] = {}

    def of(self, identity: str) -> Handling:
        """The handling of one definition, by its id and by what the bundle says of it."""
        if identity not in self._known:
            well_known = [Handling(tlp=TLP_MARKINGS[identity])] if identity in TLP_MARKINGS else []
            defined = [_defined(self._defined[identity])] if identity in self._defined else []
            self._known[identity] = joined([*well_known, *defined] or [_unread(identity)])
        return self._known[identity]

    def of_object(self, each: StixObject) -> Handling:
        """The handling of an object as a whole."""
        refs = tuple(each.get("object_marking_refs", ()))
        if refs not in self._joined:
            self._joined[refs] = joined(self.of(identity) for identity in refs)
        if REL_TO_PROPERTY not in each:
            return self._joined[refs]
        rel_to = Category(REL_TO, "permissive", tuple(sorted(set(each[REL_TO_PROPERTY]))))
        return joined([self._joined[refs], Handling(categories=(rel_to,))])


def _defined(definition: StixObject) -> Handling:
    """What a marking definition says: a colour, a statement, or something that is not understood."""
    extensions = definition.get("extensions", {})
    content = definition.get("definition", {})
    if not isinstance(extensions, dict) or not isinstance(content, dict):
        return _unread(definition["id"])
    said = [_extension(definition["id"], name, value) for name, value in extensions.items()]
    match definition.get("definition_type"):
        case "tlp":
            said.append(_colour(definition["id"], content.get("tlp")))
        case "statement":
            said.append(_statement(definition["id"], content.get("statement")))
        case None if extensions:
            pass
        case _:
            said.append(_unread(definition["id"]))
    return joined(said)


def _extension(identity: str, name: str, value: Any) -> Handling:
    if name != TLP_2_EXTENSION or not isinstance(value, dict):
        return _unread(identity)
    return _colour(identity, value.get("tlp_2_0"))


def _colour(identity: str, text: Any) -> Handling:
    try:
        tlp, unread = parse_tlp(text) if isinstance(text, str) else ("", None)
        if tlp or unread:
            return handling(tlp=tlp, categories=(unread,) if unread else ())
    except MalformedError:
        pass
    return _unread(identity)


def _statement(identity: str, text: Any) -> Handling:
    """The statement itself where a label has room for it, else the id by which the content has it."""
    try:
        value = check_text(text if isinstance(text, str) and text else identity, "statement")
    except MalformedError:
        value = identity
    return Handling(categories=(Category(STATEMENT, "informative", (value,)),))


def _unread(identity: str) -> Handling:
    return Handling(categories=(Category(UNREAD_MARKING, "restrictive", (identity,)),))


def _statements(handlings: Iterable[Handling]) -> Handling:
    """All informative statements; the content has those for which a label has no room."""
    values = sorted({value for each in handlings for value in each.values(STATEMENT, "informative") or ()})
    if not values:
        return Handling()
    return Handling(categories=(Category(STATEMENT, "informative", tuple(values[: BOUNDS.label_values])),))


def _common(a: Handling, b: Handling) -> Handling:
    """The strictest handling that neither exceeds: lower TLP, what both forbid, whom either permits."""
    categories = [_both(x, y) for x in a.categories for y in b.categories if (x.tag, x.type) == (y.tag, y.type)]
    return Handling(
        categories=tuple(sorted(category for category in categories if category is not None)),
        tlp=min(a.tlp, b.tlp, key=TLP_ORDER.index),
    )


def _both(a: Category, b: Category) -> Category | None:
    if a.type == "permissive":
        values = tuple(sorted({*a.values, *b.values}))
        return Category(a.tag, a.type, values) if len(values) <= BOUNDS.label_values else None
    values = tuple(sorted({*a.values} & {*b.values}))
    return Category(a.tag, a.type, values) if a.type == "restrictive" and (values or a.values == b.values) else None


# --- the bundle as a whole ---


def _observed_ms(objects: list[StixObject], received_ms: int) -> int:
    stated = [_time_ms(each, name) for each in objects for name in ("created", "modified")]
    times = [each for each in stated if each is not None and each >= 0]
    return min(max(times, default=received_ms), received_ms)


def _title(objects: list[StixObject]) -> str:
    for kind in _TITLED:
        name = next((each["name"] for each in objects if each["type"] == kind and "name" in each), "")
        if isinstance(name, str) and name:
            return short(name)
    return f"{len(objects)} objects"
