"""``relto narrow``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.labels import NOFORN, REL_TO, TLP_ORDER, Category, Handling, Marking, Portion, handling
from relto.node import revise

_NEVER = Handling(categories=(Category(NOFORN, "restrictive"),))


@click.command("narrow")
@click.argument("item")
@click.option("--rel-to", "rel_to", multiple=True, help="Only these parties may have it; joined with what it says.")
@click.option("--tlp", type=click.Choice(TLP_ORDER[1:], case_sensitive=False), default=None)
@click.option("--level", default=None, help="A national level that it has besides.")
@click.option("--caveat", "caveats", multiple=True, help="A caveat that a clause must name.")
@click.option("--noforn", is_flag=True, help="It never leaves this party from now on.")
@click.option("--withhold", multiple=True, metavar="PATH", help="A field that never leaves: properties.rf.pulse.")
@output
def command(
    out: Output,
    item: str,
    rel_to: tuple[str, ...],
    tlp: str | None,
    level: str | None,
    caveats: tuple[str, ...],
    noforn: bool,
    withhold: tuple[str, ...],
) -> None:
    """Mark ITEM, one of our own, more strictly: the item's next version, with the same content.

    Who may still have it gets the new version; from everybody else it is withdrawn. Nothing is ever marked lower.
    """
    with out.node() as node:
        limits = (Category(REL_TO, "permissive", rel_to),) if rel_to else ()
        barred = tuple(Category(each, "restrictive") for each in (*caveats, *((NOFORN,) if noforn else ())))
        added = handling(
            markings=(Marking(node.party, level, level),) if level else (),
            categories=limits + barred,
            tlp=tlp or "",  # type: ignore[arg-type]  # click has checked the choice
        )
        portions = tuple(Portion(selector, _NEVER) for selector in sorted(set(withhold)))
        found = revise.narrow(node, item, added, portions=portions)
    out.result(found, f"{found.item} is version {found.version} now, marked more strictly")
