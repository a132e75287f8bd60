"""One party as the exchange knows it: its name, its keys, its clock, and the rules in force in its books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from relto.agreements.document import read
from relto.agreements.lifecycle import PAYLOAD_TYPE, Standing, State, in_force, state
from relto.bounds import BOUNDS
from relto.clock import Clock
from relto.envelope.card import PartyCard, check_times, signed_card
from relto.envelope.dsse import open_signed
from relto.envelope.keys import PublicKeys, Signer
from relto.envelope.seal import SealingKey
from relto.errors import UnknownPartyError
from relto.exchange.books import Books, Partner, SignedAgreement, freezes_ms
from relto.exchange.page import sha256
from relto.item import PARTY
from relto.kinds.spec import Kinds
from relto.release.decide import Table
from relto.release.world import Epoch

LOG_NUMBER = "log-number"
HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they are now, and when they must be read anew: at ``until_ms``, or when ``version`` has changed.

    Also before ``since_ms``: a clock that was put back is before the term of what began since.
    """

    version: int
    since_ms: int
    until_ms: int | None
    table: Table
    standings: tuple[Standing, ...]

    @property
    def frozen(self) -> frozenset[str]:
        """The parties of whom no page is taken and nothing is passed on, until an incident is closed."""
        return self.table.epoch.frozen


@dataclass(slots=True)
class Core:
    """What the verbs of the exchange are given beside the books. What it remembers follows from the books."""

    party: str
    authority: PublicKeys
    signer: Signer
    sealing: SealingKey
    kinds: Kinds
    clock: Clock
    entropy: Callable[[int], bytes]
    _rules: Rules | None = None

    def now_ms(self) -> int:
        """The present instant."""
        return self.clock.now_ms()

    def partner(self, books: Books, party: str) -> PartyCard:
        """The card of a partner.

        Raises:
            UnknownPartyError: no partner has this name.
            ExpiredError: its card is over.
        """
        card = card_of(accepted(books, party))
        check_times(card, self.now_ms())
        return card

    def authorities(self, books: Books) -> dict[str, PublicKeys]:
        """The authority keys of this party and of all partners, by which agreements are verified."""
        cards = [card_of(each) for each in books.partners()]
        return {card.party: card.authority for card in cards} | {self.party: self.authority}

    def rules(self, books: Books) -> Rules:
        """The rules in force now. Read anew when an agreement or partner changed, or a term begins or ends."""
        now_ms, version = self.now_ms(), books.rules_version()
        known = self._rules
        holds = known is not None and known.since_ms <= now_ms and (known.until_ms is None or now_ms < known.until_ms)
        if known and known.version == version and holds:
            return known
        authorities = self.authorities(books)
        standings = tuple(_standing(each, authorities) for each in books.agreements())
        frozen, thaw_ms = _frozen(self.party, books, now_ms)
        epoch = _epoch(self.party, standings, books.quarantined(), frozen, now_ms)
        edges = [edge for edge in (_next_change(standings, now_ms), thaw_ms) if edge is not None]
        self._rules = Rules(version, now_ms, min(edges, default=None), Table(epoch), standings)
        return self._rules


def accepted(books: Books, party: str) -> Partner:
    """A partner as it was accepted.

    Raises:
        UnknownPartyError: no partner has this name.
    """
    found = books.partner(party)
    if found is None:
        raise UnknownPartyError(f"{party[:16]!r} is no partner.", field="party", remedy="See: relto partner ls.")
    return found


def card_of(partner: Partner) -> PartyCard:
    """The card of a partner, whatever its time."""
    return _verified(partner.card, partner.fingerprint)


def log_number(books: Books) -> int:
    """Which release log of this party it is: 1, and one more after each that was lost."""
    return int(books.secret(LOG_NUMBER) or b"1")


def halted(books: Books) -> str:
    """Why this node releases nothing for now, as after a restore; empty if it does."""
    return (books.secret(HALTED) or b"").decode()


@lru_cache(maxsize=BOUNDS.partners)
def _verified(envelope: bytes, fingerprint: str) -> PartyCard:
    """A card whose signatures were checked; they do not change. Whether it is good now is asked each time."""
    return signed_card(envelope, pinned=fingerprint)


def _standing(stored: SignedAgreement, authorities: Mapping[str, PublicKeys]) -> Standing:
    """The agreement as its envelope proves it: what the store says of signatures is not believed."""
    opened = open_signed(stored.envelope, PAYLOAD_TYPE, authorities)
    return Standing(read(opened.payload, stored.id), opened.signed_by, sha256(stored.envelope))


def _epoch(
    holder: str, standings: tuple[Standing, ...], quarantined: frozenset[str], frozen: frozenset[str], now_ms: int
) -> Epoch:
    holding = {standing.terms.ref for standing in in_force(standings, now_ms)}
    signed = [each for each in standings if _state(each, now_ms).phase not in ("draft", "proposed")]
    return Epoch(
        holder=holder,
        in_force=tuple(each.terms for each in signed if each.terms.ref in holding),
        dormant=tuple(each.terms for each in signed if each.terms.ref not in holding),
        quarantined_parties=frozenset(name for name in quarantined if PARTY.fullmatch(name)),
        quarantined_items=frozenset(name for name in quarantined if not PARTY.fullmatch(name)),
        frozen=frozen,
    )


def _frozen(party: str, books: Books, now_ms: int) -> tuple[frozenset[str], int | None]:
    """Who is frozen by an open incident now, and when the next suspicion will have lasted long enough to freeze.

    Against a fork of our own log the node halts, which is more.
    """
    since = {each: freezes_ms(each) for each in books.incidents(open_only=True)}
    later = [at_ms for at_ms in since.values() if at_ms is not None and at_ms > now_ms]
    frozen = frozenset(each.party for each, at_ms in since.items() if at_ms is not None and at_ms <= now_ms)
    return frozen - {party}, min(later, default=None)


def _state(standing: Standing, now_ms: int) -> State:
    return state(standing.terms, standing.signed_by, now_ms)


def _next_change(standings: tuple[Standing, ...], now_ms: int) -> int | None:
    """When time alone will change what is in force."""
    edges = [_state(standing, now_ms).changes_ms for standing in standings]
    return min((edge for edge in edges if edge is not None and edge > now_ms), default=None)
