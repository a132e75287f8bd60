"""Cards that travel by themselves, and what a partner's revocation does here. docs/spec/envelope.md, section 5.

A node tells a partner which cards it has: its own, and those of parties that signed an agreement together with that
partner. The partner asks for the newer ones. So everybody learns of new keys, and of keys that are void, from whoever
knows of them first. Nobody becomes a partner that way: people compare fingerprints for that, and what they pinned
decides who signs.

When keys of a partner are void since an instant:

* what comes by them from now on is refused, whatever time it names, since the card has other keys;
* what came by them at that instant or later is put away: read by nobody, passed on to nobody, kept as evidence;
* the partner is quarantined until an operator lifts that. It may still withdraw, and ask for what it once released.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from relto.bounds import BOUNDS
from relto.clock import format_utc
from relto.envelope.card import PartyCard, Revocation, check_party, open_card, signed_card, succeeds
from relto.envelope.keys import fingerprint
from relto.envelope.merkle import EMPTY_ROOT
from relto.errors import MalformedError, NotForUsError, PeerError
from relto.exchange.books import KEY_REVOKED, Arrival, Books, Incident, Partner, Stored
from relto.exchange.core import Core, accepted, card_of
from relto.exchange.incidents import note_two_cards
from relto.exchange.page import closed_again
from relto.exchange.steps import Ask, Card, Read, Steps, Write
from relto.item import Header
from relto.strict import canonical

OWN_CARD = "card"
CARD_VERSION = "card-version"

_STEP = 64
_header = msgspec.json.Decoder(Header)


class Offer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A card that a partner has: whose, its version, and the SHA-256 of what was signed, in hex."""

    party: str
    version: int
    sha256: str


class Taken(msgspec.Struct, frozen=True):
    """What came of a card: the newer card, or None if the one that was known holds."""

    party: str
    card: PartyCard | None


def shared(core: Core, books: Books, peer: str) -> dict[str, bytes]:
    """The cards that a peer may have from us, by party; that of the peer itself as well, for it may have lost it."""
    common = {peer}
    for standing in core.rules(books).standings:
        if peer in standing.signed_by:
            common |= standing.signed_by
    found = {each.party: each.card for each in books.partners() if each.party in common}
    own = books.secret(OWN_CARD)
    return found | ({core.party: own} if own else {})


def told(core: Core, books: Books, peer: str) -> tuple[Offer, ...]:
    """These cards, without their bytes: a card has twelve kilobytes, and most partners have it."""
    cards = shared(core, books, peer)
    return tuple(_offer(signed_card_of(cards[party])) for party in sorted(cards))


@lru_cache(maxsize=BOUNDS.partners)
def _offer(card: PartyCard) -> Offer:
    return Offer(card.party, card.version, hashlib.sha256(canonical(card)).hexdigest())


@lru_cache(maxsize=BOUNDS.partners)
def signed_card_of(envelope: bytes) -> PartyCard:
    """A card that is in our books already."""
    return signed_card(envelope, pinned=None)


def one(core: Core, books: Books, peer: str, place: int) -> bytes:
    """The card at one place of those that the peer is told of.

    Raises:
        NotForUsError: there are not so many.
    """
    cards = shared(core, books, peer)
    if not 0 <= place < len(cards):
        raise NotForUsError(f"there are {len(cards)} cards.", field="place", remedy="Ask for those that are offered.")
    return cards[sorted(cards)[place]]


def ask(core: Core, peer: str, offered: Iterable[Offer]) -> Steps[tuple[str, ...]]:
    """Ask a peer for the cards that are newer than ours and take them; returns why others were not taken."""
    offers = tuple(offered)
    newer: list[int] = yield Read(lambda books: _newer(core, books, offers))
    refused = []
    for place in newer:
        try:
            envelope: bytes = yield Ask(peer, Card(place))
            yield Write(lambda books, envelope=envelope: take(core, books, envelope))  # type: ignore[misc]
        except PeerError as error:
            refused.append(f"{offers[place].party}: {error}")
    return tuple(refused)


def _newer(core: Core, books: Books, offered: Iterable[Offer]) -> list[int]:
    """The places of the newer ones, and of other ones of the version that we have: two of one version are a proof."""
    known = {each.party: _offer(card_of(each)) for each in books.partners()}
    own = books.secret(OWN_CARD)
    known[core.party] = _offer(signed_card_of(own)) if own else Offer(core.party, 0, "")
    found = [(place, each, known[each.party]) for place, each in enumerate(offered) if each.party in known]
    return [
        place
        for place, new, old in found
        if new.version > old.version or (new.version == old.version and new.sha256 != old.sha256)
    ]


def take(core: Core, books: Books, envelope: bytes) -> Taken:
    """Take a newer card of a partner, by whichever way it came; of a stranger none is taken.

    Raises:
        UnknownPartyError: it is of no partner. SignatureError: not signed by the authority that people compared.
        PeerError: it is over, from the future, or takes back what an earlier one said.
    """
    claimed = signed_card(envelope, pinned=None)
    if claimed.party == core.party:
        return _own(core, books, envelope)
    kept = accepted(books, claimed.party)
    return accept(core, books, envelope, kept.fingerprint)


