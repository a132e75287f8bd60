"""``relto demo``."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from relto.cli.output import NO, Output, output, to_json, write_file
from relto.exercise.demo import STRIP, Demo, DemoReport, Progress
from relto.node.report import NodeReport


@click.command("demo")
@click.option(
    "--headless", is_flag=True, help="Run until all is quiet, report and end; exit code 1 if anything is amiss."
)
@click.option("--hold", is_flag=True, help="Report when all is quiet, then stay up until SIGTERM.")
@click.option(
    "--report", "path", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write JSON here."
)
@click.option(
    "--dir", "root", type=click.Path(path_type=Path, file_okay=False), default=None, help="Keep the nodes here."
)
@output
@click.pass_context
def command(ctx: click.Context, out: Output, headless: bool, hold: bool, path: Path | None, root: Path | None) -> None:
    """Run seven national nodes on this machine that share real and exercise records by agreement."""
    signal.signal(signal.SIGTERM, _interrupt)
    with _directory(root) as place:
        demo = Demo(place)
        try:
            report = _run(out, demo)
            if path is not None:
                write_file(path, to_json(report).encode())
            _tell(out, report)
            if hold or not headless:
                _stay(out, demo, show=not hold)
        finally:
            out.note("stopping the nodes")
            demo.stop()
    if not report.good:
        ctx.exit(NO)


def _run(out: Output, demo: Demo) -> DemoReport:
    """Build, start, feed and settle, showing what happens."""
    out.note(STRIP)
    for steps in (demo.build(), demo.start(), demo.feed()):
        for step in steps:
            out.note(step.said)
    with _watch(out) as show:
        for step in demo.settle():
            show(step)
    return demo.summary()


@contextlib.contextmanager
def _watch(out: Output) -> Iterator[Callable[[Progress], None]]:
    """A table that follows the nodes, on a terminal; elsewhere nothing."""
    if out.as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield lambda step: live.update(_table(step))


def _table(step: Progress) -> Table:
    table = Table(title="what each node holds, sent and got back as receipted")
    for column in ("node", "items", "released", "receipted", "delayed", "to look at", "log"):
        table.add_column(column, justify="right")
    for each in step.reports:
        table.add_row(each.party, *(f"{number:,}" for number in _numbers(each)))
    return table


def _numbers(each: NodeReport) -> tuple[int, ...]:
    links = each.links.values()
    return (
        each.items,
        sum(link.released for link in links),
        sum(link.receipted for link in links),
        sum(link.delayed for link in links),
        sum(link.unscanned for link in links),
        each.log_size,
    )


def _tell(out: Output, report: DemoReport) -> None:
    columns = ("NODE", "ITEMS", "RELEASED", "DELIVERED", "RECEIPTED", "DELAYED", "LOG", "VERIFIED", "PAGE")
    rows = [
        (
            party,
            f"{sum(sum(views.values()) for views in node.held.values()):,}",
            *(f"{n:,}" for n in (node.released, node.delivered, node.receipted, node.delayed, node.log_size)),
            "yes" if node.log_verified else "NO",
            node.url,
        )
        for party, node in report.nodes.items()
    ]
    out.table(report, columns, rows, empty="")
    found = report.oracle
    out.note(f"oracle: {found['pairs']:,} pairs of item and recipient compared, {found['differences']} differences")


def _stay(out: Output, demo: Demo, *, show: bool) -> None:
    """Stay until somebody ends it."""
    out.note("the network is up; open a page above. Stop with Ctrl-C.")
    if show and sys.stdout.isatty():
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(demo.url("PHL"))
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _interrupt(*_: object) -> None:
    """SIGTERM ends the demo as Ctrl-C does: the nodes are stopped on the way out."""
    raise KeyboardInterrupt


@contextlib.contextmanager
def _directory(root: Path | None) -> Iterator[Path]:
    """The directory of the nodes: the one given, or one that goes with the demo."""
    if root is not None:
        if root.exists() and any(root.iterdir()):
            raise click.UsageError(f"{root} is not empty; choose another --dir.")
        root.mkdir(parents=True, exist_ok=True)
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="relto-demo-") as place:
        yield Path(place)
