"""Pairing: two parties swap cards and compare fingerprints by voice; each then pins the other's authority keys.

A later card of the same authority is made here as well: with new keys, with what is void of the old ones, and with the
number of a new release log after the old one was lost.
"""

from __future__ import annotations

import msgspec

from relto.clock import DAY_MS, SECOND_MS
from relto.envelope.card import PartyCard, Revocation, open_card, sign_card, signed_card, succeeds
from relto.envelope.keys import Signer, fingerprint
from relto.errors import OurError, SignatureError
from relto.exchange import cards, recover, resuming
from relto.exchange.books import Books
from relto.exchange.cards import CARD_VERSION, OWN_CARD
from relto.exchange.core import log_number
from relto.node.node import Node

CARD_DAYS = 90


class Change(msgspec.Struct, frozen=True):
    """What a card changes beside its address and its end.

    ``previous`` is the newest card of a node that is lost, by which the new one counts on. ``revoke_since_ms``: the
    node keys of the card before are void since then. ``new_log``: the release log cannot be continued.
    """

    previous: bytes | None = None
    revoke_since_ms: int | None = None
    new_log: bool = False


def invite(
    node: Node, url: str, *, passphrase: bytes | None = None, days: int = CARD_DAYS, change: Change | None = None
) -> tuple[bytes, str]:
    """This party's newest card, and the fingerprint to read to the partner over the telephone.

    With new keys or a new log this node takes nothing and releases nothing until each partner has compared with it.

    Raises:
        OurError: the authority keys are locked or not here, or the change does not fit the card before.
    """
    authority = node.keyring.authority(passphrase)
    asked = change or Change()
    card = node.store.write(lambda books: _make(node, books, authority, url, days, asked))
    return card, fingerprint(authority.public)


def _make(node: Node, books: Books, authority: Signer, url: str, days: int, change: Change) -> bytes:
    own = books.secret(OWN_CARD) or None
    before = _newest(authority, own, change.previous)
    lost = own is None and before is not None
    revoked = _revoked(node, before, change.revoke_since_ms)
    log = max(before.log if before else 1, log_number(books))
    anew = before is not None and (lost or change.new_log or change.revoke_since_ms is not None)
    version = max(int(books.secret(CARD_VERSION) or b"0"), before.version if before else 0) + 1
    lifetime_s = days * DAY_MS // SECOND_MS
    card = node.keyring.card(
        node.settings.name, url, version, node.now_ms(), lifetime_s, log=log + anew, revoked=revoked
    )
    envelope = sign_card(card, authority)
    if before is not None:
        succeeds(before, card)
        _begin(books, before, card, lost)
    books.put_setting(CARD_VERSION, str(version).encode())
    books.put_setting(OWN_CARD, envelope)
    return envelope


def _newest(authority: Signer, own: bytes | None, previous: bytes | None) -> PartyCard | None:
    pinned = fingerprint(authority.public)
    found = [signed_card(each, pinned=pinned) for each in (own, previous) if each is not None]
    return max(found, key=lambda card: card.version, default=None)


def _revoked(node: Node, before: PartyCard | None, since_ms: int | None) -> tuple[Revocation, ...]:
    earlier = before.revoked if before else ()
    if since_ms is None:
        return earlier
    if before is None:
        raise OurError(
            "this node knows no card before.", field="--revoke-since", remedy="Give --previous, a partner has it."
        )
    if before.node == node.keyring.node_public():
        raise OurError(
            "the keys are still in use.", field="--revoke-since", remedy="Make new ones first: relto keys renew."
        )
    return tuple(sorted({*earlier, Revocation(fingerprint(before.node), since_ms)}))


def _begin(books: Books, before: PartyCard, card: PartyCard, lost: bool) -> None:
    """What is signed by other keys or for another log is made anew for each partner, once it has compared."""
    other_keys = before.node != card.node or before.sealing != card.sealing
    if card.log != before.log or other_keys:
        resuming.begin(books, remake=True, adopt=other_keys, rebuilt=lost)
    recover.begin_log(books, card.log)


def accept(node: Node, envelope: bytes, spoken: str) -> PartyCard:
    """Take a partner's card whose fingerprint people have compared; a newer card of a known partner replaces the old.

    Raises:
        SignatureError: the card is not signed by the keys of that fingerprint.
        PeerError: it is over, not a card, or would roll the known one back. OurError: it is our own.
    """
    card = open_card(envelope, now_ms=node.now_ms(), pinned=None)
    found = fingerprint(card.authority)
    if _plain(spoken) != _plain(found):
        raise SignatureError(
            f"{card.party}'s card has the fingerprint {found}, not the one that was read out.",
            field="fingerprint",
            remedy="Do not accept it. Telephone the party and ask for its card again.",
        )
    if card.party == node.party:
        raise OurError("is this node's own card.", field="card", remedy="Give it to the partner; take theirs.")
    taken = node.store.write(lambda books: cards.accept(node.core, books, envelope, found))
    if taken.card is None and node.partner(card.party) != card:
        succeeds(node.partner(card.party), card)
    return card


def _plain(text: str) -> str:
    return "".join(text.upper().split()).replace("-", "")
