"""Why: the rules one by one, in the order in which they run, in plain Python.

This is a second reading of the same clauses that Cedar decides by. ``decide`` compares the two for every class and
withholds where they differ, so an explanation can never tell of a release that the policy would not make, nor the
other way round. The order and the codes are those of docs/spec/release.md, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from relto.agreements.compile import region_id, rule_id
from relto.agreements.terms import Grant, Scope, Terms
from relto.labels import TLP_ORDER
from relto.release.classes import LabelClass
from relto.release.reasons import REMEDIES, WITHHELD
from relto.release.world import Epoch

Glyph = Literal["pass", "reduce", "stop", "skip"]


class Step(msgspec.Struct, frozen=True):
    """One rule as it ran: what it found, the value that decided, and the clause or law that says so."""

    glyph: Glyph
    sentence: str
    value: str
    clause: str


class Examination(msgspec.Struct, frozen=True):
    """All steps up to the one that stopped; ``stopped_by`` is empty if none did."""

    steps: tuple[Step, ...]
    stopped_by: str
    covering: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """What would change a refusal, the shortest lawful way first."""
        return REMEDIES.get(self.stopped_by, "")


def examine(cls: LabelClass, recipient: str, epoch: Epoch) -> Examination:
    """Run every rule for one class and recipient; total and without side effects."""
    steps: list[Step] = []
    for code, passed, value, clause in _law(cls, recipient, epoch):
        if not passed:
            stop = Step("stop", WITHHELD[code], value, clause)
            return Examination((*steps, stop, LATER), code, ())
        steps.append(Step("pass", _PASSED[code], value, clause))
    return _grants(cls, recipient, epoch, tuple(steps))


LATER = Step("skip", "Later rules were not evaluated.", "", "")
_PASSED = {
    "NO_AGREEMENT": "An agreement in force names both parties.",
    "AGREEMENT_NOT_IN_FORCE": "An agreement in force names both parties.",
    "QUARANTINED": "Neither the recipient nor the record is in quarantine.",
    "NATIONAL_OVERRIDE": "No law of the holder keeps it back.",
    "REFUSED_BY_CLAUSE": "No clause keeps it back.",
    "NOFORN": "It may leave its party.",
    "NOT_RELEASABLE_TO": "Its releasability allows the recipient.",
    "TLP_RED_NOT_NAMED": "Its TLP colour allows this recipient.",
    "ONWARD_NONE": "No other party's information is in it, or its terms allow passing it on.",
    "ONWARD_CONSENT_MISSING": "It holds no other party's information than the recipient's own.",
}

Rule = tuple[str, bool, str, str]


def _law(cls: LabelClass, recipient: str, epoch: Epoch) -> Iterator[Rule]:
    """Section 2: code, whether it passes, the value that decided, the source."""
    agreements = epoch.between(recipient)
    names = ", ".join(f"{terms.ref.id} v{terms.ref.version}" for terms in agreements)
    dormant = bool(epoch.dormant_between(recipient))
    missing = "AGREEMENT_NOT_IN_FORCE" if dormant and not agreements else "NO_AGREEMENT"
    yield missing, bool(agreements), names, "law/agreement"
    quarantined = cls.quarantined or recipient in epoch.quarantined_parties
    yield "QUARANTINED", not quarantined, "", "law/quarantine"
    override = next(
        (each for each in epoch.overrides if _refuses(each.scope, each.scope.recipients, cls, recipient)), None
    )
    yield (
        "NATIONAL_OVERRIDE",
        override is None,
        override.text if override else "",
        f"override/{override.id}" if override else "",
    )
    refusal = _refusal(agreements, cls, recipient)
    yield "REFUSED_BY_CLAUSE", refusal == "", refusal, refusal
    yield "NOFORN", not cls.noforn, "NOFORN" if cls.noforn else "", "law/noforn"
    listed = cls.rel_to is None or recipient in cls.rel_to
    yield "NOT_RELEASABLE_TO", listed, _rel_to(cls), "law/rel-to"
    red = cls.tlp == "RED" and (cls.rel_to is None or recipient not in cls.rel_to)
    yield "TLP_RED_NOT_NAMED", not red, f"TLP:{cls.tlp}" if cls.tlp else "", "law/tlp-red"
    others = tuple(party for party in cls.foreign if party != recipient)
    barred = any(each.rule == "none" or (each.rule == "list" and recipient not in each.to) for each in cls.came_with)
    asked = any(each.rule == "consent" for each in cls.came_with)
    code = "ONWARD_CONSENT_MISSING" if asked and not barred else "ONWARD_NONE"
    passable = not others or not (barred or asked)
    yield code, passable, ", ".join(others), "law/third-party"


def _rel_to(cls: LabelClass) -> str:
    return "" if cls.rel_to is None else f"REL TO {', '.join(cls.rel_to)}"


def _refusal(agreements: tuple[Terms, ...], cls: LabelClass, recipient: str) -> str:
    for terms in agreements:
        for refusal in terms.refusals:
            scope = refusal.scope
            if _refuses(scope, terms.recipients(refusal), cls, recipient, terms):
                return rule_id(terms, refusal)
    return ""


def _refuses(
    scope: Scope, recipients: tuple[str, ...], cls: LabelClass, recipient: str, terms: Terms | None = None
) -> bool:
    regions = tuple(region_id(terms, name) for name in scope.regions) if terms else scope.regions
    return (
        recipient in recipients
        and not set(scope.originators).isdisjoint(cls.originators)
        and cls.domain in scope.domains
        and (not scope.kinds or cls.kind in scope.kinds)
        and _one_of(scope.subjects, cls.subjects)
        and (not cls.placed or _one_of(regions, cls.regions))
    )


def _grants(cls: LabelClass, recipient: str, epoch: Epoch, steps: tuple[Step, ...]) -> Examination:
    """Section 3: every grant that covers; else the one that got furthest."""
    covering: list[str] = []
    furthest, stop = -1, ("RECIPIENT_NOT_COVERED", "", "")
    for terms in epoch.between(recipient):
        for grant in terms.grants:
            reached, code, value = _progress(terms, grant, cls, recipient, epoch.holder)
            if code == "":
                covering.append(rule_id(terms, grant))
            elif reached > furthest:
                furthest, stop = reached, (code, value, rule_id(terms, grant))
    if covering:
        covered = tuple(
            Step("pass", _clause_text(epoch, rule), _view_of(epoch, rule), rule) for rule in sorted(covering)
        )
        return Examination((*steps, *covered), "", tuple(sorted(covering)))
    code, value, clause = stop
    return Examination((*steps, Step("stop", WITHHELD[code], value, clause)), code, ())


def _progress(terms: Terms, grant: Grant, cls: LabelClass, recipient: str, holder: str) -> tuple[int, str, str]:
    """How many tests a grant passed, and the code and value of the one that it failed."""
    reached = 0
    for reached, (code, passed, value) in enumerate(_tests(terms, grant, cls, recipient, holder)):
        if not passed:
            return reached, code, value
    return reached + 1, "", ""


def _tests(terms: Terms, grant: Grant, cls: LabelClass, recipient: str, holder: str) -> Iterator[tuple[str, bool, str]]:
    """Section 3: code, whether it passes, the value that decided."""
    scope = grant.scope
    yield "RECIPIENT_NOT_COVERED", recipient in terms.recipients(grant), recipient
    yield "ORIGINATOR_NOT_COVERED", cls.origin in scope.originators, cls.origin
    yield "HOLDER_NOT_COVERED", not grant.by or holder in grant.by, holder
    yield "DOMAIN_NOT_COVERED", cls.domain in scope.domains, cls.domain
    yield "KIND_NOT_COVERED", not scope.kinds or cls.kind in scope.kinds, cls.kind
    yield "SUBJECT_NOT_COVERED", _one_of(scope.subjects, cls.subjects), ", ".join(cls.subjects) or "no subject"
    regions = tuple(region_id(terms, name) for name in scope.regions)
    yield "REGION_NOT_COVERED", _one_of(regions, cls.regions), ", ".join(scope.regions)
    unmapped = [marking for marking in cls.markings if terms.shown_as(marking, recipient) is None]
    yield "LEVEL_UNMAPPED", bool(cls.markings) and not unmapped, ", ".join(unmapped) or "no marking"
    above = sorted(set(cls.markings) - terms.accepted_markings(grant.ceiling, recipient))
    yield "LEVEL_ABOVE_CEILING", not above, f"{', '.join(above)} is over {grant.ceiling}"
    over = TLP_ORDER.index(cls.tlp) > TLP_ORDER.index(grant.tlp_ceiling)
    yield "TLP_ABOVE_CEILING", not over, f"TLP:{cls.tlp} is over TLP:{grant.tlp_ceiling}"
    unnamed = sorted(set(cls.caveats) - set(grant.caveats))
    yield "CAVEAT_NOT_COVERED", not unnamed, ", ".join(unnamed)
    kept = cls.purposes is None or bool(grant.purposes and set(grant.purposes) <= set(cls.purposes))
    yield "PURPOSE_NOT_COVERED", kept, ", ".join(cls.purposes or ()) or "no purpose"


def _one_of(wanted: tuple[str, ...], found: tuple[str, ...]) -> bool:
    """Whether a limit is met; without a limit, always."""
    return not wanted or not set(wanted).isdisjoint(found)


def _grant(epoch: Epoch, rule: str) -> Grant:
    return next(grant for terms in epoch.in_force for grant in terms.grants if rule_id(terms, grant) == rule)


def _clause_text(epoch: Epoch, rule: str) -> str:
    return _grant(epoch, rule).text


def _view_of(epoch: Epoch, rule: str) -> str:
    return _grant(epoch, rule).view
