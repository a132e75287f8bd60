"""What a kind's content looks like, and which of its fields belong to which view.

A field that the kind does not name is unknown, and unknown is withheld: it leaves in the full view only. Rendering
reads these tables; it knows five *shapes* and no kind by name. An *opaque* content is not looked into: it goes whole,
or not at all.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Literal

import msgspec

from relto.errors import OurError
from relto.item import KIND, View

Shape = Literal["record", "columns", "stix", "misp", "opaque"]
Urgency = Literal["routine", "priority", "distress"]
Role = Literal["position", "lat_e7", "lon_e7", "time", "time_ms", "identity", "text", "measure", "person", "reference"]


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field: where it stands (dots between the steps), what it is, and the lowest view that holds it."""

    path: str
    view: View
    role: Role = "measure"


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of item. What is urgent goes ahead of everything routine, distress first."""

    name: str
    title: str
    shape: Shape
    media_type: str
    fields: tuple[Field, ...] = ()
    urgency: Urgency = "routine"

    def paths(self, *roles: Role) -> tuple[str, ...]:
        """The paths of the fields with one of these roles."""
        return tuple(field.path for field in self.fields if field.role in roles)


class Kinds(msgspec.Struct, frozen=True):
    """All kinds that a node knows, by name."""

    by_name: dict[str, Kind]

    def __getitem__(self, name: str) -> Kind:
        kind = self.by_name.get(name)
        if kind is None:
            raise OurError(f"No kind is named {name!r}.", remedy=f"Known: {', '.join(sorted(self.by_name))}.")
        return kind

    def __contains__(self, name: str) -> bool:
        return name in self.by_name


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: tuple[Kind, ...]


def parse_kinds(text: str, source: str) -> tuple[Kind, ...]:
    """Read the kinds of one domain file.

    Raises:
        OurError: the file is not of the form, or names a kind wrongly.
    """
    try:
        kinds = msgspec.convert(tomllib.loads(text), _File).kind
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise OurError(str(error), field=source, remedy="See docs/spec/item.md, section 4.") from None
    for kind in kinds:
        if KIND.fullmatch(kind.name) is None:
            raise OurError(
                f"{kind.name!r} is not domain.noun.", field=source, remedy="Name it like maritime.detection."
            )
    return kinds


def shipped_kinds() -> Kinds:
    """The kinds that come with the package."""
    found: dict[str, Kind] = {}
    for entry in sorted(resources.files("relto.kinds").iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".toml"):
            found |= {kind.name: kind for kind in parse_kinds(entry.read_text("utf-8"), entry.name)}
    return Kinds(found)
