"""The words of the pages, by key and language; a sentence is one entry and is never built from pieces."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from relto.clock import DAY_MS, HOUR_MS, SECOND_MS
from relto.web.notation import time_of_day, year_month_day

LANGUAGES = ("en",)
_MINUTE_MS = 60 * SECOND_MS


@dataclass(frozen=True, slots=True)
class Messages:
    """One language's entries by dotted key. Asking for a key that does not exist raises KeyError."""

    language: str
    entries: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        """Return an entry with its named places filled."""
        return self.entries[key].format_map(values) if values else self.entries[key]

    def count(self, key: str, number: int, **values: object) -> str:
        """Return the entry ``key.one`` or ``key.other`` with ``{n}`` filled, thousands parted."""
        return self.text(f"{key}.{'one' if number == 1 else 'other'}", n=f"{number:,}", **values)

    def age(self, from_ms: int, now_ms: int) -> str:
        """Return how long ago an instant was, in the two largest units that matter, as in ``2 h 11``."""
        past_ms = now_ms - from_ms
        if past_ms < 0:
            return self.text("age.ahead")
        if past_ms < _MINUTE_MS:
            return self.text("age.seconds", n=past_ms // SECOND_MS)
        if past_ms < HOUR_MS:
            return self.text("age.minutes", n=past_ms // _MINUTE_MS)
        hours, minutes = past_ms // HOUR_MS, past_ms % HOUR_MS // _MINUTE_MS
        if hours < 24:
            return self.text("age.hours", h=hours, m=minutes) if minutes else self.text("age.hours_only", h=hours)
        return self.text("age.days", n=f"{past_ms // DAY_MS:,}")

    def day(self, instant_ms: int) -> str:
        """Return the UTC date, as in ``31 Mar 2027``."""
        year, month, day = year_month_day(instant_ms)
        return self.text("date.day", day=day, month=self.entries[f"date.month.{month}"], year=year)

    def instant(self, instant_ms: int) -> str:
        """Return the UTC date and time, as in ``23 Nov 2026 03:52:14Z``."""
        return self.text("date.instant", day=self.day(instant_ms), time=time_of_day(instant_ms))

    def ends(self, ends_ms: int | None, now_ms: int) -> str:
        """Return when an agreement ends: a date, or the days left once there are few."""
        if ends_ms is None:
            return self.text("ends.never")
        if ends_ms <= now_ms:
            return self.text("ends.past", day=self.day(ends_ms))
        if ends_soon(ends_ms, now_ms):
            return self.count("ends.days", -(-(ends_ms - now_ms) // DAY_MS))
        return self.day(ends_ms)


def ends_soon(ends_ms: int | None, now_ms: int) -> bool:
    """Say whether an agreement ends within the next 60 days."""
    return ends_ms is not None and 0 < ends_ms - now_ms <= 60 * DAY_MS


@cache
def messages(language: str) -> Messages:
    """Return the catalogue of a language, or the English one where there is none."""
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    document = files("relto.web").joinpath("catalogue", f"{chosen}.toml").read_text("utf-8")
    return Messages(chosen, MappingProxyType(dict(_flat(tomllib.loads(document), ""))))


def _flat(table: dict[str, Any], above: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        key = f"{above}{name}"
        found.extend(_flat(value, f"{key}.") if isinstance(value, dict) else [(key, str(value))])
    return found
