"""What a format yields from bytes: records that are ready to become items, and what became of the others.

A draft knows only what the record itself says. Its id, its origin and the label's defaults are the node's to give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

import msgspec

from relto.bounds import BOUNDS
from relto.errors import MalformedError
from relto.formats import rejects
from relto.item import Place
from relto.labels import (
    NOFORN,
    TLP_ORDER,
    Category,
    Handling,
    Portion,
    dominates,
    join_handling,
)
from relto.strict import canonical

_TITLE_CHARS = 80
_PORTIONS_BYTES = BOUNDS.header_bytes // 2  # the other half of a header is for everything else


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A record before the node gives it an id and an origin.

    ``content`` is what came, byte for byte, unless the format says otherwise. ``handling`` and ``portions`` are what
    the record says of itself: TLP, REL TO, licences, categories. ``foreign`` is a marking block of another standard,
    verbatim, where the content does not carry it itself. ``external_id`` is the source's own id, empty if it gave none.
    """

    kind: str
    media_type: str
    content: bytes
    observed_ms: int
    until_ms: int
    place: Place | None = None
    subjects: tuple[str, ...] = ()
    handling: Handling = Handling()
    portions: tuple[Portion, ...] = ()
    foreign: str = ""
    title: str = ""
    external_id: str = ""


class Intake(msgspec.Struct, frozen=True):
    """The drafts of one file or message, and the counts of everything that was read in it."""

    drafts: tuple[Draft, ...]
    summary: rejects.Intake


def short(text: str) -> str:
    """The text on one line and short enough for a list."""
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_CHARS else f"{line[: _TITLE_CHARS - 1]}…"


def joined(handlings: Iterable[Handling]) -> Handling:
    """One handling that is at least as strict as each; what a label has no room for never leaves its party."""
    distinct = sorted(set(handlings))
    try:
        return reduce(join_handling, distinct, Handling())
    except MalformedError:
        tlp = max((each.tlp for each in distinct), key=TLP_ORDER.index)
        return Handling(categories=(Category(NOFORN, "restrictive"),), tlp=tlp)


def restricting(handling: Handling) -> Handling:
    """The handling without its informative categories."""
    kept = tuple(category for category in handling.categories if category.type != "informative")
    return msgspec.structs.replace(handling, categories=kept)


def settle(base: Handling, parts: Mapping[str, Handling]) -> tuple[Handling, tuple[Portion, ...]]:
    """The handling of a whole and the portions of it that are stricter, by selector.

    Guarantees that the label fits its bounds: where there are too many portions for a header, their handling is joined
    into that of the whole, which is then stricter than it need be.
    """
    stricter = {each for each in set(parts.values()) if not dominates(base, each)}
    portions = tuple(Portion(name, parts[name]) for name in sorted(parts) if parts[name] in stricter)
    if len(portions) > BOUNDS.label_portions or sum(len(canonical(each)) for each in portions) > _PORTIONS_BYTES:
        return joined([base, *stricter]), ()
    return base, portions
