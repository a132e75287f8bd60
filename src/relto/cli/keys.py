"""``relto keys``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.envelope.keys import fingerprint
from relto.keyring.files import FileKeyring
from relto.node.home import KEYS, SystemClock, read_settings


@click.group("keys")
def command() -> None:
    """The node's keys."""


@command.command()
@output
def renew(out: Output) -> None:
    """Make new node, sealing and TLS keys under the same authority. Stop the node first; give partners a new card."""
    settings = read_settings(out.home)
    keyring = FileKeyring.open(out.home / KEYS)
    old = fingerprint(keyring.node_public())
    past = keyring.renew(now_ms=SystemClock().now_ms(), hostnames=(settings.host,))
    new = fingerprint(keyring.node_public())
    out.result(
        {"old": old, "new": new, "old_keys": str(past)},
        f"node keys {new} take the place of {old}\nthe old keyring lies in {past}\n"
        "next: relto partner invite, with --revoke-since TIME if the old keys were stolen",
    )