def accept(core: Core, books: Books, envelope: bytes, pinned: str) -> Taken:
    """Take a card whose authority people have compared: the first of a new partner, or a newer one.

    Raises:
        PeerError: as ``take``.
    """
    card = open_card(envelope, now_ms=core.now_ms(), pinned=pinned)
    kept = books.partner(card.party)
    old = card_of(kept) if kept else None
    if card == old:
        return Taken(card.party, None)
    if old is not None and kept is not None:
        if card.version == old.version and card.authority == old.authority:
            _note_two(core, books, kept.card, envelope)
            return Taken(card.party, None)
        succeeds(old, card)
    books.keep_partner(Partner(card.party, envelope, pinned, core.now_ms()))
    _follow_log(books, card)
    known = set(old.revoked) if old else set()
    new = [each for each in card.revoked if each not in known]
    if new and old is not None:
        _revoke(core, books, card, new, envelope)
    if old is not None and card.sealing != old.sealing:
        _close_again(books, card)
    return Taken(card.party, card)


def _own(core: Core, books: Books, envelope: bytes) -> Taken:
    """A partner holds a newer card of ours than we do: we were restored. The next one counts on from there."""
    card = signed_card(envelope, pinned=fingerprint(core.authority))
    own = books.secret(OWN_CARD)
    if own and card.version == signed_card_of(own).version and card != signed_card_of(own):
        _note_two(core, books, own, envelope)
    if card.version <= int(books.secret(CARD_VERSION) or b"0"):
        return Taken(core.party, None)
    books.put_setting(CARD_VERSION, str(card.version).encode())
    books.put_setting(OWN_CARD, envelope)
    return Taken(core.party, card)


def _note_two(core: Core, books: Books, first: bytes, second: bytes) -> None:
    """Both are kept, and the first holds. It raises nothing, so that the incident is kept as well."""
    card = signed_card_of(first)
    note_two_cards(core, books, card.party, card.version, (first, second))


def _follow_log(books: Books, card: PartyCard) -> None:
    """The party began another log after it had lost the old one; its stream to us goes on where we are."""
    inbound = books.inbound(card.party)
    if card.log > inbound.log:
        books.move_inbound(msgspec.structs.replace(inbound, log=card.log, log_size=0, log_root=EMPTY_ROOT))


def _revoke(core: Core, books: Books, card: PartyCard, new: list[Revocation], envelope: bytes) -> None:
    """Put away what came by void keys, stop everything to the party, and tell the operator once."""
    now_ms = core.now_ms()
    away = sum(_put_away(books, card.party, each) for each in new)
    books.set_quarantined(books.quarantined() | {card.party})
    since = format_utc(min(each.since_ms for each in new))
    text = (
        f"{card.party} revoked its node keys since {since}. {away} releases that came by them since then are put away, "
        "and nothing goes to it until relto quarantine lift."
    )
    evidence = (("card", envelope),)
    books.note_incident(Incident(KEY_REVOKED, card.party, new[0].node, text, evidence, now_ms, now_ms))


def _put_away(books: Books, party: str, revoked: Revocation) -> int:
    """Put away what a party's void keys sent since an instant; what they had hidden stands again."""
    signed_by: dict[bytes, str] = {}
    hidden: set[str] = set()
    away, after_n = 0, 0
    while True:
        found = books.arrivals_after(party, after_n, _STEP, since_ms=revoked.since_ms)
        for number, arrival in found:
            after_n = arrival.first_n
            if _node_of(arrival, signed_by) == revoked.node:
                rows = [each for each in books.arrived(number) if each.standing != "revoked"]
                books.set_standing([each.seq for each in rows], "revoked")
                hidden |= {_header.decode(each.header).id for each in rows if each.header}
                away += len(rows)
        if len(found) < _STEP:
            break
    for id in sorted(hidden):
        _stand_again(books, party, id)
    return away


def _node_of(arrival: Arrival, known: dict[bytes, str]) -> str:
    """The fingerprint of the node keys that signed a batch; one card has signed for many."""
    digest = hashlib.sha256(arrival.card).digest()
    if digest not in known:
        known[digest] = fingerprint(signed_card_of(arrival.card).node)
    return known[digest]


def _stand_again(books: Books, party: str, id: str) -> None:
    """The newest version that is left of what a party released stands, if a void one had taken its place."""
    left = [each for each in books.versions(id) if each.by == party and each.header and each.view != "nothing"]
    left = [each for each in left if each.standing in ("current", "superseded")]
    if any(each.standing == "current" for each in left) or not left:
        return
    books.set_standing([max(left, key=_place).seq], "current")


def _place(stored: Stored) -> tuple[int, int]:
    return _header.decode(stored.header).version, stored.edition


def _close_again(books: Books, card: PartyCard) -> None:
    """Close what waits for a partner with its newer key: it has no other any more."""
    for each in books.page_keys(card.party):
        page = books.page_after(card.party, each.first_n - 1)
        if page is not None:
            closed = closed_again(page, recipient=bytes.fromhex(card.sealing), content_key=each.key)
            books.replace_page(card.party, each.first_n, closed)


def check_offers(offered: tuple[Offer, ...]) -> None:
    """Refuse what is no list of cards.

    Raises:
        MalformedError: it is too long, or names no party.
    """
    if len(offered) > BOUNDS.partners + 1 or any(not 1 <= each.version <= BOUNDS.json_integer for each in offered):
        raise MalformedError("is no list of cards.", field="cards", remedy="Tell the peer.")
    for each in offered:
        check_party(each.party)
