"""A bounded pool of small agreements, so that parsing and compiling are paid once and not in every seed.

A plan is what a number of parties have agreed: one agreement of all, a hub, a chain or overlapping circles, with grants
of every view, precision, delay, onward rule, retention and ceiling, terms that begin or end while the world runs, and
second versions. The text is the one that parties sign. The same number always gives the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from random import Random
from typing import Any

from relto.agreements.document import read
from relto.agreements.lifecycle import PAYLOAD_TYPE
from relto.envelope.dsse import merge, sign
from relto.errors import DocumentError
from relto.exchange.page import sha256
from relto.exercise.simulator.primitives import START_MS, identity

CAST = ("ALFA", "BRAVO", "CHARLIE", "DELTA", "ECHO", "FOXTROT", "GOLF", "HOTEL")
POOL = 24
SUBJECTS = ("CABLE", "RESCUE")
DELAYS_S = (3, 8)
_START = datetime.fromtimestamp(START_MS / 1000, UTC)
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """One version of an agreement: its text, who its parties are, and when its term is."""

    id: str
    version: int
    content: bytes
    parties: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The digest by which releases name it."""
        return sha256(self.content)

    def envelope(self, signers: Sequence[str], real: bool) -> bytes:
        """The envelope with the signatures of these parties."""
        return _envelope(self.content, tuple(sorted(signers)), real)


@lru_cache(maxsize=65_536)
def _envelope(content: bytes, signers: tuple[str, ...], real: bool) -> bytes:
    last = sign(PAYLOAD_TYPE, content, (identity(signers[-1], real).authority,))
    return last if len(signers) == 1 else merge(_envelope(content, signers[:-1], real), last)


@lru_cache(maxsize=1024)
def plan(parties: int, number: int) -> tuple[Text, ...]:
    """The agreements of a plan, second versions after the first."""
    rng = Random(f"plan {parties} {number}")  # noqa: S311 - a world from a seed, no secret
    cast = CAST[:parties]
    found: list[Text] = []
    for at, circle in enumerate(_circles(rng, cast)):
        name = f"SIM-{chr(65 + at)}"
        found.append(_agreement(rng, name, 1, circle, _term(rng)))
        if rng.random() < 0.35:
            found.append(_agreement(rng, name, 2, circle, {"from": _START + timedelta(seconds=rng.randint(4, 22))}))
    return tuple(found)


def _circles(rng: Random, cast: Sequence[str]) -> list[tuple[str, ...]]:
    shape = rng.choice(("all", "all", "all", "hub", "chain", "circles"))
    if shape == "hub":
        return [(cast[0], other) for other in cast[1:]]
    if shape == "chain":
        return list(pairwise(cast))
    if shape == "circles" and len(cast) > 2:
        return [tuple(sorted(rng.sample(cast, rng.randint(2, len(cast))))) for _ in range(rng.randint(2, 3))]
    return [tuple(cast)]


def _term(rng: Random) -> Plain:
    begins = _START - timedelta(days=1) if rng.random() < 0.8 else _START + timedelta(seconds=rng.randint(3, 15))
    ends = _START + timedelta(seconds=rng.randint(16, 30))
    return {"from": begins} | ({"until": ends} if rng.random() < 0.25 else {})


def _agreement(rng: Random, name: str, version: int, circle: tuple[str, ...], term: Plain) -> Text:
    """Drawn again until the format takes it: each clause must be able to let something go."""
    while True:
        text = _text(rng, name, version, circle, term).encode()
        try:
            read(text, name)
        except DocumentError:
            continue
        return Text(name, version, text, circle)


def _text(rng: Random, name: str, version: int, circle: tuple[str, ...], term: Plain) -> str:
    lines = [
        'format = "relto-agreement/1"',
        f'id = "{name}"',
        f"version = {version}",
        f'title = "Simulated agreement {name}"',
        "illustration = true",
        "[term]",
        *(f"{edge} = {moment.strftime('%Y-%m-%dT%H:%M:%SZ')}" for edge, moment in term.items()),
    ]
    for party in circle:
        lines += ["[[party]]", f'id = "{party}"', f'name = "Party {party}"', 'tier = "T2"']
    for level in ("LOW", "HIGH"):
        lines += ["[[level]]", f'name = "{level}"']
        lines += [f'{party} = ["{level}"]' for party in circle]
    for number in range(rng.choice((1, 1, 2, 3))):
        lines += ["[[grant]]", *_clause(rng, f"grant-{number}", circle, rng.random() < 0.2), *_grant(rng, circle)]
    if rng.random() < 0.2:
        lines += ["[[refusal]]", *_clause(rng, "refusal", circle, rng.random() < 0.7)]
    return "\n".join(lines) + "\n"


def _some(rng: Random, words: Sequence[str], chance_of_all: float) -> list[str]:
    if rng.random() < chance_of_all:
        return sorted(words)
    return sorted(rng.sample(list(words), rng.randint(1, len(words))))


def _clause(rng: Random, identity: str, circle: Sequence[str], narrow: bool) -> list[str]:
    lines = [
        f'id = "{identity}"',
        f'text = "Clause {identity}."',
        f"from = {_listed(_some(rng, circle, 0.6))}",
        f"to = {_listed(_some(rng, circle, 0.6))}",
        f"domains = {_listed(['cyber', 'maritime'] if rng.random() < 0.8 else ['maritime'])}",
    ]
    return [*lines, f"subjects = {_listed(_some(rng, SUBJECTS, 0.3))}"] if narrow else lines


def _grant(rng: Random, circle: Sequence[str]) -> list[str]:
    onward = rng.choice((*["list"] * 8, "none", "consent"))
    lines = [
        f'ceiling = "{rng.choice(("LOW", "HIGH", "HIGH"))}"',
        f'tlp_ceiling = "{rng.choice(("GREEN", "AMBER", "RED", "RED"))}"',
        f'view = "{rng.choices(("full", "detail", "summary", "notice"), (6, 2, 1, 1))[0]}"',
        f"precision_m = {rng.choice((0, 0, 1000, 10_000))}",
        f"onward = {_listed(_some(rng, circle, 0.8)) if onward == 'list' else _quoted(onward)}",
    ]
    if rng.random() < 0.3:
        lines.append(f"delay_s = {rng.choice(DELAYS_S)}")
    if rng.random() < 0.25:
        lines.append(f'retention = "{rng.choice(("2 s", "10 s"))}"')
    if rng.random() < 0.1:
        lines.append('remove = ["properties.rf.pulse"]')
    return lines


def _quoted(word: str) -> str:
    return f'"{word}"'


def _listed(words: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(word) for word in words)}]"
