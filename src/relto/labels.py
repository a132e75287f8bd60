"""Labels: how an item must be handled, kept as its originator wrote it.

Rules that this module keeps:

* A national marking is kept verbatim and is qualified by its policy: the same characters mean different levels in
  different states. A label holds no rank; an agreement's equivalence table gives one, or none.
* ``join`` is the label of what was made from two things. It never lowers anything: markings and restrictive
  categories are united, permissive ones intersected, the higher TLP wins. It is associative, commutative and
  idempotent.
* What is not understood restricts. A restrictive category that no grant names, an unknown TLP colour, a licence
  without a clause: all end in ``caveats`` and withhold.

Shape after STANAG 4774 (ADatP-4774): policy identifier, classification, categories with a tag type; TLP 2.0 (FIRST).
No conformance is claimed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import msgspec

from relto.bounds import BOUNDS
from relto.errors import MalformedError
from relto.strict import check_text

CategoryType = Literal["permissive", "restrictive", "informative"]
Tlp = Literal["", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]

TLP_ORDER: tuple[Tlp, ...] = ("", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")

REL_TO = "REL TO"  # permissive: only these parties
PURPOSE = "PURPOSE"  # permissive: only for these purposes
NOFORN = "NOFORN"  # restrictive: never leaves its party
UNKNOWN_TLP = "TLP"  # restrictive: a colour that we cannot read


class Marking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """One classification as written: whose policy, which level, and the marking's own text, never rewritten."""

    policy: str
    level: str
    text: str

    @property
    def qualified(self) -> str:
        """The level with its policy, as equivalence tables name it: ``JPN:HI``."""
        return f"{self.policy}:{self.level}"


