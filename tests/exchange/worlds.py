"""A small world for tests of the exchange without a network: parties with fixed keys, their cards, and their logs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from relto.clock import FixedClock
from relto.envelope.card import PartyCard, sign_card
from relto.envelope.keys import PrivateKeys, fingerprint
from relto.envelope.merkle import leaf_hash, reader, root
from relto.envelope.seal import SealingKey
from relto.exchange.books import Incident, Partner
from relto.exchange.core import Core
from relto.exchange.fork import growth
from relto.exchange.page import log_origin
from relto.exercise.simulator.memory import MemoryStore
from relto.kinds.spec import shipped_kinds
from relto.log.checkpoint import Checkpoint, sign_checkpoint

NOW_MS = 1_795_392_000_000
_KINDS = shipped_kinds()
_SEALING = SealingKey.generate()
_NOTES: dict[tuple[str, int, bytes], bytes] = {}


def keys(party: str, what: str = "node") -> PrivateKeys:
    seed = hashlib.sha256(f"{party} {what}".encode()).digest()
    return PrivateKeys.from_seeds(seed, hashlib.sha256(seed).digest())


def card(party: str, version: int = 1, name: str = "A party") -> bytes:
    authority = keys(party, "authority")
    fields = PartyCard(
        v=1,
        party=party,
        name=name,
        version=version,
        authority=authority.public,
        node=keys(party).public,
        sealing="0a" * 1216,
        tls_ca=base64.b64encode(b"certificate").decode(),
        url="https://node.example:8443",
        issued_ms=NOW_MS - 1,
        expires_ms=NOW_MS + 90 * 24 * 3600 * 1000,
    )
    return sign_card(fields, authority)


class Log:
    """A party's release log as others see it: entries, and heads signed over the first of them."""

    def __init__(self, party: str, entries: Sequence[str], number: int = 1) -> None:
        self.party, self.number = party, number
        self.hashes = [leaf_hash(each.encode()) for each in entries]

    def head(self, size: int, signed_by: str = "") -> bytes:
        found = Checkpoint(log_origin(self.party, self.number), size, root(self.hashes[:size]))
        key = (signed_by or self.party, self.number, found.text.encode())
        if key not in _NOTES:
            _NOTES[key] = sign_checkpoint(found, keys(signed_by or self.party), self.party)
        return _NOTES[key]

    def growth(self, old: int, new: int) -> bytes:
        return growth(reader(self.hashes), old, new) if 0 < old < new <= len(self.hashes) else b""


class Observer:
    """A party with a store in memory that knows some partners."""

    def __init__(self, party: str, partners: Sequence[str]) -> None:
        self.clock = FixedClock(NOW_MS)
        self.store = MemoryStore()
        self.core = Core(
            party=party,
            authority=keys(party, "authority").public,
            signer=keys(party),
            sealing=_SEALING,
            kinds=_KINDS,
            clock=self.clock,
            entropy=lambda size: bytes(size),
        )
        for each in partners:
            pinned = fingerprint(keys(each, "authority").public)
            self.store.write(lambda b, each=each, p=pinned: b.keep_partner(Partner(each, card(each), p, NOW_MS)))

    def incidents(self, *, open_only: bool = True) -> list[Incident]:
        with self.store.read() as books:
            return books.incidents(open_only=open_only)

    def kinds(self) -> list[tuple[str, str]]:
        return [(each.kind, each.party) for each in self.incidents()]

    def frozen(self) -> frozenset[str]:
        with self.store.read() as books:
            return self.core.rules(books).frozen
