"""Each planted bug is found within a budget of seeds, and the same seeds are clean without it."""

from __future__ import annotations

import pytest

from relto.exercise.simulator.running import run_seed
from tests.exercise.planted import PLANTED

SEEDS = 500


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str) -> None:
    for seed in range(SEEDS):
        with PLANTED[name]():
            found = run_seed(seed)
        if found.invariant:
            assert run_seed(seed).invariant == ""
            return
    pytest.fail(f"{name} was not found in {SEEDS} seeds")


def test_there_are_enough_of_them() -> None:
    assert len(PLANTED) >= 25
