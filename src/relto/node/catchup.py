"""Catching up: a node that was down hears its partners before it answers anybody, so that nothing void is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

GRACE_S = 10.0
"""How long partners may keep a node waiting. Who cannot be reached is not waited for."""


class CatchUp:
    """Who is still to be heard since the node started. Done once all were, or the grace is over; then for good.

    ``seconds`` is a clock that only goes forward.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._awaited: set[str] = set()
        self._until_s: float | None = None
        self._lock = threading.Lock()

    def begin(self, parties: Iterable[str]) -> None:
        """Wait for these parties from now on."""
        with self._lock:
            self._awaited = set(parties)
            self._until_s = self._seconds() + GRACE_S

    def heard(self, party: str) -> None:
        """All that this party has for us is here, or it cannot be reached."""
        with self._lock:
            self._awaited.discard(party)

    def awaits(self, party: str) -> bool:
        """Whether this party is still to be heard."""
        return party in self._awaited

    def done(self) -> bool:
        """Whether the node may answer and share."""
        with self._lock:
            if self._until_s is None:
                return False
            if self._seconds() >= self._until_s:
                self._awaited.clear()
            return not self._awaited
