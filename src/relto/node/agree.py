"""Agreeing: propose a text, sign it, exchange signatures. The text that is signed is the text that was read."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from relto.agreements.document import read
from relto.agreements.lifecycle import PAYLOAD_TYPE, State, state
from relto.agreements.terms import Terms
from relto.bounds import BOUNDS
from relto.envelope.dsse import merge, open_signed, sign
from relto.errors import NotForUsError, OurError, TooLargeError
from relto.exchange.page import sha256
from relto.node.node import Node
from relto.store import parties
from relto.store.parties import SignedAgreement


class Held(msgspec.Struct, frozen=True):
    """An agreement as this node holds it: what it says, who signed, where it stands."""

    terms: Terms
    text: bytes
    envelope: bytes
    signed_by: tuple[str, ...]
    state: State


def check(node: Node, text: bytes, name: str) -> Terms:
    """Read a draft with this node's kinds; every finding is reported at once.

    Raises:
        DocumentError: with all findings.
    """
    return read(text, name, known_kinds=tuple(node.kinds.by_name))


def propose(node: Node, text: bytes, name: str, *, passphrase: bytes | None = None) -> Held:
    """Sign a draft as the first of its parties; partners get it with their next pull, or as a file.

    Raises:
        DocumentError: the draft has findings. OurError: this party is not one of its parties.
    """
    terms = check(node, text, name)
    if terms.party(node.party) is None:
        raise OurError(f"{node.party} is no party of it.", field=terms.ref.id, remedy="Propose at a party's node.")
    envelope = sign(PAYLOAD_TYPE, text, (node.keyring.authority(passphrase),))
    return take(node, envelope)


def countersign(node: Node, agreement: str, version: int | None, *, passphrase: bytes | None = None) -> Held:
    """Add this party's signature to an agreement that the node holds.

    Raises:
        OurError: there is none of that name, or this party is not one of its parties.
    """
    held = show(node, agreement, version)
    if held.terms.party(node.party) is None:
        raise OurError(f"{node.party} is no party of it.", field=agreement, remedy="Only its parties sign it.")
    check(node, held.text, agreement)
    own = sign(PAYLOAD_TYPE, held.text, (node.keyring.authority(passphrase),))
    return take(node, merge(held.envelope, own))


def take(node: Node, envelope: bytes) -> Held:
    """Take an agreement's envelope, new or with further signatures; signatures are united, never dropped.

    Raises:
        SignatureError, MalformedError: a signature of a known party does not verify, or it is no envelope.
        DocumentError: its text has findings. NotForUsError: this party is not one of its parties.
    """
    if len(envelope) > BOUNDS.agreement_bytes * 2:
        raise TooLargeError(f"{len(envelope)} bytes.", field="agreement", remedy="Send one agreement.")
    opened = open_signed(envelope, PAYLOAD_TYPE, node.authorities())
    terms = read(opened.payload, "agreement")
    if terms.party(node.party) is None:
        raise NotForUsError(f"{node.party} is no party of it.", field=terms.ref.id, remedy="Send it to its parties.")

    if not opened.signed_by:
        raise NotForUsError("no partner has signed it.", field=terms.ref.id, remedy="Its proposer signs first.")

    def keep(connection: Connection) -> SignedAgreement:
        known = parties.same_agreement(connection, terms.ref.id, terms.ref.version, terms.ref.sha256)
        if known is None and len(parties.agreements(connection)) >= BOUNDS.agreements:
            raise TooLargeError(f"over {BOUNDS.agreements} held.", field="agreements", remedy="Remove old proposals.")
        united = merge(known.envelope, envelope) if known else envelope
        signed_by = tuple(sorted(open_signed(united, PAYLOAD_TYPE, node.authorities()).signed_by))
        stored = SignedAgreement(
            id=terms.ref.id,
            version=terms.ref.version,
            sha256=terms.ref.sha256,
            text=opened.payload,
            envelope=united,
            signed_by=signed_by,
            changed_ms=node.now_ms(),
        )
        if known is None or known.envelope != united:
            parties.keep_agreement(connection, stored)
        return stored

    return _held(node, node.database.write(keep))


def show(node: Node, agreement: str, version: int | None = None) -> Held:
    """One agreement.

    Raises:
        OurError: there is none of that name.
    """
    with node.database.read() as connection:
        stored = parties.agreement(connection, agreement, version)
    if stored is None:
        raise OurError("no agreement has this name.", field=agreement, remedy="See: relto agreement ls.")
    return _held(node, stored)


def everything(node: Node) -> tuple[Held, ...]:
    """All agreements that the node holds."""
    with node.database.read() as connection:
        stored = parties.agreements(connection)
    return tuple(_held(node, each) for each in stored)


def for_peer(node: Node, peer: str) -> tuple[bytes, ...]:
    """The envelopes of the agreements that name this peer; of others a peer is not told that they exist."""
    return tuple(held.envelope for held in everything(node) if held.terms.party(peer) is not None)


def _held(node: Node, stored: SignedAgreement) -> Held:
    opened = open_signed(stored.envelope, PAYLOAD_TYPE, node.authorities())
    terms = read(opened.payload, stored.id)
    if sha256(opened.payload) != stored.sha256:
        raise OurError("the stored text is not the signed one.", field=stored.id, remedy="Restore the store.")
    found = state(terms, opened.signed_by, node.now_ms())
    return Held(terms, opened.payload, stored.envelope, tuple(sorted(opened.signed_by)), found)
