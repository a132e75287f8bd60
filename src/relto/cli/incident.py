"""``relto incident``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from relto.cli.output import Output, output, write_file
from relto.clock import format_utc
from relto.errors import OurError
from relto.exchange.books import Incident
from relto.exchange.incidents import MEANING
from relto.node import incident


@click.group("incident")
def command() -> None:
    """What a party did that it must not do, with what proves it. What it froze is free when it is closed."""


@command.command("ls")
@click.option("--closed", is_flag=True, help="Also those that are closed.")
@output
def listing(out: Output, closed: bool) -> None:
    """List the open incidents."""
    with out.node() as node:
        found = incident.listing(node, closed=closed)
    rows = [
        (
            str(each.id),
            each.kind,
            each.party,
            each.subject,
            f"{each.count:,}",
            format_utc(each.first_ms),
            format_utc(each.last_ms),
            "open" if each.open else "closed",
        )
        for each in found
    ]
    columns = ("NUMBER", "KIND", "PARTY", "SUBJECT", "TIMES", "FIRST", "LAST", "STATE")
    out.table([_value(each) for each in found], columns, rows, empty="no open incident")


@command.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--evidence", type=click.Path(path_type=Path, file_okay=False), help="Write what proves it as files.")
@output
def show(out: Output, number: int, evidence: Path | None) -> None:
    """Say what happened, what proves it, what is frozen, and what to do."""
    with out.node() as node:
        found = incident.find(node, number)
        files = incident.proof_files(node, found) if evidence else {}
    if evidence:
        _write(evidence, files)
    frozen, remedy = MEANING.get(found.kind, ("", ""))
    lines = [
        f"{found.kind} by {found.party}, {found.subject}",
        found.text,
        f"seen {found.count:,} times, first {format_utc(found.first_ms)}, last {format_utc(found.last_ms)}",
        f"told to {found.party}: {format_utc(found.told_ms) if found.told_ms else 'not yet'}",
        f"frozen: {frozen}" if found.open else f"closed: {found.closed}",
        f"to do: {remedy}",
        *_exhibit_lines(found),
        *(f"written: {evidence / name}" for name in files if evidence),
    ]
    out.result(_value(found) | {"frozen": frozen, "remedy": remedy, "files": sorted(files)}, "\n".join(lines))


@command.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why it is settled; it is kept.")
@output
def close(out: Output, number: int, reason: str) -> None:
    """Close an incident; what it froze is free. What waited meanwhile is not sent again."""
    with out.node() as node:
        found = incident.close(node, number, reason)
    out.result({"closed": found.id}, f"closed: {found.kind} by {found.party}, {found.subject}")


def _value(found: Incident) -> dict[str, object]:
    value = msgspec.structs.asdict(found)
    return value | {"evidence": incident.exhibits(found)}


def _exhibit_lines(found: Incident) -> list[str]:
    lines = []
    for each in incident.exhibits(found):
        lines.append(f"evidence {each.name}: {each.bytes:,} bytes, sha256 {each.sha256}")
        lines += [f"    {line}" for line in each.text.splitlines()]
    return lines


def _write(directory: Path, files: dict[str, bytes]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OurError(error.strerror or str(error), field=str(directory), remedy="Choose another place.") from None
    for name, content in files.items():
        write_file(directory / name, content)
