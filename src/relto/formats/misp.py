"""MISP events (JSON of the MISP core format, draft-dulaunoy-misp-core-format): one draft for each event.

* **Content** is ``{"Event": ...}`` byte for byte; a bare event is wrapped in it, one of a response is cut out. Where
  attributes or objects were refused or are deleted, it is rebuilt from the bytes of the others, and the summary remarks
  ``REBUILT``. ``attribute_count`` then still says what the source counted.
* **Distribution** 0 is ``NOFORN``; 4 is restrictive ``MISP-SHARING-GROUP`` with the group's uuid, else its id, which
  only its own instance understands; 1, 2 and 3 restrict nothing, since they name communities of the source. The number
  of the event is informative ``MISP-DISTRIBUTION``. Feeds that are made public state none, and an element that states
  5 or none has that of what it stands in.
* **Tags**: ``tlp:`` joins, so that the highest of several counts: taking a tag away does not synchronise. What looks
  like TLP and is no colour restricts. ``PAP:`` on the event is informative. All other tags only stand in the content.
* **Portions** are attributes and objects that state more than the event does: ``Event.Attribute[<uuid>]``,
  ``Event.Object[<uuid>]``, ``Event.Object[<uuid>].Attribute[<uuid>]``. A uuid that stood twice would name two things,
  so the second is refused. Whatever else states more (a report, cluster, related event) is held back with the whole
  member it stands in, such as ``Event.Galaxy``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from relto.bounds import BOUNDS
from relto.clock import HOUR_MS, SECOND_MS, parse_utc
from relto.errors import MalformedError
from relto.formats.draft import Draft, Intake, joined, restricting, settle, short
from relto.formats.rejects import Tally
from relto.formats.slices import Cut, RefusedError, cut, names, read_object
from relto.labels import NOFORN, Category, Handling, handling, parse_tlp

KIND = "cyber.event"
MEDIA_TYPE = "application/vnd.misp+json"

DISTRIBUTION = "MISP-DISTRIBUTION"
SHARING_GROUP = "MISP-SHARING-GROUP"
PAP = "PAP"

Json = dict[str, Any]
Path = tuple[str, ...]

_OWN_ORGANISATION, _SHARING_GROUP, _INHERIT = 0, 4, 5
_AHEAD_MS = 14 * HOUR_MS  # an event's date is a local one, and no clock is further ahead of UTC
_NEVER = Handling(categories=(Category(NOFORN, "restrictive"),))
_NO_GROUP = "UNSTATED"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
_TLP = re.compile(r"\s*tlp(?![a-z0-9])", re.ASCII | re.IGNORECASE)
_PAP = re.compile(r"\s*pap:\s*(\S.*?)\s*", re.ASCII | re.IGNORECASE | re.DOTALL)
_EVENT = re.compile(rb'"Event"\s*:\s*\{|"threat_level_id"\s*:')
_TELLING_NAMES = frozenset({"info", "threat_level_id", "Attribute"})


def sniff(content: bytes) -> str | None:
    """``"misp"`` if the beginning or the end looks like an event."""
    ends = content[:4096] + b"\n" + content[-4096:]
    return "misp" if ends.lstrip()[:1] in (b"{", b"[") and _EVENT.search(ends) else None


def read_event(content: bytes, *, received_ms: int, source: str = "misp") -> Intake:
    """Read an event, a bare event, a response or a list of them into a draft for each event.

    Every event, attribute and object counts as a record; a refused event or object counts once for all that is in it.
    Observed is midnight UTC of the event's date, until when it was last changed. Deleted attributes and objects are
    ignored as ``DELETED``. Reasons for a file or an event as a whole: ``NOT_AN_EVENT``, ``TOO_MANY_ATTRIBUTES``. For
    an event, an object or an attribute: ``BAD_JSON``, ``TOO_LARGE``, ``NOT_AN_OBJECT``, ``NOT_A_LIST``, ``BAD_ID``,
    ``MISSING_PROPERTY``, ``BAD_VALUE``, ``BAD_TIME``, ``FUTURE_TIME``, ``BAD_DISTRIBUTION``, ``BAD_TAG``,
    ``DUPLICATE_ID``.
    """
    tally = Tally(source)
    try:
        events = _events(content)
    except RefusedError as refused:
        tally.reject("file", refused.code, refused.detail)
        return Intake((), tally.finish())
    drafts: dict[str, Draft] = {}
    for at, event in enumerate(events):
        try:
            draft, reading = _draft(event, f"event {at}", received_ms)
            if draft.external_id in drafts:
                raise RefusedError("DUPLICATE_ID", f"event {draft.external_id} stands twice")
        except RefusedError as refused:
            tally.reject(f"event {at}", refused.code, refused.detail)
            continue
        drafts[draft.external_id] = draft
        reading.count(tally)
    return Intake(tuple(drafts.values()), tally.finish())


# --- forms of a file ---


def _events(content: bytes) -> list[bytes]:
    """Every event of a file as ``{"Event": ...}``."""
    if len(content) > BOUNDS.content_bytes:
        raise RefusedError("TOO_LARGE", f"{len(content)} bytes, at most {BOUNDS.content_bytes}")
    found = names(content)
    if "Event" not in found:
        listed = cut(content, "response") if "response" in found else cut(content)
        if listed is not None:
            _check_around(listed)
            return [_wrapped(element) for element in listed.elements]
        if not _TELLING_NAMES & set(found):
            raise RefusedError("NOT_AN_EVENT", "neither an event nor a response that lists any")
    return [_wrapped(content)]


def _check_around(listed: Cut) -> None:
    """Read what stands around the list of a response, where a second list could stand."""
    if listed.around.lstrip().startswith(b"{"):
        read_object(listed.around)


def _wrapped(event: bytes) -> bytes:
    found = names(event)
    return event if "Event" in found or not found else b'{"Event":' + event + b"}"


# --- one event ---


def _draft(content: bytes, where: str, received_ms: int) -> tuple[Draft, _Reading]:
    attributes, objects, record = _open(content)
    event = record["Event"]
    _check_event(event, received_ms)
    reading = _Reading(where, received_ms)
    reading.note(_other_parts(record, ()))
    reading.note(_other_parts(event, ("Event",)))
    kept_attributes = reading.attributes(attributes.elements, ("Event",), "") if attributes else []
    kept_objects = reading.objects(objects.elements) if objects else []
    if reading.rebuilt:
        content = _holding(content, "Attribute", kept_attributes)
        content = _holding(content, "Object", kept_objects)
    whole, portions = settle(_of_event(event), reading.parts)
    observed_ms, until_ms = _span_ms(event, received_ms)
    draft = Draft(
        kind=KIND,
        media_type=MEDIA_TYPE,
        content=content,
        observed_ms=observed_ms,
        until_ms=until_ms,
        handling=whole,
        portions=portions,
        title=short(event["info"]),
        external_id=event["uuid"].lower(),
    )
    return draft, reading


class _Opened(NamedTuple):
    """The two lists of an event, and the record with both emptied."""

    attributes: Cut | None
    objects: Cut | None
    record: Json


def _open(content: bytes) -> _Opened:
    attributes = cut(content, "Event", "Attribute")
    rest = attributes.around if attributes else content
    objects = cut(rest, "Event", "Object")
    record = read_object(objects.around if objects else rest, limit_bytes=BOUNDS.json_text_bytes)
    if not isinstance(record.get("Event"), dict):
        raise RefusedError("NOT_AN_EVENT", "Event is no object")
    _check_lists(record["Event"], ("Attribute", "Object"))
    count = sum(len(each.elements) for each in (attributes, objects) if each)
    _check_count(count)
    return _Opened(attributes, objects, record)


def _holding(content: bytes, name: str, elements: list[bytes]) -> bytes:
    found = cut(content, "Event", name)
    return found.holding(elements) if found else content


def _check_lists(each: Json, listed: tuple[str, ...]) -> None:
    for name in listed:
        if not isinstance(each.get(name, []), list):
            raise RefusedError("NOT_A_LIST", f"{name} is no list")


def _check_count(count: int) -> None:
    if count > BOUNDS.misp_attributes:
        raise RefusedError("TOO_MANY_ATTRIBUTES", f"{count} attributes and objects, at most {BOUNDS.misp_attributes}")


def _check_event(event: Json, received_ms: int) -> None:
    _uuid(event, "event")
    if not isinstance(event.get("info"), str):
        raise RefusedError("MISSING_PROPERTY", f"event {event['uuid']} has no info")
    if _date_ms(event) is None and _changed_ms(event, received_ms) is None:
        raise RefusedError("BAD_TIME", f"event {event['uuid']} has neither date nor timestamp")
    if (_date_ms(event) or 0) > received_ms + _AHEAD_MS:
        raise RefusedError("FUTURE_TIME", f"event {event['uuid']} is of {event['date']}")


def _span_ms(event: Json, received_ms: int) -> tuple[int, int]:
    """From the event's date until its last change."""
    date_ms, changed_ms = _date_ms(event), _changed_ms(event, received_ms)
    times = [min(each, received_ms) for each in (date_ms, changed_ms) if each is not None]
    return times[0], max(times)


