"""``relto bundle``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from relto.bounds import BOUNDS
from relto.cli.output import OUR_FAULT, PEER_FAULT, Output, output
from relto.errors import OurError
from relto.exchange import carry
from relto.exchange.carry import LEAST_BYTES
from relto.node import carry as files
from relto.node.carry import ReadFile

FILE = click.Path(path_type=Path)
_SIZE = re.compile(r"([1-9][0-9]{0,14})\s*([KMG]i?)?B?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


def _size(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int:
    """A number of bytes: 4GB, 700 MiB, 65536."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no size; write it as 4GB or 700MiB.")
    unit = (match.group(2) or "").lower()
    size: int = int(match.group(1)) * (1024 if unit.endswith("i") else 1000) ** _POWERS[unit[:1]]
    if not LEAST_BYTES <= size <= BOUNDS.bundle_bytes:
        raise click.BadParameter(f"{text!r} is not from {LEAST_BYTES} to {BOUNDS.bundle_bytes} bytes.")
    return size


@click.group("bundle")
def command() -> None:
    """Exchange by files: what the wire would carry, on a memory stick."""


@command.command()
@click.argument("file", type=FILE)
@click.option("--to", "party", required=True, metavar="PARTY", help="The partner for whom it is.")
@click.option("--after", "after_n", type=click.IntRange(min=0), default=None, help="Release after which to begin.")
@click.option("--max-bytes", default="4GB", show_default=True, callback=_size, help="Size of a file at the most.")
@click.option("--all", "everything", is_flag=True, help="On a thin link also what waits for its turn there.")
@output
def write(out: Output, file: Path, party: str, after_n: int | None, max_bytes: int, everything: bool) -> None:
    """Write a bundle for a partner to FILE, or to FILE.001, FILE.002 and so on.

    It begins after the partner's newest receipt, holds our card, the agreements with the partner, the receipt for what
    we have of theirs, and is sealed for the partner alone.
    """
    with out.node() as node:
        steps = carry.load(node.core, party, after_n=after_n, max_bytes=max_bytes, everything=everything)
        volumes = node.run(steps)
        with out.progress(file.name) as step:
            written = files.write(node, file, volumes, step)
        has_card = any(frame.kind.name == "CARD" for frame in volumes[0].papers)
    lines = [f"{each.file}: {each.bytes:,} bytes, {_span(each.pages, each.first_n, each.last_n)}" for each in written]
    out.result({"to": party, "card": has_card, "files": written}, "\n".join(lines))
    if not has_card:
        out.note("our card is not in it; make one with: relto partner invite")


def _span(pages: int, first_n: int, last_n: int) -> str:
    return f"releases {first_n} to {last_n} on {pages} pages" if pages else "no pages"


@command.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option("--receipt", "receipt", type=FILE, default=None, help="Write the receipt to carry back to this file.")
@output
@click.pass_context
def read(ctx: click.Context, out: Output, paths: tuple[Path, ...], receipt: Path | None) -> None:
    """Read the bundles in FILE...; each page is verified before it is stored, and none is stored twice.

    A file that was cut or damaged is read up to there; copy it again and read it again.
    """
    with out.node() as node:
        parties = sorted({header.by for _, header in files.headers(node, paths)})
        if receipt is not None and len(parties) > 1:
            raise OurError(f"of {', '.join(parties)}.", field="receipt", remedy="Read one party's bundles at a time.")
        with out.progress("reading") as step:
            found = files.read(node, paths, step)
        carried: dict[str, object] = {"files": found}
        lines = [line for each in found for line in _lines(each)]
        if receipt is not None:
            written = files.write(node, receipt, node.run(carry.answering(node.core, parties[0])), lambda *_: None)
            carried["receipt"] = written[0]
            lines.append(f"{written[0].file}: carry it back to {parties[0]}")
        out.result(carried, "\n".join(lines))
    if any(each.fault == "theirs" or each.refused for each in found):
        ctx.exit(PEER_FAULT)
    if any(each.fault for each in found):
        ctx.exit(OUR_FAULT)


def _lines(read: ReadFile) -> list[str]:
    counts = [f"{read.releases:,} releases on {read.pages} pages", f"{read.known_pages} pages known already"]
    counts += [f"{read.agreements} agreements", f"{read.receipts} receipts"] + (["a newer card"] if read.cards else [])
    head = f"{read.file}: of {read.by}, volume {read.volume} of {read.volumes}: {', '.join(counts)}"
    lines = [head, *(f"  refused: {each}" for each in read.refused)]
    return [*lines, f"  stopped: {read.failed}"] if read.failed else lines
