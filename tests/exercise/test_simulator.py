"""The simulator: clean seeds, replay to the last event, and nothing left behind in the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import relto.envelope.dsse
import relto.exchange.page
from relto.bounds import BOUNDS
from relto.cli import main
from relto.exchange import link
from relto.exercise.simulator.checker import promises
from relto.exercise.simulator.running import run_seed, run_seeds
from tests.exercise.planted import PLANTED

CHUNK = 50


@pytest.mark.parametrize("first", range(0, 300, CHUNK))
def test_every_promise_holds_in_every_seed(first: int) -> None:
    outcomes = run_seeds(first, CHUNK)
    assert [each.line for each in outcomes.violations] == []
    assert outcomes.steps > 200 * CHUNK


@pytest.mark.parametrize("seed", [3, 9])
def test_a_seed_gives_the_same_again_whatever_the_hash_seed_and_what_ran_before(seed: int) -> None:
    code = f"from relto.exercise.simulator.running import run_seed; print(run_seed({seed}).digest)"
    digests = {run_seed(seed).digest}
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        digests.add(told.stdout.strip())
    assert len(digests) == 1


def test_other_seeds_and_other_sizes_are_other_worlds() -> None:
    digests = {run_seed(seed, parties).digest for seed in (1, 2) for parties in (None, 2, 8)}
    assert len(digests) == 6


def test_nothing_of_the_simulation_stays_in_the_process() -> None:
    names = (relto.envelope.dsse.verifies, relto.exchange.page.seal, BOUNDS.window_pages, link.WIDE)
    run_seed(0)
    run_seed(9)
    assert names == (relto.envelope.dsse.verifies, relto.exchange.page.seal, BOUNDS.window_pages, link.WIDE)
    assert relto.envelope.dsse.verifies.__module__ == "relto.envelope.keys"


def test_a_broken_promise_ends_the_command_with_one_line_and_exit_code_1() -> None:
    with PLANTED["precision_ignored"]():
        failed = CliRunner().invoke(main, ["simulate", "--seeds", "20"])
        lines = [line for line in failed.stdout.splitlines() if line.startswith("seed ")]
        assert (failed.exit_code, bool(lines)) == (1, True)
        assert all(" S2 " in line for line in lines)
        seed = lines[0].split()[1]
        again = CliRunner().invoke(main, ["simulate", "--seed", seed])
    assert again.exit_code == 1
    assert again.stdout.splitlines()[0] == lines[0]
    assert CliRunner().invoke(main, ["simulate", "--seed", seed]).exit_code == 0


def test_programs_get_the_counts_the_rate_and_the_digest() -> None:
    told = [CliRunner().invoke(main, ["simulate", "--seeds", "3", "--nodes", "3", "--json"]) for _ in range(2)]
    first, second = (json.loads(each.stdout) for each in told)
    assert (first["seeds"], first["violations"]) == (3, [])
    assert first["seeds_per_minute_per_core"] > 0
    assert first["digest"] == second["digest"]


def test_every_promise_has_its_words() -> None:
    told = promises()
    assert {"S0", *(f"S{number}" for number in range(1, 10)), "L1", "L2", "L3", "L5"} <= set(told)
    assert all(text.endswith(".") for texts in told.values() for text in texts)