class Category(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A tag with values. A permissive one without values permits nobody; a restrictive one restricts by its tag.

    The empty value stands for the bare tag where it was joined with values.
    """

    tag: str
    type: CategoryType
    values: tuple[str, ...] = ()


class Handling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """What restricts: markings, categories, TLP and provider licences. All sorted, without repeats."""

    markings: tuple[Marking, ...] = ()
    categories: tuple[Category, ...] = ()
    tlp: Tlp = ""
    licences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _sorted(self.markings, "markings", BOUNDS.label_values)
        _sorted(self.categories, "categories", BOUNDS.label_categories)
        _sorted(self.licences, "licences", BOUNDS.label_values)
        tags = [(category.tag, category.type) for category in self.categories]
        if len(set(tags)) != len(tags):
            raise MalformedError("a tag stands twice.", field="label.categories", remedy="Unite its values.")
        for category in self.categories:
            _sorted(category.values, f"label.{category.tag}", BOUNDS.label_values)

    def values(self, tag: str, type: CategoryType) -> tuple[str, ...] | None:
        """The values under a tag, or None where the tag does not stand."""
        return next((c.values for c in self.categories if c.tag == tag and c.type == type), None)


class Portion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A part of the content that is handled more strictly than the rest; ``selector`` names it."""

    selector: str
    handling: Handling


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an item must be handled.

    ``handling`` speaks of the item without its portions; ``overall`` of all of it. ``originators`` are all parties
    whose information is in the item. ``foreign`` is a marking block of another standard, byte for byte.
    """

    handling: Handling
    originators: tuple[str, ...]
    portions: tuple[Portion, ...] = ()
    foreign: str = ""

    def __post_init__(self) -> None:
        _sorted(self.originators, "originators", BOUNDS.label_values)
        _sorted(self.portions, "portions", BOUNDS.label_portions)
        if not self.originators:
            raise MalformedError("nobody is named.", field="label.originators", remedy="Name the originator.")
        selectors = [portion.selector for portion in self.portions]
        if len(set(selectors)) != len(selectors):
            raise MalformedError("a selector stands twice.", field="label.portions", remedy="Join the two.")


def _sorted(values: tuple[object, ...], field: str, limit: int) -> None:
    if len(values) > limit:
        raise MalformedError(f"{len(values)} values, at most {limit}.", field=f"label.{field}", remedy="Split it.")
    if len(values) > 1 and any(not a < b for a, b in pairwise(values)):  # type: ignore[operator]
        raise MalformedError("not sorted, or repeated.", field=f"label.{field}", remedy="Sort the values.")


def handling(
    *,
    markings: tuple[Marking, ...] = (),
    categories: tuple[Category, ...] = (),
    tlp: Tlp = "",
    licences: tuple[str, ...] = (),
) -> Handling:
    """Build a handling from values in any order; texts are checked.

    Raises:
        MalformedError: a text that deceives or is too long, too many values.
    """
    for text in (*licences, *(part for m in markings for part in (m.policy, m.level, m.text))):
        check_text(text, "label")
    for category in categories:
        for text in (category.tag, *category.values):
            check_text(text, "label")
    united: dict[tuple[str, CategoryType], Category] = {}
    for category in categories:
        key = (category.tag, category.type)
        united[key] = _join_category(united[key], category) if key in united else _tidy(category)
    return Handling(
        markings=tuple(sorted(set(markings))),
        categories=tuple(sorted(united.values())),
        tlp=tlp,
        licences=tuple(sorted(set(licences))),
    )


def _tidy(category: Category) -> Category:
    values = tuple(sorted(set(category.values)))
    bare = values == ("",) and category.type != "permissive"
    return Category(category.tag, category.type, () if bare else values)


def _join_category(a: Category, b: Category) -> Category:
    if a.type == "permissive":
        return Category(a.tag, a.type, tuple(sorted(set(a.values) & set(b.values))))
    # A bare tag restricts by itself: beside values it stays as the empty value, or joining would lower it.
    values = set(a.values or ("",)) | set(b.values or ("",))
    return Category(a.tag, a.type, () if values == {""} else tuple(sorted(values)))


def join_handling(a: Handling, b: Handling) -> Handling:
    """The handling of what holds both: at least as strict as each in every respect."""
    return handling(
        markings=a.markings + b.markings,
        categories=a.categories + b.categories,
        tlp=max(a.tlp, b.tlp, key=TLP_ORDER.index),
        licences=a.licences + b.licences,
    )


def join(a: Label, b: Label) -> Label:
    """The label of an item derived from two others.

    Portions do not survive as portions, since what was derived no longer has those parts: their handling is joined
    into the whole. Foreign blocks are kept one under the other.
    """
    blocks = sorted({block for block in (*a.foreign.split("\n\n"), *b.foreign.split("\n\n")) if block})
    return Label(
        handling=join_handling(overall(a), overall(b)),
        originators=tuple(sorted({*a.originators, *b.originators})),
        foreign="\n\n".join(blocks),
    )


def overall(label: Label) -> Handling:
    """The handling of the item together with all its portions: what its banner must say."""
    whole = label.handling
    for portion in label.portions:
        whole = join_handling(whole, portion.handling)
    return whole


def dominates(a: Handling, b: Handling) -> bool:
    """Whether ``a`` is at least as strict as ``b`` in every respect."""
    return join_handling(a, b) == a


def caveats(h: Handling) -> tuple[str, ...]:
    """The restrictions that a grant must name before anything so marked is released under it.

    ``NOFORN`` is not among them: no grant can lift it. A permissive tag that no rule reads limits in a way that is not
    understood, so it has to be named as well.
    """
    tags = [c for c in h.categories if c.type == "restrictive" and c.tag != NOFORN]
    named = [f"{c.tag}:{value}" if value else c.tag for c in tags for value in c.values or ("",)]
    # by its tag alone: its values intersect in a join, which must not make it easier to name
    unread = [c.tag for c in h.categories if c.type == "permissive" and c.tag not in (REL_TO, PURPOSE)]
    return tuple(sorted({*named, *unread, *(f"LICENCE:{licence}" for licence in h.licences)}))


def parse_tlp(text: str) -> tuple[Tlp, Category | None]:
    """Read a TLP 1 or 2 colour; WHITE is CLEAR. An unknown colour gives a restrictive category instead.

    AMBER+STRICT is never read as AMBER, which would widen it.
    """
    word = text.strip().upper().removeprefix("TLP:").strip()
    word = "CLEAR" if word == "WHITE" else word
    for colour in TLP_ORDER[1:]:
        if word == colour:
            return colour, None
    return "", Category(UNKNOWN_TLP, "restrictive", (check_text(word or "EMPTY", "tlp"),))


def banner(h: Handling) -> str:
    """One line for a marking strip: national markings first, then TLP, categories and licences."""
    parts = [f"{m.policy} {m.text}" for m in h.markings]
    if h.tlp:
        parts.append(f"TLP:{h.tlp}")
    parts += [" ".join([c.tag, *c.values]) for c in h.categories if c.type != "informative"]
    parts += [f"licence {licence}" for licence in h.licences]
    return " // ".join(parts)
