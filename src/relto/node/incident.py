"""Incidents for the operator: find one, write what proves it as files that anybody can verify, close it."""

from __future__ import annotations

import hashlib

import msgspec

from relto.errors import OurError
from relto.exchange import heads, incidents
from relto.exchange.books import EQUIVOCATION, FORK, Incident
from relto.exchange.fork import write_fork
from relto.exchange.heads import Witness
from relto.node.audit import prove_stored
from relto.node.node import Node

FORK_FILE = "fork.relto.json"


class Exhibited(msgspec.Struct, frozen=True):
    """One piece of evidence as it is shown: its name, size and digest, and its words if it is text."""

    name: str
    bytes: int
    sha256: str
    text: str


def listing(node: Node, *, closed: bool = False) -> list[Incident]:
    """The open incidents, oldest first, or all."""
    with node.store.read() as books:
        return books.incidents(open_only=not closed)


def find(node: Node, number: int) -> Incident:
    """One incident.

    Raises:
        OurError: there is none of this number.
    """
    found = next((each for each in listing(node, closed=True) if each.id == number), None)
    if found is None:
        raise OurError("no incident has this number.", field=str(number), remedy="See: relto incident ls --closed.")
    return found


def close(node: Node, number: int, reason: str) -> Incident:
    """Close an incident for a reason; what it froze is free.

    Raises:
        OurError: it is not open, or there is no reason.
    """
    return node.store.write(lambda books: incidents.close(node.core, books, number, reason))


def exhibits(incident: Incident) -> list[Exhibited]:
    """The evidence of an incident for the screen."""
    found = []
    for name, content in incident.evidence:
        digest = hashlib.sha256(content).hexdigest()
        found.append(Exhibited(name, len(content), digest, _words(content)))
    return found


def _words(content: bytes) -> str:
    """What a note says, without its signatures."""
    text, blank, signed = content.partition(b"\n\n")
    is_note = blank and signed.startswith("\N{EM DASH}".encode())
    return text.decode("utf-8", errors="replace") if is_note else ""


def proof_files(node: Node, incident: Incident) -> dict[str, bytes]:
    """The evidence as files: each piece as it is, and what ``relto verify`` verifies.

    A fork has one such file; two contents of an item have one each, as they were released to us.
    """
    evidence = dict(incident.evidence)
    files = {f"{name}.txt" if _words(content) else f"{name}.bin": content for name, content in evidence.items()}
    if incident.kind == FORK and "card" in evidence:
        parts = (evidence["card"], evidence["first"], evidence["second"], evidence.get("growth", b""))
        files[FORK_FILE] = write_fork(*parts)
    if incident.kind == EQUIVOCATION:
        headers = {content for name, content in incident.evidence if name.startswith("header-")}
        with node.store.read() as books:
            held = [each for each in books.versions(incident.subject.split(" ")[0]) if each.header in headers]
            proven = [prove_stored(books, each) for each in held]
        files |= {f"content-{at}.relto.json": content for at, content in enumerate(proven, start=1)}
    return files


def witnesses(node: Node) -> list[Witness]:
    """Who has witnessed this node's log, and up to where."""
    with node.store.read() as books:
        return heads.witnesses(node.core, books)
