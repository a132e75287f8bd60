"""``relto prove``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.cli.output import Output, output, write_file
from relto.node import audit, read


@click.command("prove")
@click.argument("item")
@click.option("--out", "path", type=click.Path(path_type=Path, dir_okay=False), default=None)
@output
def command(out: Output, item: str, path: Path | None) -> None:
    """Write ITEM, as it was released to us, with everything that proves it: one file, verified with relto verify."""
    with out.node() as node:
        found = read.header_of(read.find(node, item))
        content = audit.prove(node, found.id)
    target = path or Path(f"{found.id[:12]}.relto.json")
    write_file(target, content)
    out.result({"file": str(target), "bytes": len(content)}, f"written to {target} ({len(content):,} bytes)")
