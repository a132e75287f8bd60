"""``relto log``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.clock import format_utc
from relto.node import audit, read
from relto.node.incident import witnesses
from relto.node.revise import spoken_of


@click.group("log")
def command() -> None:
    """The release log: what went to whom, and on what ground."""


@command.command()
@output
def check(out: Output) -> None:
    """Recompute the whole log: every record, every tile, the signed head."""
    with out.node() as node:
        found, seen = audit.check_log(node), witnesses(node)
    lines = [f"log verified: {found.size:,} leaves, root {found.root}"]
    lines += [f"witnessed by {each.party} up to {each.size:,} at {format_utc(each.time_ms)}" for each in seen]
    value = {"verified": True, "size": found.size, "root": found.root, "witnesses": seen}
    out.result(value, "\n".join(lines))


@command.command("ls")
@click.option("--start", default=0, type=click.IntRange(0))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@output
def listing(out: Output, start: int, limit: int) -> None:
    """List decisions in the order in which they were logged."""
    with out.node() as node:
        found = read.log_records(node, start=start, limit=limit)
    rows = [
        (str(start + at), format_utc(r.time_ms), r.to, r.item[:12], r.verdict, r.view, " ".join(r.reasons))
        for at, r in enumerate(found)
    ]
    out.table(found, ("INDEX", "TIME", "TO", "ITEM", "VERDICT", "VIEW", "REASONS"), rows, empty="the log is empty")


@command.command()
@click.argument("item")
@output
def who(out: Output, item: str) -> None:
    """List everybody to whom ITEM was ever released."""
    with out.node() as node:
        with node.store.read() as books:
            known = spoken_of(books, item)
        found = audit.who_has(node, known)
    rows = [
        (
            each.release.recipient,
            str(each.release.n),
            format_utc(each.release.released_ms),
            each.release.view,
            " ".join(each.record.rules) if each.record else "",
        )
        for each in found
    ]
    out.table(found, ("PARTY", "NUMBER", "RELEASED", "VIEW", "CLAUSES"), rows, empty="released to nobody")


@command.command()
@output
def publish(out: Output) -> None:
    """Write the log's tiles and checkpoint as files, for witnesses."""
    with out.node() as node:
        size = audit.publish_log(node)
    out.result({"size": size, "directory": str(out.home / "log")}, f"{size:,} leaves published in {out.home / 'log'}")
