"""``relto verify``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.bounds import BOUNDS
from relto.cli.output import Output, output, read_file
from relto.clock import format_utc
from relto.node import audit


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE")
@click.option("--fingerprint", default=None, help="The releasing party's fingerprint, as you know it.")
@output
def command(out: Output, path: Path, fingerprint: str | None) -> None:
    """Verify a proven item, offline: signatures, proofs, and that label and content belong together."""
    found = audit.verify(read_file(path, BOUNDS.page_bytes), pinned=fingerprint)
    release = found.header.release
    view = release.view if release else "full"
    value = {
        "verified": True,
        "item": found.header.id,
        "version": found.header.version,
        "origin": found.header.origin,
        "by": found.by,
        "to": found.to,
        "n": found.n,
        "log_index": found.log_index,
        "view": view,
        "marking": found.marking,
        "released_ms": release.time_ms if release else None,
        "fingerprint_checked": found.fingerprint_checked,
    }
    lines = [
        f"verified: item {found.header.id} version {found.header.version}, view {view}",
        f"released by {found.by} to {found.to} as number {found.n} of their stream, log index {found.log_index}",
        f"at {format_utc(release.time_ms) if release else '-'}, marked {found.marking}",
    ]
    if not found.fingerprint_checked:
        lines.append("the keys were taken from the file; give --fingerprint to know whose they are")
    out.result(value, "\n".join(lines))
