"""The decision: what may go to one recipient, in which view, with which duties, and because of what.

``decide_class`` is total: it answers for any class, and an error while deciding withholds. Cedar decides; the plain
reading of the clauses (``explain``) must come to the same, or the answer is WITHHELD with ``DECISION_ERROR``.

``Table`` remembers each (class, recipient) for as long as the epoch lasts. Time is in neither: delay is a duty.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal

import cedarpy
import msgspec
import numpy as np
import numpy.typing as npt

from relto.agreements.compile import rule_id
from relto.agreements.terms import Grant, Region, Terms
from relto.item import VIEWS, AgreementRef, Duties, Header, Onward, Place, View
from relto.labels import Marking
from relto.release.classes import (
    LabelClass,
    Upstream,
    bound_by_tlp,
    classify,
    classify_portions,
    settled,
    shortest_retention,
    strictest_onward,
)
from relto.release.explain import examine
from relto.release.reasons import AS_HELD
from relto.release.world import CompiledPolicy, Epoch

Verdict = Literal["FULL", "SANITISED", "WITHHELD"]


class Decision(msgspec.Struct, frozen=True):
    """The answer for a class. ``rules`` are all covering grants, the deciding one first; for WITHHELD, none.

    ``marks`` are the holder's own levels equal to those of what it passes on, by the deciding agreement's table.
    ``fault`` says what went wrong behind a ``DECISION_ERROR``; it is for the holder's log, never for a peer.
    """

    view: View
    duties: Duties
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    agreements: tuple[AgreementRef, ...]
    remove: tuple[str, ...]
    regions: tuple[Region, ...]
    policy_sha256: str
    fault: str = ""
    marks: tuple[Marking, ...] = ()

    @property
    def withheld(self) -> bool:
        """Whether nothing goes."""
        return self.view == "nothing"

    @property
    def verdict(self) -> Verdict:
        """The answer in one word, as far as it can be known without the content."""
        if self.withheld:
            return "WITHHELD"
        return "FULL" if self.reasons == (AS_HELD,) and self.view == "full" else "SANITISED"


class ItemDecision(msgspec.Struct, frozen=True):
    """The answer for an item: that for its class, and the portions that must be taken out."""

    decision: Decision
    removed_portions: tuple[str, ...]


def withhold(reason: str, policy_sha256: str = "", fault: str = "") -> Decision:
    """The answer that lets nothing go."""
    return Decision("nothing", Duties(), (reason,), (), (), (), (), policy_sha256, fault)


def decide_class(cls: LabelClass, recipient: str, epoch: Epoch) -> Decision:
    """Decide for one class and recipient. Never raises for a reason that lies in the class or the agreements."""
    try:
        examination = examine(cls, recipient, epoch)
        policy = epoch.policy(recipient)
        covering = _covering(policy, cls, recipient, epoch.holder)
    except Exception as error:  # INVARIANT: an error while deciding withholds, whatever it was
        return withhold("DECISION_ERROR", fault=f"{type(error).__name__}: {error}")
    if covering != examination.covering:
        fault = f"Cedar: {covering or 'none'}, clauses read plainly: {examination.covering or 'none'}"
        return withhold("DECISION_ERROR", policy.sha256, fault)
    if not covering:
        return withhold(examination.stopped_by, policy.sha256)
    return _released([policy.grants[rule] for rule in covering], cls, epoch.holder, policy.sha256)


def _covering(policy: CompiledPolicy, cls: LabelClass, recipient: str, holder: str) -> tuple[str, ...]:
    """The grants by which Cedar lets at least a notice go; the best of them is asked for by name as well."""
    entities = [_entity(cls, holder)]
    allowed = _ask(policy, entities, recipient, "notice")
    if allowed:
        best = max((policy.grants[rule][1].view for rule in allowed), key=VIEWS.index)
        if not _ask(policy, entities, recipient, best):
            return ()
    return allowed


def _ask(policy: CompiledPolicy, entities: list[dict[str, Any]], recipient: str, view: View) -> tuple[str, ...]:
    request = {
        "principal": {"type": "Relto::Party", "id": recipient},
        "action": {"type": "Relto::Action", "id": f"release_{view}"},
        "resource": {"type": "Relto::Item", "id": "class"},
        "context": {},
    }
    answer = cedarpy.is_authorized(request, policy.policies, entities, policy.schema)
    if answer.diagnostics.errors or answer.decision != cedarpy.Decision.Allow:
        return ()
    return tuple(sorted(answer.diagnostics.id_annotations_by_reason.values()))


def _entity(cls: LabelClass, holder: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "holder": _party(holder),
        "origin": _party(cls.origin),
        "originators": [_party(party) for party in cls.originators],
        "domain": cls.domain,
        "kind": cls.kind,
        "subjects": list(cls.subjects),
        "placed": cls.placed,
        "regions": list(cls.regions),
        "markings": list(cls.markings),
        "tlp": cls.tlp,
        "caveats": list(cls.caveats),
        "noforn": cls.noforn,
        "quarantined": cls.quarantined,
        "foreign": [_party(party) for party in cls.foreign],
        "may_pass": all(each.rule == "list" for each in cls.came_with),
        "pass_to": [_party(party) for party in _pass_to(cls)],
    }
    if cls.rel_to is not None:
        attributes["rel_to"] = [_party(party) for party in cls.rel_to]
    if cls.purposes is not None:
        attributes["purposes"] = list(cls.purposes)
    return {"uid": {"type": "Relto::Item", "id": "class"}, "attrs": attributes, "parents": []}


def _pass_to(cls: LabelClass) -> tuple[str, ...]:
    """To whom every release by which it came lists that it may go on."""
    return reduce(strictest_onward, cls.came_with).to if cls.came_with else ()


def _party(party: str) -> dict[str, dict[str, str]]:
    return {"__entity": {"type": "Relto::Party", "id": party}}


def _released(grants: list[tuple[Terms, Grant]], cls: LabelClass, holder: str, policy_sha256: str) -> Decision:
    """Best view wins; the strictest onward rule and the shortest retention of all covering grants bind."""
    ordered = sorted(grants, key=_preference)
    terms, deciding = ordered[0]
    onward = reduce(strictest_onward, (*(grant.onward for _, grant in ordered), *cls.came_with))
    retention_s = reduce(shortest_retention, (grant.retention_s for _, grant in ordered), cls.retention_s)
    duties = Duties(
        precision_m=deciding.precision_m,
        delay_s=deciding.delay_s,
        retention_s=retention_s,
        onward=bound_by_tlp(onward, cls.tlp),
        purposes=deciding.purposes,
    )
    return Decision(
        view=deciding.view,
        duties=duties,
        reasons=_reductions(duties),
        rules=tuple(rule_id(t, g) for t, g in ordered),
        agreements=tuple(sorted({t.ref for t, _ in ordered})),
        remove=deciding.remove,
        regions=tuple(terms.region(name) for name in deciding.scope.regions),
        policy_sha256=policy_sha256,
        marks=_marks(terms, cls, holder),
    )


def _marks(terms: Terms, cls: LabelClass, holder: str) -> tuple[Marking, ...]:
    """The holder's marking of what another made: its equal by the agreement's table, added and never in place."""
    if cls.origin == holder or any(marking.startswith(f"{holder}:") for marking in cls.markings):
        return ()
    level = terms.equal_of(cls.markings, holder)
    return (Marking(holder, level, level),) if level else ()


def _preference(entry: tuple[Terms, Grant]) -> tuple[int, int, int, str, str, int]:
    terms, grant = entry
    view = -VIEWS.index(grant.view)
    return view, grant.precision_m, grant.delay_s, terms.ref.id, grant.id, -terms.ref.version


def _reductions(duties: Duties) -> tuple[str, ...]:
    codes = [f"PRECISION_{duties.precision_m}"] if duties.precision_m else []
    if duties.delay_s:
        codes.append(f"DELAY_{duties.delay_s}")
    return tuple(sorted(codes)) or (AS_HELD,)


class Table:
    """Decisions of one epoch, each made once. Safe to share between threads: a race only decides twice the same."""

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch
        self._known: dict[tuple[LabelClass, str], Decision] = {}

    def decide(self, cls: LabelClass, recipient: str) -> Decision:
        """The decision for a class, from memory if it is known."""
        known = self._known.get((cls, recipient))
        if known is None:
            known = decide_class(cls, recipient, self.epoch)
            self._known[cls, recipient] = known
        return known

    def decide_item(self, header: Header, upstream: tuple[Upstream, ...], recipient: str) -> ItemDecision:
        """Decide an item and each of its portions (docs/spec/release.md, section 5)."""
        whole = self.decide(classify(header, upstream, self.epoch), recipient)
        if whole.withheld:
            return ItemDecision(whole, ())
        removed: list[str] = []
        duties, marks = whole.duties, set(whole.marks)
        for portion, cls in classify_portions(header, upstream, self.epoch):
            part = self.decide(cls, recipient)
            if _stricter(part, whole):
                removed.append(portion.selector)
            else:
                duties = _bound_by(duties, part.duties)
                marks |= set(part.marks)
        duties = msgspec.structs.replace(duties, onward=settled(duties.onward))
        decided = msgspec.structs.replace(whole, duties=duties, marks=tuple(sorted(marks)))
        return ItemDecision(decided, tuple(removed))

    def matrix(self, classes: Sequence[LabelClass], recipients: Sequence[str]) -> tuple[Codes, tuple[Decision, ...]]:
        """Decide many at once: a (classes, recipients) array of indices into the distinct decisions.

        For items, gather: ``codes[class_ids]`` is the answer for each of them.
        """
        distinct: dict[Decision, int] = {}
        codes = np.empty((len(classes), len(recipients)), dtype=np.uint16)
        for row, cls in enumerate(classes):
            for column, recipient in enumerate(recipients):
                codes[row, column] = distinct.setdefault(self.decide(cls, recipient), len(distinct))
        return codes, tuple(distinct)


Codes = npt.NDArray[np.uint16]


def _stricter(part: Decision, whole: Decision) -> bool:
    """Whether a portion's terms are not met by what the whole goes with."""
    purposes = set(part.duties.purposes)
    return (
        VIEWS.index(part.view) < VIEWS.index(whole.view)
        or part.duties.precision_m > whole.duties.precision_m
        or part.duties.delay_s > whole.duties.delay_s
        or bool(purposes and not (whole.duties.purposes and set(whole.duties.purposes) <= purposes))
        or not set(part.remove) <= set(whole.remove)
        or (bool(part.regions) and not (whole.regions and _areas(whole) <= _areas(part)))
    )


def _areas(decision: Decision) -> set[Place]:
    return {box for region in decision.regions for box in region.boxes}


def _bound_by(duties: Duties, part: Duties) -> Duties:
    onward: Onward = strictest_onward(duties.onward, part.onward)
    retention_s = shortest_retention(duties.retention_s, part.retention_s)
    return msgspec.structs.replace(duties, onward=onward, retention_s=retention_s)
