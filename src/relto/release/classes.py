"""Label classes: everything about an item that a decision may depend on, and nothing else.

Items with equal attributes share a class, so that an agreement epoch decides each class once per recipient and the hot
path is a table look-up. The precise place is not in a class, only the agreed regions that it touches.
"""

from __future__ import annotations

from functools import reduce

import msgspec

from relto.agreements.compile import region_id
from relto.item import Header, Onward, Place
from relto.labels import NOFORN, PURPOSE, REL_TO, Handling, Portion, Tlp, caveats, join_handling
from relto.release.world import Epoch

ONWARD_STRICTNESS = ("none", "consent", "list")


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of one release by which an item, or a source of it, came to its holder."""

    by: str
    onward: Onward
    purposes: tuple[str, ...] = ()
    retention_s: int | None = None


class LabelClass(msgspec.Struct, frozen=True):
    """The decision-relevant attributes of an item or of one portion of it. All tuples are sorted.

    ``came_with`` are the onward rules of all releases by which it came. What holds somebody else's information without
    such a record counts as having come with ``none``.
    """

    origin: str
    originators: tuple[str, ...]
    kind: str
    subjects: tuple[str, ...]
    placed: bool
    regions: tuple[str, ...]
    markings: tuple[str, ...]
    tlp: Tlp
    caveats: tuple[str, ...]
    noforn: bool
    quarantined: bool
    rel_to: tuple[str, ...] | None
    purposes: tuple[str, ...] | None
    foreign: tuple[str, ...]
    came_with: tuple[Onward, ...]
    retention_s: int | None

    @property
    def domain(self) -> str:
        """The first half of the kind."""
        return self.kind.partition(".")[0]


def strictest_onward(a: Onward, b: Onward) -> Onward:
    """The stricter of two onward rules; two lists allow only whom both allow. Associative."""
    if a.rule == b.rule == "list":
        return Onward("list", tuple(sorted(set(a.to) & set(b.to))))
    return min(a, b, key=lambda each: ONWARD_STRICTNESS.index(each.rule))


def settled(onward: Onward) -> Onward:
    """The rule as a release carries it: a list of nobody is ``none``."""
    return Onward("none") if onward == Onward("list", ()) else onward


def shortest_retention(a: int | None, b: int | None) -> int | None:
    """The shorter of two retentions; None is without an end."""
    return min((each for each in (a, b) if each is not None), default=None)


def classify(header: Header, upstream: tuple[Upstream, ...], epoch: Epoch) -> LabelClass:
    """The class of an item without its portions, as its holder sees it in this epoch."""
    return _classify(header, header.label.handling, upstream, epoch)


def classify_portions(
    header: Header, upstream: tuple[Upstream, ...], epoch: Epoch
) -> tuple[tuple[Portion, LabelClass], ...]:
    """The classes of an item's portions; each is handled at least as strictly as the item."""
    base = header.label.handling
    return tuple(
        (portion, _classify(header, join_handling(base, portion.handling), upstream, epoch))
        for portion in header.label.portions
    )


def _classify(header: Header, handling: Handling, upstream: tuple[Upstream, ...], epoch: Epoch) -> LabelClass:
    originators = tuple(sorted({header.origin, *header.label.originators}))
    return LabelClass(
        origin=header.origin,
        originators=originators,
        kind=header.kind,
        subjects=header.subjects,
        placed=header.place is not None,
        regions=_regions(header.place, epoch),
        markings=tuple(sorted({marking.qualified for marking in handling.markings})),
        tlp=handling.tlp,
        caveats=caveats(handling),
        noforn=handling.values(NOFORN, "restrictive") is not None,
        quarantined=header.id in epoch.quarantined_items or not epoch.frozen.isdisjoint(_sources(header, upstream)),
        rel_to=handling.values(REL_TO, "permissive"),
        purposes=_purposes(handling, upstream),
        foreign=tuple(party for party in originators if party != epoch.holder),
        came_with=_came_with(upstream, originators, epoch.holder),
        retention_s=reduce(shortest_retention, (each.retention_s for each in upstream), None),
    )


def _sources(header: Header, upstream: tuple[Upstream, ...]) -> set[str]:
    return {header.origin, *(each.by for each in upstream)}


def _came_with(upstream: tuple[Upstream, ...], originators: tuple[str, ...], holder: str) -> tuple[Onward, ...]:
    if not upstream and originators != (holder,):
        return (Onward("none"),)
    return tuple(sorted({each.onward for each in upstream}))


def _purposes(handling: Handling, upstream: tuple[Upstream, ...]) -> tuple[str, ...] | None:
    marked = handling.values(PURPOSE, "permissive")
    bounds = [set(each.purposes) for each in upstream if each.purposes]
    if marked is not None:
        bounds.append(set(marked))
    return tuple(sorted(set.intersection(*bounds))) if bounds else None


def _regions(place: Place | None, epoch: Epoch) -> tuple[str, ...]:
    if place is None:
        return ()
    touched = (
        region_id(terms, region.name) for terms in epoch.in_force for region in terms.regions if region.touches(place)
    )
    return tuple(sorted(touched))


def bound_by_tlp(onward: Onward, tlp: Tlp) -> Onward:
    """The onward rule narrowed by TLP 2.0: RED and AMBER+STRICT go no further, AMBER only by consent."""
    if tlp in ("RED", "AMBER+STRICT"):
        return Onward("none")
    return strictest_onward(onward, Onward("consent")) if tlp == "AMBER" else onward
