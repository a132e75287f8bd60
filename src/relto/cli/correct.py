"""``relto correct``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.cli.output import Output, output
from relto.feeds import files
from relto.labels import TLP_ORDER
from relto.node import revise
from relto.node.ingest import Defaults


@click.command("correct")
@click.argument("item")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--level", default=None, help="National level of the record; from the settings if not given.")
@click.option("--marking", default="", help="The marking's own text, if it is another than the level.")
@click.option("--tlp", type=click.Choice(TLP_ORDER[1:], case_sensitive=False), default=None)
@click.option("--subject", "subjects", multiple=True, help="A subject of the record; several allowed.")
@click.option("--licence", "licences", multiple=True, help="A provider licence that binds the record.")
@click.option("--rel-to", "rel_to", multiple=True, help="Only these parties may have it.")
@click.option("--withhold", multiple=True, metavar="PATH", help="A field that never leaves: properties.rf.pulse.")
@output
def command(
    out: Output,
    item: str,
    path: Path,
    level: str | None,
    marking: str,
    tlp: str | None,
    subjects: tuple[str, ...],
    licences: tuple[str, ...],
    rel_to: tuple[str, ...],
    withhold: tuple[str, ...],
) -> None:
    """Replace ITEM, one of our own, by the one record in a file: the item's next version.

    Who has the item gets the new version; who may not have it gets the withdrawal of the old one. The marking is joined
    with that of the version before and never gets lower.
    """
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
        found = revise.correct(node, item, files.load(path), path.name, defaults)
    out.result(found, f"{found.item} is version {found.version} now")
