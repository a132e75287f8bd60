"""``relto partner``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.bounds import BOUNDS
from relto.cli.output import Output, output, passphrase, read_file, write_file
from relto.clock import format_utc
from relto.envelope.card import signed_card
from relto.envelope.keys import phonetic
from relto.node import pair
from relto.store import parties


@click.group("partner")
def command() -> None:
    """Pair with other parties. Both sides swap cards and compare fingerprints by voice."""


@command.command()
@click.option("--out", "path", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Where to write it.")
@click.option("--url", default=None, help="Where partners reach this node; from the settings if not given.")
@click.option("--days", default=pair.CARD_DAYS, show_default=True, type=click.IntRange(1, 825))
@output
def invite(out: Output, path: Path | None, url: str | None, days: int) -> None:
    """Write this party's card, and say the fingerprint to read out."""
    with out.node() as node:
        address = url or f"https://{node.settings.host}:{node.settings.port}"
        locked = passphrase() if node.keyring.authority_locked else None
        card, found = pair.invite(node, address, passphrase=locked, days=days)
        target = path or Path(f"{node.party}.card")
        write_file(target, card)
        out.result(
            {"card": str(target), "fingerprint": found, "spoken": phonetic(found)},
            f"card written to {target}\nfingerprint {found}\nread it out: {phonetic(found)}",
        )


@command.command()
@click.argument("card", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--fingerprint", "spoken", required=True, help="The fingerprint that the partner read to you.")
@output
def accept(out: Output, card: Path, spoken: str) -> None:
    """Accept a partner's CARD whose fingerprint was compared by voice."""
    with out.node() as node:
        accepted = pair.accept(node, read_file(card, BOUNDS.card_bytes), spoken)
        out.result(
            {"party": accepted.party, "name": accepted.name, "url": accepted.url, "expires_ms": accepted.expires_ms},
            f"{accepted.party} ({accepted.name}) is a partner; its card ends {format_utc(accepted.expires_ms)}",
        )


@command.command("ls")
@output
def listing(out: Output) -> None:
    """List the partners."""
    with out.node() as node, node.database.read() as connection:
        found = parties.partners(connection)
    cards = [(each, signed_card(each.card, pinned=each.fingerprint)) for each in found]
    value = [
        {"party": c.party, "name": c.name, "url": c.url, "expires_ms": c.expires_ms, "fingerprint": each.fingerprint}
        for each, c in cards
    ]
    rows = [(c.party, c.name, c.url, format_utc(c.expires_ms), each.fingerprint) for each, c in cards]
    out.table(value, ("PARTY", "NAME", "URL", "CARD GOOD UNTIL", "FINGERPRINT"), rows, empty="no partners yet")
