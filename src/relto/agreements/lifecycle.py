"""The life of an agreement: from a draft to its end, by who has signed and what the time is.

Draft, proposed, signed, in force, ended: the first rule that holds gives the state. The rules stand in one row, so that
another state (suspension, notice) is another rule in its place. Only ``in force`` lets anything go. The end closes
the grants; the duties of what was released stay with the releases.

A version replaces those before it when its term begins, and for ever, but only if every party of the earlier version
signed it too: nobody is moved to other terms, or out, by the others. A text that claims the id and version of another
text is a contradiction, and then neither holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from relto.agreements.terms import Term, Terms
from relto.clock import format_utc

PAYLOAD_TYPE = "application/vnd.relto.agreement+toml"

Phase = Literal["draft", "proposed", "signed", "in force", "ended"]
PHASES: tuple[Phase, ...] = ("draft", "proposed", "signed", "in force", "ended")


class State(msgspec.Struct, frozen=True):
    """The phase at an instant, why, and when (ms) time alone will change it; None if time alone never will."""

    phase: Phase
    because: str
    changes_ms: int | None = None


class Standing(msgspec.Struct, frozen=True):
    """An agreement as a node holds it: its terms, who signed its text, and the envelope that proves it."""

    terms: Terms
    signed_by: frozenset[str]
    envelope_sha256: str


def state(terms: Terms, signed_by: frozenset[str], now_ms: int) -> State:
    """The state of an agreement at an instant.

    Args:
        terms: what the text says.
        signed_by: the parties whose signatures over this very text verify. Others than its parties count for nothing.
        now_ms: the instant. The term begins at its first instant and no longer holds at its last.
    """
    rules = (_unsigned(terms, signed_by, now_ms), _not_begun(terms.term, now_ms), _ended(terms.term, now_ms))
    holds = State("in force", "All parties have signed, and its term holds.", terms.term.until_ms)
    return next((found for found in rules if found is not None), holds)


def in_force(standings: Iterable[Standing], now_ms: int) -> tuple[Standing, ...]:
    """The agreements that may let something go at an instant, sorted by id."""
    every = tuple(standings)
    held = [one for one in every if state(one.terms, one.signed_by, now_ms).phase == "in force"]
    kept = [one for one in held if not any(_sets_aside(other, one, now_ms) for other in every)]
    return tuple(sorted({one.terms.ref: one for one in kept}.values(), key=lambda one: one.terms.ref))


def _sets_aside(other: Standing, one: Standing, now_ms: int) -> bool:
    ours, theirs = one.terms.ref, other.terms.ref
    if theirs.id != ours.id or theirs.version < ours.version or not _binds(other, one, now_ms):
        return False
    return theirs.version > ours.version or theirs.sha256 != ours.sha256


def _binds(other: Standing, one: Standing, now_ms: int) -> bool:
    """Whether the other text has come into force at some time, with the consent of every party of the one."""
    begun = state(other.terms, other.signed_by, now_ms).phase in ("in force", "ended")
    return begun and {entry.id for entry in one.terms.parties} <= other.signed_by


def _unsigned(terms: Terms, signed_by: frozenset[str], now_ms: int) -> State | None:
    parties = {entry.id for entry in terms.parties}
    missing = ", ".join(sorted(parties - signed_by))
    if not missing:
        return None
    over = _ended(terms.term, now_ms)
    late = f" {over.because}" if over else ""
    if parties & signed_by:
        return State("proposed", f"Not signed yet by {missing}.{late}")
    return State("draft", f"Nobody has signed it.{late}")


def _not_begun(term: Term, now_ms: int) -> State | None:
    if now_ms >= term.from_ms:
        return None
    return State("signed", f"Its term begins at {format_utc(term.from_ms)}.", term.from_ms)


def _ended(term: Term, now_ms: int) -> State | None:
    if term.until_ms is None or now_ms < term.until_ms:
        return None
    return State("ended", f"Its term ended at {format_utc(term.until_ms)}.")
