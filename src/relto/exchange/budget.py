"""Budgets: how much of a node's time one partner may take, so that what it does costs the others nothing.

A token bucket per partner: requests flow in at a rate, a burst may be saved up, and who has none left is told how long
to wait. Pure: time is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from relto.bounds import BOUNDS
from relto.clock import SECOND_MS


@dataclass(slots=True)
class Bucket:
    """What is left of one partner's budget. A clock that goes back adds nothing."""

    tokens: float = BOUNDS.peer_burst
    at_ms: int = 0

    def take(self, now_ms: int) -> int:
        """Take one request out of the budget; returns 0, or for how many ms there is none."""
        flowed_ms = max(0, now_ms - self.at_ms)
        self.at_ms = max(self.at_ms, now_ms)
        self.tokens = min(BOUNDS.peer_burst, self.tokens + flowed_ms * BOUNDS.peer_requests_per_s / SECOND_MS)
        if self.tokens >= 1:
            self.tokens -= 1
            return 0
        return max(1, round((1 - self.tokens) * SECOND_MS / BOUNDS.peer_requests_per_s))


@dataclass(slots=True)
class Budget:
    """One partner's budget: its bucket, and how many of its requests are under way."""

    bucket: Bucket
    under_way: int = 0
    held_up: int = 0
    refused: int = 0

    @classmethod
    def new(cls) -> Budget:
        """A full budget."""
        return cls(Bucket())

    @property
    def crowded(self) -> bool:
        """Whether as many of its requests are under way as may be at once."""
        return self.under_way >= BOUNDS.peer_requests
