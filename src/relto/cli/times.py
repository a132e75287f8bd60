"""Instants on the command line."""

from __future__ import annotations

from typing import Any

import click

from relto.clock import parse_utc
from relto.errors import MalformedError


class Instant(click.ParamType[int]):
    """An instant in UTC; becomes ms since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_utc(str(value))
        except MalformedError as error:
            self.fail(f"{error}", param, ctx)


INSTANT = Instant()