# --- attributes and objects ---


class _Reading:
    """What was read in one event; nothing of it is counted before the event itself is found good."""

    def __init__(self, where: str, received_ms: int) -> None:
        self.parts: dict[str, Handling] = {}
        self._where = where
        self._received_ms = received_ms
        self._accepted = 1  # the event itself
        self._read = 0
        self._deleted = 0
        self._refused: list[tuple[str, str, str]] = []
        self._seen: set[str] = set()

    @property
    def rebuilt(self) -> bool:
        """Whether something of the event is not kept."""
        return bool(self._refused or self._deleted)

    def count(self, tally: Tally) -> None:
        """Count everything that was read."""
        tally.accept(self._accepted)
        tally.ignore("DELETED", self._deleted)
        for refused in self._refused:
            tally.reject(*refused)
        if self.rebuilt:
            tally.remark("REBUILT")

    def note(self, parts: Iterable[tuple[str, Handling]]) -> None:
        """Keep what parts state."""
        self.parts |= {selector: stated for selector, stated in parts if stated != Handling()}

    def attributes(self, elements: Iterable[bytes], owner: Path, within: str) -> list[bytes]:
        """The attributes that are kept, as they came."""
        kept: list[bytes] = []
        for at, element in enumerate(elements):
            try:
                each = read_object(element)
                _check_attribute(each)
                if self._keeps(each, (*owner, "Attribute")):
                    kept.append(element)
            except RefusedError as refused:
                self._refuse(f"{within}attribute {at}", refused)
        return kept

    def objects(self, elements: Iterable[bytes]) -> list[bytes]:
        """The objects that are kept, each without the attributes that are not."""
        kept: list[bytes] = []
        for at, element in enumerate(elements):
            try:
                attributes = cut(element, "Attribute")
                each = read_object(attributes.around if attributes else element)
                _check_lists(each, ("Attribute",))
                _uuid(each, "object")
                if not self._keeps(each, ("Event", "Object")):
                    continue
            except RefusedError as refused:
                self._refuse(f"object {at}", refused)
                continue
            if attributes is not None:
                owner = ("Event", "Object", f"[{each['uuid']}]")
                stay = self.attributes(attributes.elements, owner, f"object {at} ")
                element = element if len(stay) == len(attributes.elements) else attributes.holding(stay)
            kept.append(element)
        return kept

    def _keeps(self, each: Json, listed: Path) -> bool:
        """Whether an attribute or object is kept; if so, it and what it states count."""
        self._read += 1
        _check_count(self._read)
        identity = each["uuid"].lower()
        if identity in self._seen:
            raise RefusedError("DUPLICATE_ID", f"{identity} stands twice")
        _changed_ms(each, self._received_ms)
        path = (*listed, f"[{each['uuid']}]")
        stated = _stated(each)
        self._seen.add(identity)
        if each.get("deleted") in (True, 1, "1"):
            self._deleted += 1
            return False
        self.note([(_selector(path), restricting(stated)), *_other_parts(each, path)])
        self._accepted += 1
        return True

    def _refuse(self, where: str, refused: RefusedError) -> None:
        if refused.code == "TOO_MANY_ATTRIBUTES":
            raise refused
        self._refused.append((f"{self._where} {where}", refused.code, refused.detail))


