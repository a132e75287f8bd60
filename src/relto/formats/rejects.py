"""What became of each record of an intake: accepted, ignored with a reason, or rejected with a reason.

Rules kept here: everything that was read ends in exactly one of the three counts, so that
``read == accepted + sum(ignored) + sum(rejected)``; every reason is a stable code in capitals; the list of single
rejects is bounded while the counts are not; and a detail never carries characters that deceive a reader of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relto.bounds import BOUNDS
from relto.strict import FORBIDDEN_TEXT


@dataclass(frozen=True, slots=True)
class Reject:
    """One record that was not stored.

    Args:
        where: its place in the source, such as ``line 17`` or ``row 3``.
        reason: a stable code, such as ``CHECKSUM``.
        detail: one short sentence with the values that decided.
    """

    where: str
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Intake:
    """The summary of one intake.

    Args:
        source: the name of the feed or file.
        accepted: records of which something is kept.
        ignored: well-formed records that carry nothing we keep, by reason.
        remarked: accepted records with a reservation, by reason; they count as accepted too.
        rejected: records that break a rule, by reason.
        rejects: the first ``BOUNDS.rejects_listed`` of the rejected.
    """

    source: str
    accepted: int
    ignored: Mapping[str, int]
    remarked: Mapping[str, int]
    rejected: Mapping[str, int]
    rejects: tuple[Reject, ...]

    @property
    def read(self) -> int:
        """All records that were read."""
        return self.accepted + sum(self.ignored.values()) + sum(self.rejected.values())


class Tally:
    """Counts while an intake runs; ``finish`` freezes the counts."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._accepted = 0
        self._ignored: Counter[str] = Counter()
        self._remarked: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._rejects: list[Reject] = []

    def accept(self, count: int = 1) -> None:
        """Count records of which something is kept."""
        self._accepted += count

    def ignore(self, reason: str, count: int = 1) -> None:
        """Count well-formed records that carry nothing we keep."""
        self._ignored[reason] += count

    def remark(self, reason: str, count: int = 1) -> None:
        """Count a reservation about records that are counted as accepted elsewhere."""
        self._remarked[reason] += count

    def reject(self, where: str, reason: str, detail: str) -> None:
        """Count one record that breaks a rule, and list it while the list has room."""
        self._rejected[reason] += 1
        if len(self._rejects) < BOUNDS.rejects_listed:
            self._rejects.append(Reject(where, reason, FORBIDDEN_TEXT.sub("\ufffd", detail)[: BOUNDS.text_chars]))

    def reject_rows(self, unit: str, numbers: Sequence[int], reason: str, detail: str) -> None:
        """Count many records that break the same rule; ``unit`` and number say where, as in ``row 3``."""
        room = BOUNDS.rejects_listed - len(self._rejects)
        for number in numbers[:room]:
            self.reject(f"{unit} {number}", reason, detail)
        self._rejected[reason] += len(numbers[room:])

    def finish(self) -> Intake:
        """Return the counts so far as a frozen value, reasons in alphabetical order and none of them zero."""
        return Intake(
            source=self._source,
            accepted=self._accepted,
            ignored=_sorted(self._ignored),
            remarked=_sorted(self._remarked),
            rejected=_sorted(self._rejected),
            rejects=tuple(self._rejects),
        )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(counts.items()) if count}
