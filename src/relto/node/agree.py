"""Agreeing: propose a text, sign it, exchange signatures. The text that is signed is the text that was read."""

from __future__ import annotations

import msgspec

from relto.agreements.document import read
from relto.agreements.lifecycle import PAYLOAD_TYPE, State, state
from relto.agreements.terms import Terms
from relto.envelope.dsse import merge, open_signed, sign
from relto.errors import OurError
from relto.exchange.books import SignedAgreement
from relto.exchange.documents import take_agreement
from relto.exchange.page import sha256
from relto.node.node import Node


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
        PeerError, DocumentError: see ``relto.exchange.documents.take_agreement``.
    """
    return _held(node, node.store.write(lambda books: take_agreement(node.core, books, envelope)))


def show(node: Node, agreement: str, version: int | None = None) -> Held:
    """One agreement.

    Raises:
        OurError: there is none of that name.
    """
    with node.store.read() as books:
        stored = books.agreement(agreement, version)
    if stored is None:
        raise OurError("no agreement has this name.", field=agreement, remedy="See: relto agreement ls.")
    return _held(node, stored)


def everything(node: Node) -> tuple[Held, ...]:
    """All agreements that the node holds."""
    with node.store.read() as books:
        stored = books.agreements()
    return tuple(_held(node, each) for each in stored)


def _held(node: Node, stored: SignedAgreement) -> Held:
    with node.store.read() as books:
        authorities = node.core.authorities(books)
    opened = open_signed(stored.envelope, PAYLOAD_TYPE, authorities)
    terms = read(opened.payload, stored.id)
    if sha256(opened.payload) != stored.sha256:
        raise OurError("the stored text is not the signed one.", field=stored.id, remedy="Restore the store.")
    found = state(terms, opened.signed_by, node.now_ms())
    return Held(terms, opened.payload, stored.envelope, tuple(sorted(opened.signed_by)), found)