def _check_attribute(each: Json) -> None:
    identity = _uuid(each, "attribute")
    if not isinstance(each.get("type"), str) or not each["type"]:
        raise RefusedError("MISSING_PROPERTY", f"{identity} has no type")
    if each.get("value") in (None, ""):
        raise RefusedError("MISSING_PROPERTY", f"{identity} has no value")
    if isinstance(each["value"], bool | dict | list):
        raise RefusedError("BAD_VALUE", f"{identity}: the value is neither text nor a number")


def _uuid(each: Json, noun: str) -> str:
    identity = each.get("uuid")
    if not isinstance(identity, str) or _UUID.fullmatch(identity) is None:
        raise RefusedError("BAD_ID", f"{str(identity)[:60]!r} is no uuid of an {noun}")
    return identity


def _date_ms(event: Json) -> int | None:
    """Midnight UTC of the event's date."""
    date = event.get("date")
    if date is None:
        return None
    try:
        date_ms = parse_utc(f"{date}T00:00:00Z")
    except MalformedError:
        date_ms = -1
    if date_ms < 0:
        raise RefusedError("BAD_TIME", f"{str(date)[:40]!r} is no date since 1970")
    return date_ms


def _changed_ms(each: Json, received_ms: int) -> int | None:
    """When it was last changed; MISP writes seconds as text, others as a number."""
    stated = each.get("timestamp")
    if stated is None:
        return None
    if isinstance(stated, bool) or not isinstance(stated, str | int) or not _DIGITS.fullmatch(str(stated)):
        raise RefusedError("BAD_TIME", f"{each['uuid']}: {str(stated)[:40]!r} is no timestamp in seconds")
    changed_ms = int(stated) * SECOND_MS
    if changed_ms > received_ms + BOUNDS.future_ms:
        raise RefusedError("FUTURE_TIME", f"{each['uuid']} was changed at {stated}")
    return changed_ms


