"""``relto backup``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.cli.output import Output, output, secret
from relto.clock import format_utc
from relto.node.backup import write_backup


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--passphrase-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None)
@click.option("--keys/--no-keys", default=True, show_default=True, help="Keys are always encrypted.")
@click.option("--authority", is_flag=True, help="Also the authority keys, which are better kept elsewhere.")
@output
def command(out: Output, file: Path, passphrase_file: Path | None, keys: bool, authority: bool) -> None:
    """Write a backup of the node to FILE, while it runs: store, settings and keys in one state."""
    given = secret(passphrase_file, "Passphrase of the backup") if keys or passphrase_file else None
    with out.node() as node:
        written = write_backup(node, file, passphrase=given, keys=keys, authority=authority)
    size = sum(part.size for part in written.parts)
    how = "encrypted" if written.encrypted else "not encrypted, without keys"
    out.result(
        written,
        f"{written.party} as of {format_utc(written.created_ms)}: {len(written.parts)} files, {size:,} bytes, {how}\n"
        f"in {file}; restore it now and then: relto restore {file} HOME",
    )
