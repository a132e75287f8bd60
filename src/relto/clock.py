"""Time as plain values: an instant is an integer of milliseconds since 1970-01-01T00:00:00Z, always UTC.

The pure parts never read a clock; they are handed ``now_ms``. Only the node and the command line own one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from relto.errors import MalformedError

SECOND_MS = 1000
HOUR_MS = 3600 * SECOND_MS
DAY_MS = 24 * HOUR_MS
EARLIEST_MS = 0
LATEST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

_UTC = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where ``now`` comes from; injected so that tests and the simulator own time."""

    def now_ms(self) -> int:
        """Return the present instant, in ms since the epoch."""


class FixedClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Jump to an instant, forwards or back."""
        self._now_ms = now_ms


def parse_utc(text: str) -> int:
    """Read an RFC 3339 instant that ends in ``Z``; digits below the millisecond are cut off.

    Raises:
        MalformedError: any other form, another offset, or a date that does not exist.
    """
    match = _UTC.fullmatch(text)
    if match is None:
        raise MalformedError(f"{text[:40]!r} is not an instant.", remedy="Write it as 2026-10-20T03:00:00Z.")
    *date, fraction = match.groups()
    try:
        whole = datetime(*(int(part) for part in date), tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError as error:
        raise MalformedError(f"{text!r} is no date: {error}.", remedy="Correct the date.") from None
    return from_datetime(whole) + int(((fraction or "") + "000")[:3])


def from_datetime(moment: datetime) -> int:
    """Turn an aware datetime into an instant; naive ones are refused.

    Raises:
        MalformedError: the datetime has no offset.
    """
    if moment.tzinfo is None:
        raise MalformedError(f"{moment} has no offset.", remedy="End it in Z.")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_utc(instant_ms: int) -> str:
    """Write an instant as RFC 3339 with ``Z``; milliseconds only where there are any."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    part = instant_ms % SECOND_MS
    return f"{text}.{part:03d}Z" if part else f"{text}Z"
