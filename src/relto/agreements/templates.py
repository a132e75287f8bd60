"""Texts to begin an agreement from: complete, commented, and valid as they stand.

A starter grants little on purpose: one lowest level, a coarse view, nothing onward. Who writes the agreement widens it,
clause by clause.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Literal

from relto.agreements.document import read
from relto.agreements.terms import PartyEntry
from relto.clock import format_utc
from relto.errors import DocumentError, Finding
from relto.item import PARTY

Starter = Literal["maritime", "cyber", "classified"]
STARTERS: tuple[Starter, ...] = ("maritime", "cyber", "classified")


def starter(id: str, title: str, parties: Sequence[PartyEntry], *, from_ms: int, subject: Starter = "maritime") -> str:
    """The text of a new agreement.

    Args:
        id: the agreement's id, such as ``MDA-X``.
        title: one line.
        parties: two at least.
        from_ms: when its term begins; it has no end until one is written.
        subject: which of ``STARTERS``.

    Raises:
        DocumentError: the id, the title or a party is not of its form; the lines are those of the text as filled.
    """
    if subject not in STARTERS:
        known = ", ".join(STARTERS)
        raise DocumentError("starter", (Finding(1, "subject", f"{subject!r} has no starter.", f"Known: {known}."),))
    form = Template((resources.files(__package__) / "templates" / f"{subject}.toml").read_text("utf-8"))
    text = form.substitute(
        id=_quoted(id),
        title=_quoted(title),
        begins=format_utc(from_ms),
        parties="\n".join(_party(entry) for entry in parties),
        officials=_rows(parties, "OFFICIAL"),
        confidentials=_rows(parties, "CONFIDENTIAL"),
        secrets=_rows(parties, "SECRET"),
        every=", ".join(_quoted(entry.id) for entry in parties),
    )
    read(text.encode(), id[:64])
    return text


def _party(entry: PartyEntry) -> str:
    return f"[[party]]\nid = {_quoted(entry.id)}\nname = {_quoted(entry.name)}\ntier = {_quoted(entry.tier)}\n"


def _rows(parties: Sequence[PartyEntry], level: str) -> str:
    keys = [entry.id if PARTY.fullmatch(entry.id) else _quoted(entry.id) for entry in parties]
    return "\n".join(f"{key} = [{_quoted(level)}]" for key in keys)


def _quoted(text: str) -> str:
    """A basic string of TOML; its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
