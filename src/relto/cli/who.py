"""``relto who``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.clock import SECOND_MS, format_utc
from relto.node.holders import Held, Holder, Step, holders

_HOURS = 3600


@click.command("who")
@click.argument("item")
@output
def command(out: Output, item: str) -> None:
    """List who still holds what of ITEM: version, view, when it went, when it was receipted, and who has not receipted.

    ITEM may be withdrawn or long purged.
    """
    with out.node() as node:
        found = holders(node, item)
    columns = ("PARTY", "STATE", "HOLDS", "RECEIPTED", "SENT LAST", "SENT", "RECEIPTED", "WAITS")
    out.table(found, columns, [_row(each) for each in found.holders], empty=f"{_said(found)}: released to nobody")
    if found.holders:
        out.note(_said(found))


def _said(found: Held) -> str:
    version = "" if found.version is None else f" v{found.version}"
    return f"{found.item}{version} is {found.standing} here"


def _row(holder: Holder) -> tuple[str, ...]:
    holds, newest = holder.holds, holder.newest
    return (
        holder.party,
        holder.state,
        _what(holds) if holds else "-",
        _when(holds.receipted_ms if holds else None),
        _what(newest),
        _when(newest.sent_ms),
        _when(newest.receipted_ms),
        _age(holder.waiting_ms),
    )


def _what(step: Step) -> str:
    return f"v{step.version} {'withdrawal' if step.view == 'nothing' else step.view}"


def _when(at_ms: int | None) -> str:
    return "-" if at_ms is None else format_utc(at_ms)


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return "-"
    seconds = age_ms // SECOND_MS
    days, rest = divmod(seconds, 24 * _HOURS)
    hours, minutes = rest // _HOURS, rest % _HOURS // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"
