"""A node: its store, its keys, its clock, and the rules in force. The verbs take it as their first argument."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from relto.agreements.document import read
from relto.agreements.lifecycle import PAYLOAD_TYPE, Standing, State, in_force, state
from relto.bounds import BOUNDS
from relto.clock import Clock
from relto.envelope.card import PartyCard, check_times, signed_card
from relto.envelope.dsse import open_signed
from relto.envelope.keys import PublicKeys, Signer
from relto.envelope.seal import SealingKey
from relto.errors import UnknownPartyError
from relto.exchange.page import sha256
from relto.item import PARTY
from relto.keyring.files import FileKeyring
from relto.kinds.spec import Kinds, shipped_kinds
from relto.node.home import DATABASE, KEYS, Settings, SystemClock, entropy, read_settings
from relto.release.decide import Table
from relto.release.world import Epoch
from relto.store import parties
from relto.store.database import Database
from relto.store.records import Reading


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they are now, and when they must be read anew: at ``until_ms``, or when ``version`` has changed."""

    version: int
    until_ms: int | None
    table: Table
    standings: tuple[Standing, ...]


@dataclass(slots=True)
class Node:
    """One party's node. Safe to use from several threads: what it keeps in memory follows from the store."""

    home: Path
    settings: Settings
    database: Database
    signer: Signer
    sealing: SealingKey
    keyring: FileKeyring
    kinds: Kinds
    clock: Clock
    entropy: Callable[[int], bytes]
    pages_made: int = 0  # rises with every page; who waits for one looks into the store only when it has risen
    _rules: Rules | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, home: Path, *, clock: Clock | None = None, random: Callable[[int], bytes] = entropy) -> Node:
        """Open the node in a directory.

        Raises:
            OurError: there is none, or a part of it is missing or unreadable.
        """
        settings = read_settings(home)
        keyring = FileKeyring.open(home / KEYS)
        return cls(
            home=home,
            settings=settings,
            database=Database(home / DATABASE),
            signer=keyring.node(),
            sealing=keyring.sealing(),
            keyring=keyring,
            kinds=shipped_kinds(),
            clock=clock or SystemClock(),
            entropy=random,
        )

    @property
    def party(self) -> str:
        """Whose node it is."""
        return self.settings.party

    def now_ms(self) -> int:
        """The present instant."""
        return self.clock.now_ms()

    def close(self) -> None:
        """Finish what is being written and close the store."""
        self.database.close()

    def reading(self) -> Reading:
        """What a local reader may see now; a quarantined item is nobody's to read."""
        return Reading(self.now_ms(), self.rules().table.epoch.quarantined_items)

    def partner(self, party: str) -> PartyCard:
        """The card of a partner.

        Raises:
            UnknownPartyError: no partner has this name.
            ExpiredError: its card is over.
        """
        found = self._accepted(party)
        card = _verified(found.card, found.fingerprint)
        check_times(card, self.now_ms())
        return card

    def card_of(self, party: str) -> bytes:
        """The card of a partner as it was signed.

        Raises:
            UnknownPartyError: no partner has this name.
        """
        return self._accepted(party).card

    def _accepted(self, party: str) -> parties.Partner:
        with self.database.read() as connection:
            found = parties.partner(connection, party)
        if found is None:
            raise UnknownPartyError(f"{party[:16]!r} is no partner.", field="party", remedy="See: relto partner ls.")
        return found

    def authorities(self) -> dict[str, PublicKeys]:
        """The authority keys of this party and of all partners, by which agreements are verified."""
        with self.database.read() as connection:
            known = parties.partners(connection)
        cards = [_verified(each.card, each.fingerprint) for each in known]
        return {card.party: card.authority for card in cards} | {self.party: self.keyring.authority_public}

    def partners(self) -> tuple[str, ...]:
        """The names of all partners."""
        with self.database.read() as connection:
            return tuple(each.party for each in parties.partners(connection))

    def rules(self) -> Rules:
        """The rules in force now. Read anew when an agreement or partner changed, or a term begins or ends."""
        now_ms = self.now_ms()
        with self.database.read() as connection:
            version = parties.rules_version(connection)
            known = self._rules
            current = known is not None and known.version == version
            if known is not None and current and (known.until_ms is None or now_ms < known.until_ms):
                return known
            stored = parties.agreements(connection)
            quarantined = parties.quarantined(connection)
        authorities = self.authorities()
        standings = tuple(_standing(each, authorities) for each in stored)
        epoch = _epoch(self.party, standings, quarantined, now_ms)
        rules = Rules(version, _next_change(standings, now_ms), Table(epoch), standings)
        with self._lock:
            self._rules = rules
        return rules


@lru_cache(maxsize=BOUNDS.partners)
def _verified(envelope: bytes, fingerprint: str) -> PartyCard:
    """A card whose signatures were checked; they do not change. Whether it is good now is asked each time."""
    return signed_card(envelope, pinned=fingerprint)


def _standing(stored: parties.SignedAgreement, authorities: Mapping[str, PublicKeys]) -> Standing:
    """The agreement as its envelope proves it: what the store says of signatures is not believed."""
    opened = open_signed(stored.envelope, PAYLOAD_TYPE, authorities)
    return Standing(read(opened.payload, stored.id), opened.signed_by, sha256(stored.envelope))


def _epoch(holder: str, standings: tuple[Standing, ...], quarantined: frozenset[str], now_ms: int) -> Epoch:
    holding = {standing.terms.ref for standing in in_force(standings, now_ms)}
    signed = [each for each in standings if _state(each, now_ms).phase not in ("draft", "proposed")]
    return Epoch(
        holder=holder,
        in_force=tuple(each.terms for each in signed if each.terms.ref in holding),
        dormant=tuple(each.terms for each in signed if each.terms.ref not in holding),
        quarantined_parties=frozenset(name for name in quarantined if PARTY.fullmatch(name)),
        quarantined_items=frozenset(name for name in quarantined if not PARTY.fullmatch(name)),
    )


def _state(standing: Standing, now_ms: int) -> State:
    return state(standing.terms, standing.signed_by, now_ms)


def _next_change(standings: tuple[Standing, ...], now_ms: int) -> int | None:
    """When time alone will change what is in force."""
    edges = [_state(standing, now_ms).changes_ms for standing in standings]
    return min((edge for edge in edges if edge is not None and edge > now_ms), default=None)
