"""``relto partner``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.bounds import BOUNDS
from relto.cli.output import Output, output, passphrase, read_file, write_file
from relto.cli.times import INSTANT
from relto.clock import format_utc
from relto.envelope.card import signed_card
from relto.envelope.keys import phonetic
from relto.exchange import routes
from relto.exchange.core import accepted
from relto.exchange.link import WIDE, held_back, link_of, set_link, thin, worst_wait_s
from relto.node import pair


@click.group("partner")
def command() -> None:
    """Pair with other parties. Both sides swap cards and compare fingerprints by voice."""


@command.command()
@click.option("--out", "path", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Where to write it.")
@click.option("--url", default=None, help="Where partners reach this node; from the settings if not given.")
@click.option("--days", default=pair.CARD_DAYS, show_default=True, type=click.IntRange(1, 825))
@click.option("--revoke-since", type=INSTANT, default=None, help="The keys of the card before are void since then.")
@click.option("--new-log", is_flag=True, help="Begin a new release log: the one here cannot be continued.")
@click.option("--previous", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Card of the lost node.")
@output
def invite(
    out: Output,
    path: Path | None,
    url: str | None,
    days: int,
    revoke_since: int | None,
    new_log: bool,
    previous: Path | None,
) -> None:
    """Write this party's card, and say the fingerprint to read out. A newer card goes on by itself from partner to
    partner, once one of them has it."""
    change = pair.Change(read_file(previous, BOUNDS.card_bytes) if previous else None, revoke_since, new_log)
    with out.node() as node:
        address = url or f"https://{node.settings.host}:{node.settings.port}"
        locked = passphrase() if node.keyring.authority_locked else None
        card, found = pair.invite(node, address, passphrase=locked, days=days, change=change)
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


@command.command()
@click.argument("party")
@click.option("--thin/--wide", "is_thin", default=None, help="What lies between; shown if neither is given.")
@click.option("--largest", type=click.IntRange(BOUNDS.thin_item_bytes, BOUNDS.batch_bytes), default=None)
@output
def link(out: Output, party: str, is_thin: bool | None, largest: int | None) -> None:
    """Say what the link to PARTY is. On a thin one (9.6 kbit/s) pages are small, and urgent items wait for one at most.

    Routine items over --largest bytes wait for a wide link or a stick: relto bundle write --all.
    """
    with out.node() as node:
        with node.store.read() as books:
            accepted(books, party)
        again = 0
        if is_thin is not None:
            new = thin(largest or BOUNDS.thin_item_bytes) if is_thin else WIDE
            again = node.store.write(lambda books: set_link(books, party, new, node.now_ms()))
        with node.store.read() as books:
            found, waiting = link_of(books, party), held_back(books, party)
    word = "thin" if found.packed else "wide"
    value: dict[str, object] = {
        "party": party,
        "link": word,
        "largest_bytes": found.item_bytes,
        "held_back": waiting,
        "again": again,
    }
    text = f"{party}: {word}"
    if found.packed:
        value["worst_wait_s"] = worst_wait_s(found)
        text += f"; urgent items wait {worst_wait_s(found):.0f} s at the most at 9.6 kbit/s"
        text += f"; {waiting:,} items over {found.item_bytes:,} bytes wait for a stick or a wide link"
    out.result(value, text)


@command.command()
@click.argument("party")
@click.option("--via", default=None, metavar="RELAY", help="The partner that carries for the two of us.")
@click.option("--only", is_flag=True, help="With --via: never connect directly.")
@click.option("--direct", is_flag=True, help="Use no relay any more.")
@output
def route(out: Output, party: str, via: str | None, only: bool, direct: bool) -> None:
    """Say by which relay PARTY is reached when it cannot be reached directly; shown if nothing is said.

    Both sides name the relay, and its operator allows the pair: relto relay allow.
    """
    if bool(via) == direct and (via or direct):
        raise click.UsageError("give --via or --direct")
    if only and not via:
        raise click.UsageError("--only goes with --via")
    with out.node() as node:
        with node.store.read() as books:
            accepted(books, party)
        if via or direct:
            node.store.write(lambda books: routes.set_route(books, party, via or "", only=only))
        with node.store.read() as books:
            found = routes.route_of(books, party)
    value = {"party": party, "via": found.via, "only": found.only, "left": len(found.left)}
    by = f"{'only ' if found.only else 'directly, else '}by {found.via}; {len(found.left)} pages are with it"
    out.result(value, f"{party}: {by if found.via else 'directly'}")


@command.command()
@click.argument("party")
@click.option("--out", "path", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Where to write it.")
@output
def card(out: Output, party: str, path: Path | None) -> None:
    """Write PARTY's newest card as this node has it: for others who lack it, or for PARTY after it lost its own."""
    with out.node() as node:
        found = node.card_of(party)
    target = path or Path(f"{party}.card")
    write_file(target, found)
    out.result({"card": str(target), "version": signed_card(found, pinned=None).version}, f"card written to {target}")


@command.command("ls")
@output
def listing(out: Output) -> None:
    """List the partners."""
    with out.node() as node, node.store.read() as books:
        found = books.partners()
    cards = [(each, signed_card(each.card, pinned=each.fingerprint)) for each in found]
    value = [
        {"party": c.party, "name": c.name, "url": c.url, "expires_ms": c.expires_ms, "fingerprint": each.fingerprint}
        for each, c in cards
    ]
    rows = [(c.party, c.name, c.url, format_utc(c.expires_ms), each.fingerprint) for each, c in cards]
    out.table(value, ("PARTY", "NAME", "URL", "CARD GOOD UNTIL", "FINGERPRINT"), rows, empty="no partners yet")
