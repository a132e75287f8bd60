"""Renditions: the bytes of an item in the view that was decided, and nothing of what that view leaves out.

Deterministic: the same item, decision and kind give the same bytes. Every rendition passes ``check`` before it may
leave. docs/spec/release.md, section 6.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from relto.clock import SECOND_MS
from relto.item import Duties, Header, Item, Place, Release, View, new_item
from relto.kinds.spec import Kind, Shape
from relto.labels import Handling, Label, Marking, join_handling
from relto.release.check import check
from relto.release.cut import Cut, NothingLeft, Reduced, cut_for
from relto.release.decide import Decision, ItemDecision, withhold
from relto.release.grid import snap_place
from relto.release.misp import reduce_event
from relto.release.reasons import AS_HELD
from relto.release.record import reduce_record
from relto.release.stix import reduce_bundle
from relto.release.table import box_of, reduce_table


def _whole_only(_content: bytes, _cut: Cut) -> Reduced:
    raise NothingLeft("NOT_WHOLE")


_SHAPES: dict[Shape, Callable[[bytes, Cut], Reduced]] = {
    "record": reduce_record,
    "columns": reduce_table,
    "stix": reduce_bundle,
    "misp": reduce_event,
    "opaque": _whole_only,
}


class Rendition(msgspec.Struct, frozen=True):
    """What goes: content, the header's facts as far as the view tells them, and the reasons for every reduction.

    ``decision`` is the final one; it is withheld, and the rendition empty, if nothing was left or the check failed.
    Before ``not_before_ms`` it must not enter a stream.
    """

    decision: Decision
    content: bytes = b""
    place: Place | None = None
    observed_ms: int = 0
    until_ms: int = 0
    label: Label | None = None
    not_before_ms: int = 0


def render(item: Item, answer: ItemDecision, kind: Kind) -> Rendition:
    """Render an item for a decision; withholds if nothing is left or the second check finds anything."""
    if answer.decision.withheld:
        return Rendition(answer.decision)
    cut = cut_for(item.header, answer, kind)
    try:
        reduced = Reduced(item.content) if cut.changes_nothing else _SHAPES[kind.shape](item.content, cut)
        check(item.content, reduced.content, cut)
        rendition = _rendition(item.header, answer.decision, cut, reduced, kind)
    except NothingLeft as nothing:
        return Rendition(withhold(nothing.reason, answer.decision.policy_sha256))
    except Exception:  # INVARIANT: what cannot be rendered and checked stays, and holds up no neighbour
        return Rendition(withhold("RENDER_CHECK_FAILED", answer.decision.policy_sha256))
    return rendition


def _rendition(header: Header, decision: Decision, cut: Cut, reduced: Reduced, kind: Kind) -> Rendition:
    duties = msgspec.structs.replace(decision.duties, precision_m=cut.precision_m)
    return Rendition(
        decision=msgspec.structs.replace(decision, duties=duties, reasons=_reasons(cut.view, duties, reduced)),
        content=reduced.content,
        place=_place(header, cut, reduced, kind),
        observed_ms=cut.coarse_ms(header.observed_ms),
        until_ms=cut.coarse_ms(header.until_ms),
        label=_label(header.label, cut, reduced, decision.marks),
        not_before_ms=header.until_ms + duties.delay_s * SECOND_MS,
    )


def _reasons(view: View, duties: Duties, reduced: Reduced) -> tuple[str, ...]:
    codes = {
        f"PRECISION_{duties.precision_m}": duties.precision_m > 0,
        f"DELAY_{duties.delay_s}": duties.delay_s > 0,
        "FIELD_REMOVED": reduced.removed,
        "REGION_CLIPPED": reduced.clipped,
    }
    whole = AS_HELD if view == "full" else "VIEW_LIMITED"
    return tuple(sorted(code for code, holds in codes.items() if holds)) or (whole,)


def _place(header: Header, cut: Cut, reduced: Reduced, kind: Kind) -> Place | None:
    if header.place is None or cut.changes_nothing:
        return header.place
    if kind.shape == "columns":
        return box_of(reduced.content, kind)
    places = [field for field in kind.fields if field.role == "position"]
    if places and not any(cut.keeps(field) and field.path not in cut.remove | cut.portions for field in places):
        return None
    return snap_place(header.place, cut.precision_m) if cut.precision_m else header.place


def _label(label: Label, cut: Cut, reduced: Reduced, marks: tuple[Marking, ...]) -> Label:
    """The label without its removed portions; a foreign block goes only along with the whole content.

    Where it is another's item, the holder's own equal markings are added; no marking is ever removed.
    """
    marked = join_handling(label.handling, Handling(markings=marks)) if marks else label.handling
    portions = tuple(portion for portion in label.portions if portion.selector not in cut.portions)
    return msgspec.structs.replace(
        label, handling=marked, portions=portions, foreign="" if reduced.removed else label.foreign
    )


def released(item: Item, rendition: Rendition, *, by: str, to: str, edition: int, now_ms: int) -> Item:
    """The rendition as an item for its recipient: same id and version, and the release that binds it to them."""
    decision = rendition.decision
    return new_item(
        id=item.header.id,
        version=item.header.version,
        kind=item.header.kind,
        origin=item.header.origin,
        observed_ms=rendition.observed_ms,
        until_ms=rendition.until_ms,
        place=rendition.place,
        subjects=item.header.subjects,
        label=rendition.label or item.header.label,
        sources=item.header.sources if decision.view == "full" and decision.reasons == (AS_HELD,) else (),
        media_type=item.header.media_type,
        content=rendition.content,
        release=Release(
            by=by,
            to=to,
            edition=edition,
            view=decision.view,
            duties=decision.duties,
            agreements=decision.agreements,
            rules=decision.rules,
            time_ms=now_ms,
        ),
    )
