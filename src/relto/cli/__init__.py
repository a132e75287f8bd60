"""The command line: one module a command, loaded when it is called.

Exit codes: 0 done; 1 the answer is no (a check failed, an item is withheld); 2 wrong usage; 3 the operator can mend it;
4 what came from outside was refused.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from relto import __version__
from relto.cli.output import OUR_FAULT, PEER_FAULT, Output
from relto.errors import PeerError, ReltoError

# Command -> (module, what it does): the help page needs no import.
COMMANDS = {
    "init": "Make a node: its directory, keys and settings.",
    "partner": "Pair with other parties: invite, accept, list.",
    "agreement": "Write, check, propose, sign and show agreements.",
    "ingest": "Read files into the node.",
    "ls": "List the items that are held.",
    "export": "Write a large file that is held in slices.",
    "why": "Explain what a party gets of an item, rule by rule.",
    "correct": "Replace an item of our own by what a file says now.",
    "narrow": "Mark an item of our own more strictly.",
    "withdraw": "Withdraw an item of our own, everywhere.",
    "who": "List who still holds what of an item.",
    "quarantine": "Stop everything to a party, or of an item, at once.",
    "bundle": "Exchange by files: what the wire would carry, on a stick.",
    "relay": "Carry sealed pages between partners.",
    "serve": "Run the node.",
    "status": "Show streams, counts and the log's size.",
    "incident": "Show what a party did that it must not do, and close it.",
    "prove": "Write an item with everything that proves it.",
    "verify": "Verify a proven item, or the proof of a fork, offline.",
    "log": "Check, list and publish the release log.",
    "exposure": "List what a party ever had of us since a time.",
    "backup": "Write a backup of the node, while it runs.",
    "restore": "Make a node from a backup.",
    "recover": "Show how far this node is after a loss.",
    "keys": "Make new keys under the same authority.",
    "store": "Show the store, or move it to another database.",
    "doctor": "Look over the node and say what to mend.",
    "simulate": "Run simulated networks where everything fails, and check every promise.",
    "demo": "Run a network of seven nations on this machine.",
    "completion": "Print the completion script for a shell.",
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"relto.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ReltoError as error:
            Output.of(ctx).error(error)
            sys.exit(PEER_FAULT if isinstance(error, PeerError) else OUR_FAULT)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="RELTO_HOME",
    default=Path("relto-node"),
    show_default=True,
    help="The node's directory; also RELTO_HOME.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@click.version_option(__version__, prog_name="relto")
@click.pass_context
def main(ctx: click.Context, home: Path, as_json: bool) -> None:
    """Relto: nations share what they know by agreement."""
    ctx.obj = Output(home=home, as_json=as_json)
