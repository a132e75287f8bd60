"""What to take out of a content, and how exact to leave the rest: the decision as rendering needs it."""

from __future__ import annotations

import msgspec

from relto.agreements.terms import Region
from relto.clock import HOUR_MS
from relto.item import VIEWS, Header, View
from relto.kinds.spec import Field, Kind
from relto.release.decide import ItemDecision
from relto.release.grid import NOTICE_PRECISION_M

_TIME_STEP_MS = {"notice": HOUR_MS, "summary": HOUR_MS // 6}


class Cut(msgspec.Struct, frozen=True):
    """One way of reducing contents of one kind.

    ``remove`` are paths that a grant takes out, ``portions`` selectors that the label takes out.
    """

    kind: Kind
    view: View
    precision_m: int
    remove: frozenset[str]
    portions: frozenset[str]
    regions: tuple[Region, ...]

    @property
    def changes_nothing(self) -> bool:
        """Whether the content goes byte for byte."""
        return (
            self.view == "full"
            and not self.precision_m
            and not self.remove
            and not self.portions
            and not (self.regions and self.kind.shape == "columns")
        )

    @property
    def keeps_unknown(self) -> bool:
        """Whether fields that the kind does not name may stay: only where nothing is coarsened or left out by view."""
        return self.view == "full" and not self.precision_m

    def keeps(self, field: Field | None) -> bool:
        """Whether a field is in this view; unknown ones are not, but in the full view."""
        if field is None:
            return self.keeps_unknown
        return VIEWS.index(field.view) <= VIEWS.index(self.view)

    @property
    def time_step_ms(self) -> int:
        """How exactly this view tells times."""
        return _TIME_STEP_MS.get(self.view, 1)

    def coarse_ms(self, instant_ms: int) -> int:
        """The instant as this view tells it."""
        return instant_ms // self.time_step_ms * self.time_step_ms


class Reduced(msgspec.Struct, frozen=True):
    """A reduced content and what was done to it."""

    content: bytes
    removed: bool = False
    clipped: bool = False


class NothingLeft(Exception):  # noqa: N818 - not an error: there is simply no rendition
    """Everything of the content was taken out; ``reason`` is why."""

    def __init__(self, reason: str = "REGION_NOT_COVERED") -> None:
        super().__init__(reason)
        self.reason = reason


def cut_for(header: Header, answer: ItemDecision, kind: Kind) -> Cut:
    """The cut that a decision demands of an item."""
    decision = answer.decision
    coarse = NOTICE_PRECISION_M if decision.view == "notice" and header.place is not None else 0
    return Cut(
        kind=kind,
        view=decision.view,
        precision_m=max(decision.duties.precision_m, coarse) if header.place is not None else 0,
        remove=frozenset(decision.remove),
        portions=frozenset(answer.removed_portions),
        regions=decision.regions,
    )
