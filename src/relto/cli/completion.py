"""``relto completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from relto.cli.output import Output, output


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@output
@click.pass_context
def command(ctx: click.Context, out: Output, shell: str) -> None:
    """Print the completion script for SHELL; source it from the shell's start-up file."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    script = found(ctx.find_root().command, {}, "relto", "_RELTO_COMPLETE").source()
    out.result({"script": script}, script)
