"""A small world under Hypothesis: any order of any few acts, shrunk to the shortest that breaks a promise."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relto.exercise.simulator import scenario
from relto.exercise.simulator.engine import Node, Weather, World
from relto.exercise.simulator.primitives import primitives


class SmallWorld(RuleBasedStateMachine):
    """Three honest nodes; Hypothesis does what operators, links, disks and clocks do."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._stack.enter_context(primitives(real=False))
        self.here: scenario.Scenario | None = None
        self.made = 0

    @initialize(seed=st.integers(0, 200))
    def begin(self, seed: int) -> None:
        self.here = scenario.build_calm(Random(seed), 3)

    @property
    def world(self) -> World:
        assert self.here is not None
        return self.here.world

    def node(self, place: int) -> Node:
        return list(self.world.nodes.values())[place]

    @rule(place=st.integers(0, 2))
    def ingest(self, place: int) -> None:
        assert self.here is not None
        self.made += 1
        item = scenario.make_item(self.world.rng, self.node(place), f"{self.made:032x}", list(self.world.nodes))
        self.here.items.append((self.node(place), item))
        scenario.file_item(self.here, self.node(place), item)

    @rule(
        choice=st.integers(0, 9),
        act=st.sampled_from((scenario.withdraw_item, scenario.correct_item, scenario.file_item)),
    )
    def change(self, choice: int, act: Any) -> None:
        assert self.here is not None
        if self.here.items:
            act(self.here, *self.here.items[choice % len(self.here.items)])

    @rule(place=st.integers(0, 2), skew_ms=st.sampled_from((-300_000, -5000, 0, 5000, 300_000)))
    def set_clock(self, place: int, skew_ms: int) -> None:
        self.node(place).clock.set(skew_ms)

    @rule(place=st.integers(0, 2))
    def crash(self, place: int) -> None:
        self.world.crash(self.node(place))

    @rule(place=st.integers(0, 2), calls=st.integers(0, 4), how=st.sampled_from(("before", "after")))
    def break_disk(self, place: int, calls: int, how: Any) -> None:
        self.node(place).store.fail(calls, how)

    @rule(way=st.permutations((0, 1, 2)))
    def cut(self, way: list[int]) -> None:
        names = list(self.world.nodes)
        self.world.cut ^= {(names[way[0]], names[way[1]])}

    @rule(loss=st.sampled_from((0.0, 0.3)), duplicates=st.sampled_from((0.0, 0.3)), gaps=st.sampled_from((0.0, 0.5)))
    def weather(self, loss: float, duplicates: float, gaps: float) -> None:
        self.world.weather = Weather(loss=loss, duplicates=duplicates, gaps=gaps)

    @rule(wait_ms=st.sampled_from((5, 200, 3000)))
    def wait(self, wait_ms: int) -> None:
        self.world.run(self.world.now_ms + wait_ms)

    @invariant()
    def every_promise_holds(self) -> None:
        if self.here is not None:
            assert self.world.violation is None, self.world.violation

    def teardown(self) -> None:
        if self.here is not None and self.world.violation is None:
            scenario.heal(self.world)
            self.world.run(self.world.now_ms + scenario.SETTLE_MS)
            self.here.checker.finish()
            assert self.world.violation is None, self.world.violation
        self._stack.close()


TestSmallWorld = SmallWorld.TestCase
TestSmallWorld.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
