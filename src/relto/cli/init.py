"""``relto init``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.bounds import BOUNDS
from relto.cli.output import Output, output, passphrase, read_file
from relto.envelope.keys import fingerprint
from relto.keyring.files import FileKeyring
from relto.node.home import KEYS, Settings, SystemClock, make_home, write_settings
from relto.node.node import Node


@click.command("init")
@click.argument("party")
@click.option("--name", default=None, help="The party's name in words.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address on which partners reach the node.")
@click.option("--port", default=7443, show_default=True, type=click.IntRange(1, 65535))
@click.option("--web-port", default=7080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--level", default="UNCLASSIFIED", show_default=True, help="National level of records without one.")
@click.option(
    "--authority",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="authority.key of the node that was lost; all other keys are new.",
)
@click.option("--lock/--no-lock", default=False, help="Lock the authority keys with a passphrase.")
@output
def command(
    out: Output,
    party: str,
    name: str | None,
    host: str,
    port: int,
    web_port: int,
    level: str,
    authority: Path | None,
    lock: bool,
) -> None:
    """Make a node for PARTY, an ISO 3166 alpha-3 code or an id such as IFC-SGP."""
    settings = Settings(party, name or party, host=host, port=port, web_port=web_port, level=level)
    make_home(out.home)
    kept = read_file(authority, BOUNDS.card_bytes) if authority else None
    locked = passphrase() if lock else None
    FileKeyring.create(
        out.home / KEYS,
        party,
        now_ms=SystemClock().now_ms(),
        hostnames=(host,),
        passphrase=locked,
        authority=kept,
    )
    write_settings(out.home, settings)
    node = Node.open(out.home)
    found = fingerprint(node.keyring.authority_public)
    node.close()
    out.result(
        {"party": party, "home": str(out.home), "fingerprint": found},
        f"{party} is at {out.home}\nfingerprint of its authority keys: {found}\nnext: relto partner invite",
    )
