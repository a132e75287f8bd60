"""``relto export``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.cli.output import Output, output
from relto.node.scenes import export_scene


@click.command("export")
@click.argument("item")
@click.option(
    "--out", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)
@output
def command(out: Output, item: str, target: Path) -> None:
    """Write the large file ITEM, put together from its slices and compared with its digest."""
    with out.node() as node, out.progress(target.name) as step:
        scene = export_scene(node, item, target, progress=step)
    out.result(scene, f"{target}: {scene.size:,} bytes, SHA-256 {scene.sha256}")