# --- handling ---


def _of_event(event: Json) -> Handling:
    if _distribution(event) == _INHERIT:
        raise RefusedError("BAD_DISTRIBUTION", "an event has nothing to inherit from")
    return _stated(event)


def _stated(each: Json) -> Handling:
    """What the distribution and the tags of one element state."""
    return joined([_of_distribution(each), *(_of_tag(name) for name in _tags(each))])


def _distribution(each: Json) -> int | None:
    """The number, which comes as text or as an integer."""
    stated = each.get("distribution")
    if stated is None:
        return None
    if isinstance(stated, bool) or str(stated) not in ("0", "1", "2", "3", "4", "5"):
        raise RefusedError("BAD_DISTRIBUTION", f"{str(stated)[:40]!r} is no distribution from 0 to 5")
    return int(stated)


def _of_distribution(each: Json) -> Handling:
    distribution = _distribution(each)
    if distribution is None or distribution == _INHERIT:
        return Handling()
    told = Category(DISTRIBUTION, "informative", (str(distribution),))
    if distribution == _OWN_ORGANISATION:
        return handling(categories=(told, *_NEVER.categories))
    if distribution == _SHARING_GROUP:
        return handling(categories=(told, Category(SHARING_GROUP, "restrictive", (_group(each),))))
    return handling(categories=(told,))


def _group(each: Json) -> str:
    """The sharing group's uuid, else its id; a group that nobody can tell is one that no grant should name."""
    group = each.get("SharingGroup")
    uuid = group.get("uuid") if isinstance(group, dict) else None
    if isinstance(uuid, str) and _UUID.fullmatch(uuid):
        return uuid.lower()
    identity = str(each.get("sharing_group_id"))
    return identity if _DIGITS.fullmatch(identity) and int(identity) else _NO_GROUP


def _tags(each: Json) -> Iterator[str]:
    """The names of an element's tags; some exports put each tag into a link of its own."""
    tags = each.get("Tag") or []
    tags = [tags] if isinstance(tags, dict) else tags
    for name in ("EventTag", "AttributeTag"):
        links = each.get(name) or []
        if not isinstance(links, list) or not isinstance(tags, list):
            raise RefusedError("BAD_TAG", f"{name} or Tag is no list")
        tags = [*tags, *(link.get("Tag") if isinstance(link, dict) else None for link in links)]
    for tag in tags:
        if not isinstance(tag, dict) or not isinstance(tag.get("name"), str):
            raise RefusedError("BAD_TAG", "a tag has no name")
        yield tag["name"]


def _of_tag(name: str) -> Handling:
    pap = _PAP.fullmatch(name)
    try:
        if _TLP.match(name):
            tlp, unread = parse_tlp(name)
            return handling(tlp=tlp, categories=(unread,) if unread else ())
        return handling(categories=(Category(PAP, "informative", (pap.group(1).upper(),)),)) if pap else Handling()
    except MalformedError as error:
        raise RefusedError("BAD_TAG", error.reason) from None


# --- what else states a handling ---


def _other_parts(each: Json, path: Path) -> Iterator[tuple[str, Handling]]:
    """The members of an element in which something states a handling of its own, each as strict as all in it."""
    for name, member in each.items():
        if (*path, name) != ("Event",):
            yield _selector((*path, name)), joined(set(_inside(member)))


def _inside(value: Any) -> Iterator[Handling]:
    if isinstance(value, dict):
        yield _of_part(value)
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _inside(each)


def _of_part(each: Json) -> Handling:
    """What a part states that is neither attribute nor object; what cannot be understood never leaves."""
    try:
        return restricting(_stated(each))
    except RefusedError:
        return _NEVER


def _selector(path: Path) -> str:
    """A path as rendering writes it."""
    return ".".join(path).replace(".[", "[")
