"""``relto simulate``."""

from __future__ import annotations

import sys

import click

from relto.cli.output import NO, Output, output
from relto.exercise.simulator.running import Outcomes, run_seeds


@click.command("simulate")
@click.option(
    "--seeds", "count", type=click.IntRange(1, 10_000_000), default=None, help="How many; 100 if none is given."
)
@click.option("--seed", "first", type=click.IntRange(0), default=None, help="Replay this seed, or begin with it.")
@click.option("--nodes", type=click.IntRange(2, 8), default=None, help="Nodes in each; else 2 to 8, by the seed.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@output
def command(out: Output, count: int | None, first: int | None, nodes: int | None, jobs: int, as_json: bool) -> None:
    """Run simulated networks in which everything fails and some cheat, and check that every promise holds.

    Each seed is one network, from its first event to its last; the same seed gives the same again. Exit code 1 if a
    promise is broken.
    """
    out.as_json = out.as_json or as_json
    wanted = count or (100 if first is None else 1)
    with out.progress("seeds") as step:
        outcomes = run_seeds(first or 0, wanted, nodes, jobs=jobs, progress=step)
    out.result(outcomes, _text(outcomes))
    if outcomes.violations:
        sys.exit(NO)


def _text(outcomes: Outcomes) -> str:
    told = "clean" if not outcomes.violations else f"{len(outcomes.violations)} with a broken promise"
    last = f"{outcomes.seeds} seeds, {outcomes.steps} steps: {told}; digest {outcomes.digest}; "
    rate = f"{outcomes.seeds_per_minute_per_core:.0f} seeds a minute a core"
    return "\n".join([*(each.line for each in outcomes.violations), last + rate])
