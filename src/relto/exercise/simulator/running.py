"""Running seeds: one world each, in one process or in several, and what came of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from random import Random

import msgspec

from relto.exchange import link
from relto.exercise.simulator.primitives import bounds, primitives, replaced
from relto.exercise.simulator.scenario import SETTLE_MS, STORM_MS, build, heal

REAL_EVERY = 10
_CHUNK = 50
_SIZES = (*[2] * 4, *[3] * 12, *[4] * 10, 5, 6, 7, 8)


class Outcome(msgspec.Struct, frozen=True):
    """What came of one seed: the digest of everything that happened, and the promise that was broken, if any."""

    seed: int
    digest: str
    steps: int
    invariant: str = ""
    step: int = 0
    what: str = ""

    @property
    def line(self) -> str:
        """One line for whoever has to look into it."""
        told = f"{self.invariant} {self.what}" if self.invariant else "clean"
        return f"seed {self.seed} step {self.step or self.steps}: {told} (digest {self.digest})"


class Outcomes(msgspec.Struct, frozen=True):
    """What came of many seeds. ``seeds_per_minute_per_core`` is by the processor's time, whatever else it does."""

    seeds: int
    first_seed: int
    steps: int
    violations: tuple[Outcome, ...]
    digest: str
    cpu_s: float
    seeds_per_minute_per_core: float


def run_seed(seed: int, parties: int | None = None) -> Outcome:
    """Run one world from its seed to its end; the same seed gives the same, to the last event."""
    rng = Random(f"relto {seed}")  # noqa: S311 - a world from a seed, no secret
    drawn = rng.choice(_SIZES) if parties is None else parties
    limits = {"batch_items": rng.choice((2, 4, 1024, 1024)), "window_pages": rng.choice((2, 8))}
    real = seed % REAL_EVERY == REAL_EVERY - 1
    with ExitStack() as stack:
        stack.enter_context(primitives(real=real))
        stack.enter_context(bounds(**limits))
        stack.enter_context(replaced(link, "WIDE", link.Link(window_pages=limits["window_pages"])))
        scenario = build(rng, drawn, real=real)
        world = scenario.world
        world.run(STORM_MS)
        if world.violation is None:
            heal(world)
            world.run(STORM_MS + SETTLE_MS)
        if world.violation is None:
            scenario.checker.finish()
    if world.violation is None:
        return Outcome(seed, world.digest, world.step)
    step, invariant, what = world.violation
    return Outcome(seed, world.digest, world.step, invariant, step, what)


def run_seeds(
    first: int,
    count: int,
    parties: int | None = None,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Outcomes:
    """Run seeds ``first`` to ``first + count - 1``; the digest is over those of all seeds in their order."""
    violations: list[Outcome] = []
    total = hashlib.blake2b(digest_size=8)
    steps, done, cpu_s = 0, 0, 0.0
    for outcomes, spent_s in _chunks(first, count, parties, jobs):
        for outcome in outcomes:
            total.update(outcome.digest.encode())
            steps += outcome.steps
            if outcome.invariant:
                violations.append(outcome)
        done, cpu_s = done + len(outcomes), cpu_s + spent_s
        progress(done, count)
    rate = round(60 * count / cpu_s, 1) if cpu_s else 0.0
    return Outcomes(count, first, steps, tuple(violations), total.hexdigest(), round(cpu_s, 3), rate)


def _chunks(first: int, count: int, parties: int | None, jobs: int) -> Iterator[tuple[list[Outcome], float]]:
    ranges = [(at, min(at + _CHUNK, first + count), parties) for at in range(first, first + count, _CHUNK)]
    if jobs == 1 or len(ranges) == 1:
        yield from map(_run_chunk, ranges)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_run_chunk, ranges)


def _run_chunk(chunk: tuple[int, int, int | None]) -> tuple[list[Outcome], float]:
    begun_s = time.process_time()
    first, end, parties = chunk
    outcomes = [run_seed(seed, parties) for seed in range(first, end)]
    return outcomes, time.process_time() - begun_s
