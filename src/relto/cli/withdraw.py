"""``relto withdraw``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.node import revise


@click.command("withdraw")
@click.argument("item")
@click.option("--reason", required=True, help="Why; it is signed and goes to everybody who has the item.")
@output
def command(out: Output, item: str, reason: str) -> None:
    """Withdraw ITEM, one of our own, from everybody who ever got it, for good.

    Whoever passed it on passes the withdrawal on. It goes ahead of everything else; relto who shows who has receipted.
    """
    with out.node() as node:
        found = revise.withdraw(node, item, reason)
    out.result(
        found, f"{found.item} is withdrawn by version {found.version}\nwho has receipted: relto who {found.item}"
    )
