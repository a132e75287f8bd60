"""``relto ingest``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from relto.cli.output import NO, Output, output
from relto.errors import ReltoError
from relto.feeds import files
from relto.labels import TLP_ORDER
from relto.node.ingest import Defaults, Ingested, ingest
from relto.node.scenes import ingest_scene

LISTED = 20


@click.command("ingest")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--level", default=None, help="National level of the records; from the settings if not given.")
@click.option("--marking", default="", help="The marking's own text, if it is another than the level.")
@click.option("--tlp", type=click.Choice(TLP_ORDER[1:], case_sensitive=False), default=None)
@click.option("--subject", "subjects", multiple=True, help="A subject of the records; several allowed.")
@click.option("--licence", "licences", multiple=True, help="A provider licence that binds the records.")
@click.option("--rel-to", "rel_to", multiple=True, help="Only these parties may have the records.")
@click.option("--withhold", multiple=True, metavar="PATH", help="A field that never leaves: properties.rf.pulse.")
@click.option("--whole", default=None, metavar="MEDIA_TYPE", help="Take each file as it is: image/tiff, whatever size.")
@output
@click.pass_context
def command(
    ctx: click.Context,
    out: Output,
    paths: tuple[Path, ...],
    level: str | None,
    marking: str,
    tlp: str | None,
    subjects: tuple[str, ...],
    licences: tuple[str, ...],
    rel_to: tuple[str, ...],
    withhold: tuple[str, ...],
    whole: str | None,
) -> None:
    """Read files of AIS, RF, SAR, STIX, MISP or KEV records into the node.

    What a file holds is told from its bytes; gzip is unpacked. Options only ever add restrictions to what a record
    says of itself. Bad records are listed and left out; the others are stored. The same file twice is stored once.
    """
    results: dict[str, Ingested | Whole | dict[str, str]] = {}
    with out.node() as node:
        defaults = Defaults(
            level=level or node.settings.level,
            marking=marking,
            tlp=tlp or node.settings.tlp,  # type: ignore[arg-type]  # click has checked the choice
            subjects=subjects,
            licences=licences,
            rel_to=rel_to,
            withhold=withhold,
        )
        for path in paths:
            try:
                with out.progress(path.name) as step:
                    if whole:
                        results[str(path)] = Whole(ingest_scene(node, path, whole, defaults, progress=step))
                    else:
                        results[str(path)] = ingest(node, files.load(path), path.name, defaults, progress=step)
            except ReltoError as error:
                results[str(path)] = {"error": str(error)}
    out.result(results, "\n".join(line for path, result in results.items() for line in _lines(path, result)))
    if any(isinstance(result, dict) for result in results.values()):
        ctx.exit(NO)


class Whole(msgspec.Struct, frozen=True):
    """What became of a file that was taken as it is."""

    item: str


def _lines(path: str, result: Ingested | Whole | dict[str, str]) -> list[str]:
    if isinstance(result, Whole):
        return [f"{path}: item {result.item}"]
    if isinstance(result, dict):
        return [f"{path}: not read: {result['error']}"]
    counts = result.summary
    lines = [
        f"{path}: {counts.read:,} read, {counts.accepted:,} accepted, {sum(counts.ignored.values()):,} ignored, "
        f"{sum(counts.rejected.values()):,} rejected; {result.items:,} items, {result.new:,} new"
    ]
    for word, reasons in (("ignored", counts.ignored), ("remarked", counts.remarked), ("rejected", counts.rejected)):
        lines += [f"  {word} {number:,}  {reason}" for reason, number in reasons.items()]
    lines += [f"    {reject}" for reject in counts.rejects[:LISTED]]
    if len(counts.rejects) > LISTED:
        lines.append(f"    and {sum(counts.rejected.values()) - LISTED:,} more; --json lists up to 1,000")
    return lines
