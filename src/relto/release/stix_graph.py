"""Taking objects out of a STIX 2.1 graph so that nothing refers to them, nothing speaks of them, and the rest is valid.

Rules of this module:

* A reference to what was taken out goes. Where the standard requires it, the referring object goes too, and so on. An
  emptied list goes with its name, since STIX allows none.
* Names of what was asked to be taken out are mentions, and so is every id that went. In descriptive text a mention
  becomes ``[held back]``; anywhere else the entry, property or, where it is structural, the object goes.
* Markings are no secret of what they mark: a marking definition stays as long as anything left refers to it, and goes
  with the last that did. The same holds for the extension definition that a marking is written in.
* Granular markings follow the parts they mark: the number of a list's entry is made true again.
* An object that lacks what the standard requires goes as well, so a caller may take out properties before.

References to objects that were never in the graph stay: a bundle need not be complete (STIX 2.1, section 3.3).
Nothing that is passed in is changed. Time is linear in the size of the graph.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

StixObject = dict[str, Any]
Path = tuple[str | int, ...]

HELD_BACK = "[held back]"
MARKING = "marking-definition"
EXTENSION = "extension-definition"

_NAME_CHARS = 4  # shorter names stand in too many texts to be a mention
_FEW = 64  # up to so many names, looking for each is quicker than looking for their beginnings
_LOOKS = 64  # an object that loses something again and again, so often, goes: no chain of references costs more
_PROPERTIES = "property-extension"
_ARCHIVED = ("archive-ext", "contains_refs")
_NUMBERED = re.compile(r"\[\d{1,9}\]", re.ASCII)
_UUID = re.compile(r"(?<=--)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_ID = re.compile(rf"[a-z0-9-]+--{_UUID.pattern}", re.ASCII | re.IGNORECASE)
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")

# What STIX 2.1 requires beyond the common properties (sections 4 to 7).
REQUIRED: Mapping[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "attack-pattern": "name",
        "campaign": "name",
        "course-of-action": "name",
        "grouping": "context object_refs",
        "identity": "name",
        "incident": "name",
        "indicator": "pattern pattern_type valid_from",
        "infrastructure": "name",
        "intrusion-set": "name",
        "location": "",
        "malware": "is_family",
        "malware-analysis": "product",
        "note": "content object_refs",
        "observed-data": "first_observed last_observed number_observed",
        "opinion": "opinion object_refs",
        "report": "name published object_refs",
        "threat-actor": "name",
        "tool": "name",
        "vulnerability": "name",
        "relationship": "relationship_type source_ref target_ref",
        "sighting": "sighting_of_ref",
        "language-content": "object_ref contents",
        EXTENSION: "created_by_ref name schema version extension_types",
        MARKING: "",
        "artifact": "",
        "autonomous-system": "number",
        "directory": "path",
        "domain-name": "value",
        "email-addr": "value",
        "email-message": "is_multipart",
        "file": "",
        "ipv4-addr": "value",
        "ipv6-addr": "value",
        "mac-addr": "value",
        "mutex": "name",
        "network-traffic": "protocols",
        "process": "",
        "software": "name",
        "url": "value",
        "user-account": "",
        "windows-registry-key": "",
        "x509-certificate": "",
    }.items()
}
# Of these at least one must be there.
ONE_OF: Mapping[str, tuple[str, ...]] = {
    "artifact": ("payload_bin", "url"),
    "file": ("hashes", "name"),
    "location": ("region", "country", "latitude"),
    "malware-analysis": ("result", "analysis_sco_refs"),
    "network-traffic": ("src_ref", "dst_ref"),
    "observed-data": ("object_refs", "objects"),
    MARKING: ("definition", "extensions"),
}
_NEEDS_OWN = frozenset({"process", "user-account", "windows-registry-key", "x509-certificate"})
_COMMON = frozenset(
    {
        "type",
        "id",
        "spec_version",
        "created",
        "modified",
        "created_by_ref",
        "revoked",
        "labels",
        "confidence",
        "lang",
        "external_references",
        "object_marking_refs",
        "granular_markings",
        "defanged",
    }
)
_TEXT = frozenset({"description", "abstract", "content", "explanation", "contact_information", "statement"})
_STRUCTURAL = frozenset({"name", "pattern", "value"})
_EXACT = frozenset({"type", "id", "spec_version", "created", "modified"})
_MARKED_BY = frozenset({"object_marking_refs", "granular_markings"})
# Members of these are named by whoever wrote the record, so a name can stand in them.
_DICTIONARIES = frozenset(
    {
        "environment_variables",
        "additional_header_fields",
        "document_info_dict",
        "exif_tags",
        "contents",
        "request_header",
    }
)

_GONE = object()


def without(
    objects: list[StixObject], removed_ids: Set[str], *, secret_ids: Set[str] = frozenset()
) -> list[StixObject]:
    """The graph without these objects, every reference to them and every mention of them.

    ``secret_ids`` are those of the removed that must not be recognised by their ``value`` either (an address, a
    domain), which may else still stand in the pattern of an indicator.
    """
    return _Graph(objects, _lower(removed_ids), _lower(secret_ids)).left()


def lacks(each: StixObject) -> str:
    """The first property that STIX 2.1 requires of the object and that it does not have; empty if it has all."""
    kind = each["type"]
    for name in sorted(REQUIRED.get(kind, ())):
        if name not in each:
            return name
    if kind in ONE_OF and not any(name in each for name in ONE_OF[kind]):
        return " or ".join(ONE_OF[kind])
    if kind in _NEEDS_OWN and not each.keys() - _COMMON:
        return "a property of its own"
    return ""


class _Graph:
    """One removal: what is left of each object, and which ids are gone so far."""

    def __init__(self, objects: list[StixObject], asked: Set[str], secret: Set[str]) -> None:
        self.asked = asked
        self.left_of: list[StixObject | None] = list(objects)
        self.metadata = {each["id"].lower() for each in objects if each["type"] in (MARKING, EXTENSION)}
        self.once_used = {name for each in objects for name in _marks(each) | _extensions(each)}
        removed = [each for each in objects if each["id"].lower() in asked - self.metadata]
        self.gone = _Ids(asked - self.metadata)
        self.names = _Names({name for each in removed for name in _telling(each, secret)})
        self.knife = _Knife(self.gone, self.names)
        self.at: dict[str, list[int]] = defaultdict(list)
        self.mentioned_in: dict[str, list[int]] = defaultdict(list)
        self.looks = [0] * len(objects)

    def _index(self) -> list[int]:
        """Note where each id stands, and return the objects that cannot stay as they are."""
        touched: list[int] = []
        for index, each in enumerate(self.left_of):
            if each is None:
                continue
            self.at[each["id"].lower()].append(index)
            text = "\0".join(_strings(each))
            uuids = _uuids(text)
            for uuid in uuids:
                self.mentioned_in[uuid].append(index)
            if self.gone.with_uuids(uuids) or self.names.standing_in(text) or lacks(each):
                touched.append(index)
        return touched

    def left(self) -> list[StixObject]:
        """Reduce until nothing changes any more."""
        touched = self._index()
        for identity in self.asked - self.metadata:
            self._drop(identity)
        self._reduce(touched)
        while unneeded := self._metadata_left() - self._needed():
            self._reduce([index for identity in unneeded for index in self._drop(identity)])
        return [each for each in self.left_of if each is not None]

    def _reduce(self, indices: Iterable[int]) -> None:
        # In the order of arrival and each once: what lists a thousand objects is looked at after all of them.
        waiting = deque(indices)
        listed = set(waiting)
        while waiting:
            index = waiting.popleft()
            listed.discard(index)
            before = self.left_of[index]
            if before is None:
                continue
            self.left_of[index] = after = self._look(index, before)
            identity = before["id"].lower()
            # What is written in an extension stays valid when only its definition is no longer in the bundle.
            if after is None and (before["type"] != EXTENSION or identity in self.asked):
                again = [mention for mention in self._drop(identity) if mention not in listed]
                waiting.extend(again)
                listed.update(again)

    def _look(self, index: int, each: StixObject) -> StixObject | None:
        self.looks[index] += 1
        return self.knife.reduced(each) if self.looks[index] <= _LOOKS else None

    def _drop(self, identity: str) -> list[int]:
        """Every version of an object goes; returns which objects mention it."""
        self.gone.add(identity)
        for index in self.at[identity]:
            self.left_of[index] = None
        return self.mentioned_in[identity[-36:]]

    def _metadata_left(self) -> set[str]:
        return {identity for identity in self.metadata if any(self.left_of[index] for index in self.at[identity])}

    def _needed(self) -> set[str]:
        """Markings that something left refers to or nothing ever did, and the extensions they are written in."""
        rest = [each for each in self.left_of if each is not None]
        needed = {name for each in rest if each["id"].lower() not in self.metadata for name in _marks(each)}
        needed |= {name for each in rest for name in _extensions(each)} - self.asked
        needed |= self.metadata - self.once_used - self.asked
        waiting = deque(needed)
        while waiting:
            for index in self.at.get(waiting.popleft(), ()):
                new = _marks(self.left_of[index] or {}) - needed
                needed |= new
                waiting.extend(new)
        return needed


class _Knife:
    """Takes references and mentions out of one object at a time."""

    def __init__(self, gone: _Ids, names: _Names) -> None:
        self._gone = gone
        self._names = names
        self._moved: dict[Path, dict[int, int]] = {}
        self._fatal = False

    def reduced(self, each: StixObject) -> StixObject | None:
        """What is left of an object; None if it goes."""
        if any(mark in self._gone for mark in _marks(each)):
            return None
        self._moved, self._fatal = {}, False
        kept: StixObject = {}
        for name, value in each.items():
            part = value if name in _EXACT | _MARKED_BY else self._part(value, name, (name,))
            if part is not _GONE:
                kept[name] = part
            elif name in _STRUCTURAL and each["type"] != MARKING:
                return None
        marks = [self._mark(mark, kept) for mark in kept.pop("granular_markings", [])]
        kept |= {"granular_markings": [mark for mark in marks if mark]} if any(marks) else {}
        return None if self._fatal or lacks(kept) else kept

    def _part(self, value: Any, name: str, path: Path) -> Any:
        if isinstance(value, str):
            if not self._speaks(value, name):
                return value
            return self._held_back(value, name) if name in _TEXT else _GONE
        if isinstance(value, list):
            return self._entries(value, name, path)
        if isinstance(value, dict):
            return self._members(value, name, path)
        return value

    def _entries(self, value: list[Any], name: str, path: Path) -> Any:
        parts = [self._part(entry, name, (*path, at)) for at, entry in enumerate(value)]
        stay = [at for at, part in enumerate(parts) if part is not _GONE]
        if len(stay) < len(parts):
            self._moved[path] = {old: new for new, old in enumerate(stay)}
        return [parts[at] for at in stay] if stay or not value else _GONE

    def _members(self, value: dict[str, Any], name: str, path: Path) -> Any:
        kept: dict[str, Any] = {}
        for key, member in value.items():
            spoken = self._speaks(key, name) if name in _DICTIONARIES else bool(self._gone.standing_in(key))
            part = _GONE if spoken else self._part(member, key, (*path, key))
            if part is not _GONE:
                kept[key] = part
            elif name == "extensions":
                # Other types of extension say what the object is; without them it is another object.
                self._fatal |= isinstance(member, dict) and member.get("extension_type", _PROPERTIES) != _PROPERTIES
            elif isinstance(path[-1], int) or not key.endswith(("_ref", "_refs")) or (name, key) == _ARCHIVED:
                return _GONE
        return kept if kept or not value else _GONE

    def _speaks(self, text: str, name: str) -> bool:
        """Whether the text of a property mentions anything that is gone. Names do not count inside of an id."""
        if name.endswith(("_ref", "_refs")):
            return text.lower() in self._gone
        if self._gone.standing_in(text):
            return True
        return not _ID.fullmatch(text) and bool(self._names.standing_in(text))

    def _held_back(self, text: str, name: str) -> str:
        spelled = [re.escape(found) for found in self._gone.standing_in(text)]
        spelled += [r"\s+".join(map(re.escape, found.split())) for found in self._names.standing_in(text)]
        for pattern in sorted(spelled, key=len, reverse=True):
            text = re.sub(pattern, HELD_BACK, text, flags=re.IGNORECASE)
        # A spelling that only folding recognises cannot be cut out of the text, so all of it goes.
        return HELD_BACK if self._speaks(text, name) else text

    def _mark(self, mark: StixObject, kept: StixObject) -> StixObject | None:
        """A granular marking as it speaks of what is left; None if it speaks of nothing any more."""
        selectors = [self._selector(selector, kept) for selector in mark.get("selectors", [])]
        stay = [selector for selector in selectors if selector]
        return mark | {"selectors": stay} if stay else None

    def _selector(self, selector: str, kept: StixObject) -> str:
        """The selector with true numbers; empty if what it named is gone (STIX 2.1, section 7.2.3.1)."""
        old: Path = ()
        value: Any = kept
        new: list[str] = []
        for step in selector.split("."):
            key: str | int = int(step[1:-1]) if _NUMBERED.fullmatch(step) else step
            now = self._moved[old].get(key) if isinstance(key, int) and old in self._moved else key
            try:
                value = value[now]
            except (KeyError, IndexError, TypeError):
                return ""
            new.append(f"[{now}]" if isinstance(key, int) else step)
            old = (*old, key)
        return ".".join(new)


class _Ids:
    """Ids that are gone, found in texts wherever they stand, also glued to other letters."""

    def __init__(self, ids: Set[str]) -> None:
        self._by_uuid: dict[str, set[str]] = defaultdict(set)
        for identity in ids:
            self.add(identity)

    def add(self, identity: str) -> None:
        """Count one more as gone."""
        self._by_uuid[identity[-36:]].add(identity)

    def __contains__(self, identity: str) -> bool:
        return identity in self._by_uuid.get(identity[-36:], ())

    def with_uuids(self, uuids: Set[str]) -> set[str]:
        """The ids that end in one of these."""
        return {identity for uuid in uuids & self._by_uuid.keys() for identity in self._by_uuid[uuid]}

    def standing_in(self, text: str) -> set[str]:
        """The ids that stand in a text."""
        lower = text.lower()
        return {identity for identity in self.with_uuids(_uuids(text)) if identity in lower}


class _Names:
    """Finds names in texts whatever their case, width, composition, spacing or invisible characters."""

    def __init__(self, names: Set[str]) -> None:
        self._names = {name for name in map(_folded, names) if len(name) >= _NAME_CHARS}
        self._by_start: dict[str, list[str]] = defaultdict(list)
        for name in self._names:
            self._by_start[name[:_NAME_CHARS]].append(name)

    def standing_in(self, text: str) -> list[str]:
        """The names that stand in a text, folded."""
        folded = _folded(text)
        if len(self._names) <= _FEW:
            return [name for name in self._names if name in folded]
        starts = {folded[at : at + _NAME_CHARS] for at in range(len(folded))} & self._by_start.keys()
        return [name for start in starts for name in self._by_start[start] if name in folded]


def _folded(text: str) -> str:
    if not text.isascii():
        text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return " ".join(text.lower().split())


def _telling(each: StixObject, secret: Set[str]) -> Iterator[str]:
    """The names by which a reader would know what was taken out."""
    told = [each.get("name"), *each.get("aliases", ()), each.get("value") if each["id"].lower() in secret else None]
    yield from (name for name in told if isinstance(name, str))


def _marks(each: StixObject) -> set[str]:
    """The marking definitions that an object refers to; for a marking also the extensions it is written in."""
    found = {*each.get("object_marking_refs", ())}
    found |= {mark["marking_ref"] for mark in each.get("granular_markings", ()) if "marking_ref" in mark}
    return _lower(found) | (set(_extensions(each)) if each.get("type") == MARKING else set())


def _extensions(each: StixObject) -> set[str]:
    return _lower(set(each.get("extensions", ())))


def _lower(ids: Set[str]) -> set[str]:
    return {identity.lower() for identity in ids}


def _uuids(text: str) -> set[str]:
    return {found.lower() for found in _UUID.findall(text)}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
