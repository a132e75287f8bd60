"""Agreements that end soon, on a line from now on: what to renew, in the order in which it falls due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from relto.clock import DAY_MS, from_datetime
from relto.web.messages import Messages, ends_soon
from relto.web.notation import year_month_day
from relto.web.views import PartnerRow

MONTHS = 14
_SPAN_MS = 426 * DAY_MS
_TICK_MONTHS = 2
_NEAR_PERCENT = 11.0  # two names nearer than this would run into each other on one line


@dataclass(frozen=True, slots=True)
class Mark:
    """One end: where on the line in percent, what it says, on which of two lines of text, and whether it is near."""

    percent: float
    words: str
    level: int
    soon: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """The first of a month: where on the line in percent, and its name."""

    percent: float
    words: str


@dataclass(frozen=True, slots=True)
class Horizon:
    """The line: its marks in order of time, its ticks, and how many months it reaches."""

    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    months: int


def horizon(rows: tuple[PartnerRow, ...], now_ms: int, messages: Messages) -> Horizon:
    """Return the ends that fall within the next months; agreements without an end are not on the line."""
    due = sorted((row.ends_ms, row.name) for row in rows if row.ends_ms is not None)
    marks: list[Mark] = []
    for ends_ms, name in due:
        percent = _percent(ends_ms, now_ms)
        if 0 <= percent <= 100:
            near = bool(marks) and percent - marks[-1].percent < _NEAR_PERCENT
            soon = ends_soon(ends_ms, now_ms)
            words = messages.text("horizon.soon", name=name, ends=messages.ends(ends_ms, now_ms)) if soon else name
            marks.append(Mark(percent, words, 1 - marks[-1].level if near else 0, soon))
    return Horizon(tuple(marks), tuple(_ticks(now_ms, messages)), MONTHS)


def _percent(instant_ms: int, now_ms: int) -> float:
    return 100 * (instant_ms - now_ms) / _SPAN_MS


def _ticks(now_ms: int, messages: Messages) -> list[Tick]:
    year, month, _ = year_month_day(now_ms)
    ticks = [Tick(0.0, messages.text("horizon.now"))]
    for later in range(_TICK_MONTHS, MONTHS, _TICK_MONTHS):
        years, index = divmod(month - 1 + later, 12)
        first_ms = from_datetime(datetime(year + years, index + 1, 1, tzinfo=UTC))
        name = messages.text(f"date.month.{index + 1}")
        ticks.append(Tick(_percent(first_ms, now_ms), f"{name} {year + years}" if index < _TICK_MONTHS else name))
    return ticks
