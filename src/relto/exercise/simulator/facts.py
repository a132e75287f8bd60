"""The plain facts of a run, as whoever stands outside of all nodes sees them: disks, opened pages, true signatures.

Nothing here asks the code under test what it thinks: pages are opened with the recipient's key and taken apart, rows
are read as they lie on the disk, agreements are read by the oracle's own reader, trees are hashed anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from relto.envelope.seal import Sealed
from relto.exchange.books import Leaf, SignedAgreement
from relto.exercise import oracle
from relto.exercise.simulator.memory import Row, State
from relto.exercise.simulator.primitives import Identity, identity, unsealed

Plain = dict[str, Any]


@lru_cache(maxsize=4096)
def agreement(text: bytes) -> Plain:
    """An agreement as the oracle reads it, with the parties that must sign."""
    return oracle.parse_agreement(text)


@lru_cache(maxsize=65_536)
def signers(envelope: bytes, cast: tuple[str, ...], real: bool) -> frozenset[str]:
    """The parties both of whose keys have a signature in the envelope."""
    found = {each["keyid"] for each in json.loads(envelope)["signatures"]}
    return frozenset(party for party in cast if found >= set(identity(party, real).authority.public.key_ids()))


@lru_cache(maxsize=20_000)
def header_of(content: bytes) -> Plain:
    """A header as plain values."""
    found: Plain = json.loads(content)
    return found


def in_force(held: Sequence[tuple[Plain, str, frozenset[str]]], now_ms: int) -> list[Plain]:
    """Which agreements hold, read naively: (agreement, digest, who signed).

    All have signed and the term holds; of one id, a later version that has begun sets an earlier one aside if all
    parties of the earlier signed it, and two texts of one version set each other aside.
    """
    begun = [each for each in held if set(each[0]["tiers"]) <= each[2] and each[0]["from_ms"] <= now_ms]
    return [
        one
        for one, digest, _ in begun
        if (one["until_ms"] is None or now_ms < one["until_ms"])
        and not any(
            other["id"] == one["id"]
            and set(one["tiers"]) <= signed
            and (other["version"] > one["version"] or (other["version"] == one["version"] and theirs != digest))
            for other, theirs, signed in begun
        )
    ]


@dataclass(frozen=True, slots=True)
class Sent:
    """One release as it lies in a page: header and content as its recipient will read them."""

    header: Plain
    header_sha256: str
    content: bytes


def open_page(page: bytes, recipient: Identity) -> list[Sent]:
    """The releases in a page, opened with its recipient's key."""
    _, to, batch, enc, parts = msgspec.msgpack.decode(page)
    context = f"relto-page/1\n{to}\n{batch}".encode()
    opened = unsealed(Sealed(enc, tuple(parts)), recipient.sealing, context)
    releases = [msgspec.msgpack.decode(part) for part in opened[1:]]
    return [Sent(json.loads(header), hashlib.sha256(header).hexdigest(), content) for header, content, *_ in releases]


def upstream(header: Plain) -> list[Plain]:
    """How an item came to its holder, as the oracle takes it."""
    release = header["release"]
    if release is None:
        return []
    duties = release["duties"]
    return [
        {
            "from": release["by"],
            "onward": duties["onward"],
            "purposes": duties["purposes"],
            "retention_s": duties["retention_s"],
        }
    ]


@dataclass(slots=True)
class Tree:
    """A log's tree, hashed by a second hand: complete subtrees from the largest to the smallest."""

    size: int = 0
    roots: dict[int, bytes] = field(default_factory=dict)
    _peaks: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, leaves: Iterable[Leaf]) -> None:
        """Append leaves."""
        for leaf in leaves:
            entry = hashlib.sha256(b"relto-release-leaf/1\n" + leaf.salt + leaf.record).digest()
            self._peaks.append((1, hashlib.sha256(b"\x00" + entry).digest()))
            self.size += 1
            while len(self._peaks) > 1 and self._peaks[-1][0] == self._peaks[-2][0]:
                width, right = self._peaks.pop()
                _, left = self._peaks.pop()
                self._peaks.append((2 * width, hashlib.sha256(b"\x01" + left + right).digest()))
        found = b""
        for _, peak in reversed(self._peaks):
            found = hashlib.sha256(b"\x01" + peak + found).digest() if found else peak
        self.roots[self.size] = found


def agreements_at(state: State) -> list[SignedAgreement]:
    """The agreements on a disk."""
    return list(state["agreements"].values())


def rows_of(state: State, id: str) -> list[Row]:
    """The rows of an item on a disk."""
    return [state["items"][seq] for seq in state["item_ids"].get(id, ()) if seq in state["items"]]
