"""Pairing: two parties swap cards and compare fingerprints by voice; each then pins the other's authority keys."""

from __future__ import annotations

from sqlalchemy import Connection

from relto.clock import DAY_MS, SECOND_MS
from relto.envelope.card import PartyCard, open_card, sign_card, signed_card, succeeds
from relto.envelope.keys import fingerprint
from relto.errors import OurError, SignatureError
from relto.node.node import Node
from relto.store import parties
from relto.store.parties import Partner

CARD_DAYS = 90
CARD_VERSION = "card-version"


def invite(node: Node, url: str, *, passphrase: bytes | None = None, days: int = CARD_DAYS) -> tuple[bytes, str]:
    """This party's newest card, and the fingerprint to read to the partner over the telephone.

    Raises:
        OurError: the authority keys are locked or not here.
    """

    def next_version(connection: Connection) -> int:
        version = int(parties.secret(connection, CARD_VERSION) or b"0") + 1
        parties.put_setting(connection, CARD_VERSION, str(version).encode())
        return version

    authority = node.keyring.authority(passphrase)
    version = node.database.write(next_version)
    lifetime_s = days * DAY_MS // SECOND_MS
    card = node.keyring.card(node.settings.name, url, version, node.now_ms(), lifetime_s)
    return sign_card(card, authority), fingerprint(authority.public)


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

    def keep(connection: Connection) -> None:
        known = parties.partner(connection, card.party)
        if known is not None and known.card != envelope:
            succeeds(signed_card(known.card, pinned=known.fingerprint), card)
        parties.keep_partner(connection, Partner(card.party, envelope, found, node.now_ms()))

    node.database.write(keep)
    return card


def _plain(text: str) -> str:
    return "".join(text.upper().split()).replace("-", "")
