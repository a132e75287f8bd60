"""What an agreement says, as frozen values. ``document`` reads them from the signed text; nothing else makes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from relto.item import LON_E7, AgreementRef, Onward, Place, View
from relto.labels import Tlp

Tier = Literal["T0", "T1", "T2", "T3"]
TIERS: tuple[Tier, ...] = ("T0", "T1", "T2", "T3")
_TURN_E7 = 2 * LON_E7
ClauseKind = Literal["enforced", "evidenced", "recorded"]
CLAUSE_KINDS: tuple[ClauseKind, ...] = ("enforced", "evidenced", "recorded")


class PartyEntry(msgspec.Struct, frozen=True):
    """A party that signs, and the participation tier that the parties give it here."""

    id: str
    name: str
    tier: Tier


class Term(msgspec.Struct, frozen=True):
    """When the agreement is in force: from (inclusive) until (exclusive; None is without an end)."""

    from_ms: int
    until_ms: int | None
    notice_days: int


class Rung(msgspec.Struct, frozen=True):
    """One level of the agreement's own ladder.

    ``sends``: party -> its national levels that mean this rung. ``shows``: party -> the level as which it is handled
    there. A party that stands in neither cannot send or receive at this rung. The table is directed: sending and
    showing may differ.
    """

    name: str
    sends: dict[str, tuple[str, ...]]
    shows: dict[str, str]


class Region(msgspec.Struct, frozen=True):
    """A named area: boxes in 1e-7 degrees, any of which may hold the place."""

    name: str
    boxes: tuple[Place, ...]

    def touches(self, place: Place) -> bool:
        """Whether the place and the region have a point in common."""
        return any(_overlap(box, place) for box in self.boxes)

    def holds(self, lat_e7: int, lon_e7: int) -> bool:
        """Whether the position lies in the region."""
        return self.touches(Place(lat_e7, lon_e7, lat_e7, lon_e7))


class Scope(msgspec.Struct, frozen=True):
    """Which items from whom to whom. An empty tuple of subjects, kinds or regions does not limit; others match none."""

    originators: tuple[str, ...]
    recipients: tuple[str, ...]
    tiers: tuple[Tier, ...]
    domains: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


class Grant(msgspec.Struct, frozen=True):
    """One clause that lets something go, with the duties that it demands.

    ``by`` are the parties that may release by it, such as a hub; empty does not limit.
    """

    id: str
    text: str
    scope: Scope
    ceiling: str
    view: View
    tlp_ceiling: Tlp = "AMBER"
    precision_m: int = 0
    delay_s: int = 0
    remove: tuple[str, ...] = ()
    retention_s: int | None = None
    onward: Onward = Onward()
    purposes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """One clause that keeps something back, whatever else allows it."""

    id: str
    text: str
    scope: Scope


class Clause(msgspec.Struct, frozen=True):
    """One clause in words only, and what stands behind it: the software, evidence after the fact, or the record."""

    id: str
    text: str
    kind: ClauseKind


class Terms(msgspec.Struct, frozen=True):
    """An agreement's terms, and the reference (id, version, digest of the text) by which releases name it."""

    ref: AgreementRef
    title: str
    illustration: bool
    note: str
    parties: tuple[PartyEntry, ...]
    term: Term
    ladder: tuple[Rung, ...]
    regions: tuple[Region, ...]
    grants: tuple[Grant, ...]
    refusals: tuple[Refusal, ...]
    clauses: tuple[Clause, ...] = ()

    def party(self, party: str) -> PartyEntry | None:
        """The entry of a party, or None if it does not sign."""
        return next((entry for entry in self.parties if entry.id == party), None)

    def region(self, name: str) -> Region:
        """The region of this name; ``document`` has checked that it exists."""
        return next(region for region in self.regions if region.name == name)

    def recipients(self, grant: Grant | Refusal) -> tuple[str, ...]:
        """Every party that a clause may reach, by name or by the tier that the text gives it."""
        named = [e.id for e in self.parties if e.id in grant.scope.recipients or e.tier in grant.scope.tiers]
        return tuple(sorted(named))

    def rungs_up_to(self, ceiling: str) -> tuple[Rung, ...]:
        """The rungs from the lowest to the ceiling, inclusive."""
        names = [rung.name for rung in self.ladder]
        return self.ladder[: names.index(ceiling) + 1]

    def accepted_markings(self, ceiling: str, recipient: str) -> frozenset[str]:
        """Every national level (``JPN:HI``) that means at most the ceiling and has an equal at the recipient."""
        return frozenset(
            f"{party}:{level}"
            for rung in self.rungs_up_to(ceiling)
            if recipient in rung.shows
            for party, levels in rung.sends.items()
            for level in levels
        )

    def shown_as(self, qualified: str, recipient: str) -> str | None:
        """The level as which a marking is handled at the recipient, or None if the table has no row for it."""
        party, _, level = qualified.partition(":")
        for rung in self.ladder:
            if level in rung.sends.get(party, ()):
                return rung.shows.get(recipient)
        return None

    def equal_of(self, qualified: Iterable[str], party: str) -> str | None:
        """The party's own level that means the highest rung of these markings, or None if it has none there.

        It is the level as which the party handles that rung, if the party sends that level too.
        """
        rung = self.highest(qualified)
        if rung is None:
            return None
        own, shown = rung.sends.get(party, ()), rung.shows.get(party)
        return shown if shown in own else next(iter(own), None)

    def highest(self, qualified: Iterable[str]) -> Rung | None:
        """The highest rung that any of these markings means; None if none of them means any."""
        levels = set(qualified)
        for rung in reversed(self.ladder):
            if any(f"{sender}:{level}" in levels for sender, sent in rung.sends.items() for level in sent):
                return rung
        return None


def _overlap(a: Place, b: Place) -> bool:
    """Whether two boxes have a point in common; 180 degrees east and west are one meridian."""
    if a.south_e7 > b.north_e7 or b.south_e7 > a.north_e7:
        return False
    (a_west, a_east), (b_west, b_east) = _unrolled(a), _unrolled(b)
    return any(a_west <= b_east + turn and b_west + turn <= a_east for turn in (-_TURN_E7, 0, _TURN_E7))


def _unrolled(place: Place) -> tuple[int, int]:
    """The box's longitudes with the east edge beyond 180 degrees where it crosses it."""
    return place.west_e7, place.east_e7 + (_TURN_E7 if place.west_e7 > place.east_e7 else 0)
