"""The real decision against the separate oracle, cell by cell, on random worlds of agreements, items and parties."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest

from relto.agreements.document import read
from relto.agreements.lifecycle import Standing, in_force
from relto.agreements.terms import Refusal, Scope
from relto.exercise import oracle
from relto.item import Header, Onward
from relto.release.classes import Upstream
from relto.release.decide import Table
from relto.release.grid import snap
from relto.release.world import Epoch
from tests.worlds import CAST, Question, World, worlds

pytestmark = pytest.mark.pure


def standings(world: World) -> list[Standing]:
    terms = [read(text, f"agreement {at}") for at, text in enumerate(world.texts)]
    return [Standing(each, frozenset(entry.id for entry in each.parties), "") for each in terms]


def override(at: int, plain: dict[str, Any]) -> Refusal:
    scope = Scope(
        originators=tuple(plain["from"]),
        recipients=tuple(plain.get("to", ())),
        tiers=tuple(plain.get("to_tier", ())),
        domains=tuple(plain["domains"]),
        kinds=tuple(plain.get("kinds", ())),
        subjects=tuple(plain.get("subjects", ())),
    )
    return Refusal(str(at), "national law", scope)


def epoch(world: World, question: Question) -> Epoch:
    every = standings(world)
    now = question.now_ms
    holding = [each.terms for each in in_force(every, now)]
    dormant = [each.terms for each in every if each.terms not in holding]
    known = set(CAST)
    return Epoch(
        holder=question.holder,
        in_force=tuple(holding),
        dormant=tuple(dormant),
        overrides=tuple(override(at, each) for at, each in enumerate(question.overrides)),
        quarantined_parties=frozenset(question.quarantined & known),
        quarantined_items=frozenset(question.quarantined - known),
    )


def real(world: World, question: Question) -> dict[str, Any]:
    header = msgspec.convert(question.header, Header)
    upstream = tuple(
        Upstream(
            u["from"], Onward(u["onward"]["rule"], tuple(u["onward"]["to"])), tuple(u["purposes"]), u["retention_s"]
        )
        for u in question.upstream
    )
    answer = Table(epoch(world, question)).decide_item(header, upstream, question.recipient)
    decision, duties = answer.decision, answer.decision.duties
    return {
        "view": decision.view,
        "reason": decision.reasons[0] if decision.withheld else "",
        "precision_m": duties.precision_m,
        "delay_s": duties.delay_s,
        "retention_s": duties.retention_s,
        "onward": (duties.onward.rule, duties.onward.to),
        "purposes": sorted(duties.purposes),
        "remove": sorted(decision.remove),
        "regions": sorted(region.name for region in decision.regions),
        "grant": decision.rules[0] if decision.rules else "",
        "removed_portions": sorted(answer.removed_portions),
        "marks": sorted(mark.level for mark in decision.marks if mark.policy == question.holder),
    }


def expected(world: World, question: Question) -> dict[str, Any]:
    answer = oracle.decide(
        holder=question.holder,
        recipient=question.recipient,
        header=question.header,
        upstream=question.upstream,
        agreements=[oracle.parse_agreement(text) for text in world.texts],
        now_ms=question.now_ms,
        quarantined=question.quarantined,
        overrides=question.overrides,
    )
    del answer["verdict"], answer["boxes"]
    answer["onward"] = (answer["onward"][0], tuple(answer["onward"][1]))
    return answer | {name: sorted(answer[name]) for name in ("purposes", "remove", "regions")}


# 3,000 cells in make test; make soak sets more
SEEDS = max(6, int(os.environ.get("RELTO_CELLS", "3000")) // 500)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_cell_agrees(seed: int) -> None:
    cells = 0
    for world in worlds(seed, count=25, questions=20):
        for question in world.questions:
            assert real(world, question) == expected(world, question), (seed, question)
            cells += 1
    assert cells >= 500


def test_every_position_snaps_alike() -> None:
    edges = [-900_000_000, -899_999_999, -450_000_001, -1, 0, 1, 123_456_700, 450_000_000, 899_999_999, 900_000_000]
    lons = [-1_800_000_000, -1_799_999_999, -1, 0, 1, 1_204_567_800, 1_799_999_999, 1_800_000_000]
    for precision_m in (1, 7, 100, 1000, 10_000, 79_000, 2_000_000):
        for lat in edges:
            for lon in lons:
                assert snap(lat, lon, precision_m) == oracle.snap(lat, lon, precision_m), (lat, lon, precision_m)
