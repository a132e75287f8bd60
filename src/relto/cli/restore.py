"""``relto restore``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.cli.output import Output, output, secret
from relto.clock import format_utc
from relto.node.backup import is_encrypted, restore


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("home", type=click.Path(path_type=Path, file_okay=False))
@click.option("--passphrase-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None)
@output
def command(out: Output, file: Path, home: Path, passphrase_file: Path | None) -> None:
    """Make a node in HOME, a new directory, from the backup in FILE. It releases nothing before its partners agree."""
    given = secret(passphrase_file, "Passphrase of the backup") if is_encrypted(file) else None
    found = restore(file, home, passphrase=given)
    lines = [
        f"{found.party} as of {format_utc(found.created_ms)} is in {home}",
        "it is halted until every partner has compared its heads: relto serve, then relto doctor",
    ]
    if not any(part.name.startswith("keys/") for part in found.parts):
        lines.append("there are no keys in this backup: bring the keyring back to keys/")
    out.result(found, "\n".join(lines))
