"""A node: a party's core over its store, its keys on the disk and its clock. The verbs take it first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from relto.clock import Clock
from relto.envelope.card import PartyCard
from relto.envelope.keys import Signer
from relto.exchange.core import Core, Rules, accepted
from relto.exchange.link import Link, link_of
from relto.exchange.receive import unread
from relto.exchange.steps import Ask, Steps, drive
from relto.keyring.files import FileKeyring
from relto.kinds.spec import Kinds, shipped_kinds
from relto.node.home import KEYS, Settings, SystemClock, entropy, read_settings, store_place
from relto.store.books import SqlStore
from relto.store.database import Database
from relto.store.records import Reading

T = TypeVar("T")


@dataclass(slots=True)
class Node:
    """One party's node. Safe to use from several threads: what it keeps in memory follows from the store."""

    home: Path
    settings: Settings
    store: SqlStore
    keyring: FileKeyring
    core: Core
    pages_made: int = 0  # rises with every page; who waits for one looks into the store only when it has risen

    @classmethod
    def open(cls, home: Path, *, clock: Clock | None = None, random: Callable[[int], bytes] = entropy) -> Node:
        """Open the node in a directory.

        Raises:
            OurError: there is none, or a part of it is missing or unreadable.
        """
        settings = read_settings(home)
        keyring = FileKeyring.open(home / KEYS)
        core = Core(
            party=settings.party,
            authority=keyring.authority_public,
            signer=keyring.node(),
            sealing=keyring.sealing(),
            kinds=shipped_kinds(),
            clock=clock or SystemClock(),
            entropy=random,
        )
        return cls(home, settings, SqlStore(Database(store_place(home, settings.database))), keyring, core)

    @property
    def party(self) -> str:
        """Whose node it is."""
        return self.core.party

    @property
    def kinds(self) -> Kinds:
        """The kinds of items that it knows."""
        return self.core.kinds

    @property
    def signer(self) -> Signer:
        """The node's signing keys."""
        return self.core.signer

    def now_ms(self) -> int:
        """The present instant."""
        return self.core.now_ms()

    def run(self, steps: Steps[T], ask: Callable[[Ask], bytes] | None = None) -> T:
        """Carry out a verb of the exchange over this node's store; ``ask`` is the way to the partner it speaks with."""
        return drive(steps, self.store, ask)

    def close(self) -> None:
        """Finish what is being written and close the store."""
        self.store.close()

    def reading(self) -> Reading:
        """What a local reader may see now; a quarantined item is nobody's to read."""
        with self.store.read() as books:
            rules, behind = self.core.rules(books), unread(books)
        return Reading(self.now_ms(), rules.table.epoch.quarantined_items, behind)

    def rules(self) -> Rules:
        """The rules in force now."""
        with self.store.read() as books:
            return self.core.rules(books)

    def partner(self, party: str) -> PartyCard:
        """The card of a partner.

        Raises:
            UnknownPartyError: no partner has this name.
            ExpiredError: its card is over.
        """
        with self.store.read() as books:
            return self.core.partner(books, party)

    def link(self, party: str) -> Link:
        """The link to a partner."""
        with self.store.read() as books:
            return link_of(books, party)

    def card_of(self, party: str) -> bytes:
        """The card of a partner as it was signed.

        Raises:
            UnknownPartyError: no partner has this name.
        """
        with self.store.read() as books:
            return accepted(books, party).card

    def partners(self) -> tuple[str, ...]:
        """The names of all partners."""
        with self.store.read() as books:
            return tuple(each.party for each in books.partners())
