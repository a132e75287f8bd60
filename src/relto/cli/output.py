"""What a command prints: a table or text for people, one JSON object for programs. The same facts in both."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from relto.errors import DocumentError, OurError, ReltoError
from relto.node.node import Node

NO = 1
OUR_FAULT = 3
PEER_FAULT = 4


@dataclass(slots=True)
class Output:
    """The options that every command has, and the two ways to print."""

    home: Path
    as_json: bool

    @classmethod
    def of(cls, ctx: click.Context) -> Output:
        """The output of this call; plain text to standard output if the options could not be read."""
        found = ctx.find_root().obj
        return found if isinstance(found, cls) else cls(Path(), False)

    @contextmanager
    def node(self) -> Iterator[Node]:
        """The node that the command is about, closed after."""
        node = Node.open(self.home)
        try:
            yield node
        finally:
            node.close()

    def result(self, value: Any, text: str) -> None:
        """Print a result: ``value`` for programs, ``text`` for people."""
        click.echo(to_json(value) if self.as_json else text)

    def table(self, value: Any, columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
        """Print rows under columns; programs get ``value``."""
        if self.as_json or not rows:
            click.echo(to_json(value) if self.as_json else empty)
            return
        widths = [max(len(column), *(len(row[at]) for row in rows)) for at, column in enumerate(columns)]
        for line in [columns, *rows]:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            click.echo("  ".join(cells).rstrip())

    def note(self, text: str) -> None:
        """Tell a person something beside the result, on standard error."""
        if not self.as_json:
            click.echo(text, err=True)

    def error(self, error: ReltoError) -> None:
        """Print what is wrong and what to do; programs get the fields."""
        if self.as_json:
            findings = error.findings if isinstance(error, DocumentError) else ()
            value = {"error": type(error).__name__, "field": error.field, "reason": error.reason}
            click.echo(to_json(value | {"remedy": error.remedy, "findings": findings}))
            return
        click.echo(f"relto: {error}", err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Any]:
        """A progress bar on a terminal; ``step(done, total)`` moves it. Elsewhere it stays silent."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda *_: None
            return
        from rich.progress import Progress  # loaded only where somebody looks

        with Progress(transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def to_json(value: Any) -> str:
    """A value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def read_file(path: Path, limit_bytes: int) -> bytes:
    """A small file's bytes.

    Raises:
        OurError: unreadable, or over the limit.
    """
    try:
        if path.stat().st_size > limit_bytes:
            raise OurError(f"over {limit_bytes} bytes.", field=str(path), remedy="Give the right file.")
        return path.read_bytes()
    except OSError as error:
        raise OurError(error.strerror or str(error), field=str(path), remedy="Check the path.") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file's bytes.

    Raises:
        OurError: it cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OurError(error.strerror or str(error), field=str(path), remedy="Choose another path.") from None


def passphrase() -> bytes | None:
    """The passphrase of the authority keys: asked for where somebody can answer, else from RELTO_PASSPHRASE."""
    given = os.environ.get("RELTO_PASSPHRASE")
    if given is not None:
        return given.encode()
    asked: str = click.prompt("Passphrase of the authority keys", hide_input=True, err=True)
    return asked.encode()


def secret(path: Path | None, what: str) -> bytes:
    """A passphrase: the first line of a file, or asked for where somebody can answer."""
    if path is not None:
        return read_file(path, 4096).split(b"\n", 1)[0].rstrip(b"\r")
    asked: str = click.prompt(what, hide_input=True, err=True)
    return asked.encode()


output = click.make_pass_decorator(Output)
