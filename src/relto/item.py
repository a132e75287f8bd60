"""The one record that travels: an immutable header, and content kept verbatim.

The header is canonical JSON of integers and text; its bytes are signed, stored and sent, and are never written anew
before they are verified. ``sha256`` binds the content. A record that goes to somebody is a *rendition*: the same id and
version, content in the view that was agreed, and ``release`` saying by whom, to whom, under what and with which duties.
Nothing in a rendition's header is computed from what it leaves out; above all not the digest of the full content.

Specification: docs/spec/item.md.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from relto.bounds import BOUNDS
from relto.errors import MalformedError
from relto.labels import Label
from relto.strict import canonical, check_text, parse_canonical

View = Literal["nothing", "notice", "summary", "detail", "full"]
VIEWS: tuple[View, ...] = ("nothing", "notice", "summary", "detail", "full")
OnwardRule = Literal["none", "consent", "list"]

PARTY = re.compile(r"[A-Z][A-Z0-9-]{1,15}", re.ASCII)
KIND = re.compile(r"[a-z]{2,24}\.[a-z][a-z_]{1,31}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MEDIA = re.compile(r"[a-z]+/[a-z0-9.+-]+(?:;version=[0-9.]+)?", re.ASCII)

LAT_E7 = 900_000_000
LON_E7 = 1_800_000_000


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where: a box in 1e-7 degrees WGS 84, a point where its edges are equal; west > east crosses 180 degrees."""

    south_e7: int
    west_e7: int
    north_e7: int
    east_e7: int

    def __post_init__(self) -> None:
        if not -LAT_E7 <= self.south_e7 <= self.north_e7 <= LAT_E7:
            raise MalformedError("latitude out of range.", field="place", remedy="Give -90 to 90 degrees.")
        if not (-LON_E7 <= self.west_e7 <= LON_E7 and -LON_E7 <= self.east_e7 <= LON_E7):
            raise MalformedError("longitude out of range.", field="place", remedy="Give -180 to 180 degrees.")

    @property
    def is_point(self) -> bool:
        """Whether the box is a single position."""
        return self.south_e7 == self.north_e7 and self.west_e7 == self.east_e7


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that this one was derived from."""

    id: str
    version: int


class Onward(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """What the recipient may do with it further: nothing, ask the originator, or pass it to those listed."""

    rule: OnwardRule = "none"
    to: tuple[str, ...] = ()


class Duties(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a release demands. 0 metres and 0 seconds mean as observed; retention None means without an end."""

    precision_m: int = 0
    delay_s: int = 0
    retention_s: int | None = None
    onward: Onward = Onward()
    purposes: tuple[str, ...] = ()


class AgreementRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """One signed version of an agreement; ``sha256`` of the text that was signed."""

    id: str
    version: int
    sha256: str


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By whom and to whom a rendition was released, and on what ground."""

    by: str
    to: str
    edition: int
    view: View
    duties: Duties
    agreements: tuple[AgreementRef, ...]
    rules: tuple[str, ...]
    time_ms: int


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about an item but its content. ``release`` is None on an original, set on a rendition."""

    v: Literal[1]
    id: str
    version: int
    kind: str
    origin: str
    observed_ms: int
    until_ms: int
    place: Place | None
    subjects: tuple[str, ...]
    label: Label
    sources: tuple[Source, ...]
    media_type: str
    size: int
    sha256: str
    release: Release | None = None

    def __post_init__(self) -> None:
        _matches(_ID, self.id, "id")
        _matches(KIND, self.kind, "kind")
        _matches(PARTY, self.origin, "origin")
        _matches(_MEDIA, self.media_type, "media_type")
        _matches(_SHA256, self.sha256, "sha256")
        if self.version < 1 or not 0 <= self.size <= BOUNDS.content_bytes:
            raise MalformedError("version or size out of range.", field="item", remedy="See docs/spec/item.md.")
        if not 0 <= self.observed_ms <= self.until_ms:
            raise MalformedError("ends before it begins.", field="item.observed_ms", remedy="Swap the times.")
        if len(self.subjects) > BOUNDS.subjects or len(self.sources) > BOUNDS.sources:
            raise MalformedError("too many subjects or sources.", field="item", remedy="Split the item.")
        if self.origin not in self.label.originators:
            raise MalformedError("is not among the label's originators.", field="item.origin", remedy="Name it there.")
        if tuple(sorted(set(self.subjects))) != self.subjects:
            raise MalformedError("not sorted, or repeated.", field="item.subjects", remedy="Sort them.")
        for subject in self.subjects:
            check_text(subject, "item.subjects")

    @property
    def domain(self) -> str:
        """The first half of the kind."""
        return self.kind.partition(".")[0]


class Item(msgspec.Struct, frozen=True):
    """A header, the bytes it was signed as, and its content."""

    header: Header
    header_bytes: bytes
    content: bytes


def _matches(pattern: re.Pattern[str], text: str, field: str) -> None:
    if pattern.fullmatch(text) is None:
        raise MalformedError(f"{text[:40]!r} has not the form {pattern.pattern}.", field=f"item.{field}")


def new_item(
    *,
    id: str,
    kind: str,
    origin: str,
    observed_ms: int,
    label: Label,
    content: bytes,
    media_type: str,
    version: int = 1,
    until_ms: int | None = None,
    place: Place | None = None,
    subjects: tuple[str, ...] = (),
    sources: tuple[Source, ...] = (),
    release: Release | None = None,
) -> Item:
    """Make an item: size and digest are taken from the content.

    Raises:
        MalformedError: a field out of its form or range.
    """
    header = Header(
        v=1,
        id=id,
        version=version,
        kind=kind,
        origin=origin,
        observed_ms=observed_ms,
        until_ms=observed_ms if until_ms is None else until_ms,
        place=place,
        subjects=tuple(sorted(set(subjects))),
        label=label,
        sources=sources,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        release=release,
    )
    return Item(header, canonical(header), content)


def parse_item(header_bytes: bytes, content: bytes) -> Item:
    """Read an item from outside and bind the content to its header.

    Raises:
        MalformedError: the header is not canonical, a field is out of range, or the content is another one.
    """
    header = parse_canonical(header_bytes, Header, limit_bytes=BOUNDS.header_bytes)
    if len(content) != header.size or hashlib.sha256(content).hexdigest() != header.sha256:
        raise MalformedError("is not the content that the header names.", field="content", remedy="Ask again.")
    return Item(header, header_bytes, content)
