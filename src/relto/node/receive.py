"""Receiving: fetch the next page of a peer's stream, verify it, store it, and only then acknowledge.

Effect exactly once: where we are in the stream moves in the transaction that stores the items, so a page that comes
again is refused as not the next, and one whose receipt was lost is not fetched again. The receipt is sent until the
peer has taken it.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from relto.bounds import BOUNDS
from relto.clock import SECOND_MS
from relto.envelope.card import PartyCard
from relto.envelope.merkle import leaf_hash
from relto.errors import MalformedError, PeerError
from relto.exchange.messages import Receipt, sign_receipt
from relto.exchange.page import Arrived, Position, log_origin, open_page
from relto.formats.arriving import check_content, title
from relto.item import Item, Release
from relto.log.checkpoint import Checkpoint
from relto.node.node import Node
from relto.peers.https import PeerClient
from relto.store import records, streams
from relto.store.records import Filed
from relto.store.streams import Arrival, Inbound

PAGES = "/exchange/v1/pages"
RECEIPTS = "/exchange/v1/receipts"

_msgpack = msgspec.msgpack.Encoder()


class TermsUnknownError(PeerError):
    """A release rests on an agreement that this node does not hold signed and in force."""

    peer_text = "agreement"


def pull(node: Node, client: PeerClient, *, wait_ms: int = 0) -> int:
    """Fetch, store and acknowledge a peer's next page; returns how many releases it held, 0 if there is none.

    Raises:
        PeerError: the page is refused; nothing of it is stored. OurError: the peer cannot be reached.
    """
    peer = client.party
    with node.database.read() as connection:
        inbound = streams.inbound(connection, peer)
    if inbound.receipted_n < inbound.next_n - 1:
        acknowledge(node, client, inbound)
    asked = {"after": inbound.next_n - 1, "wait_ms": min(wait_ms, BOUNDS.poll_wait_ms)}
    page = client.get(PAGES, asked, limit_bytes=BOUNDS.page_bytes)
    if not page:
        node.database.write(lambda connection: _synced(connection, peer, node.now_ms()))
        return 0
    arrived, moved = accept(node, peer, page)
    acknowledge(node, client, moved)
    return arrived


def accept(node: Node, peer: str, page: bytes) -> tuple[int, Inbound]:
    """Verify a page of a peer's stream and store it; when this returns, it is durable.

    Raises:
        PeerError: it is refused, and nothing of it is stored.
    """
    card = node.partner(peer)
    with node.database.read() as connection:
        inbound = streams.inbound(connection, peer)
    seen = Checkpoint(log_origin(peer), inbound.log_size, inbound.log_root)
    arrived = open_page(
        page,
        us=node.party,
        peer=peer,
        keys=card.node,
        sealing=node.sealing,
        position=Position(inbound.next_n, inbound.chain, seen),
        now_ms=node.now_ms(),
    )
    _check_releases(node, card, arrived)
    envelope = node.card_of(peer)
    return node.database.write(lambda connection: _store(node, connection, envelope, inbound, arrived))


def _check_releases(node: Node, card: PartyCard, arrived: Arrived) -> None:
    """Each release must rest on agreements between the two of us that held when it was made, and on kinds we know."""
    ours = {
        standing.terms.ref: standing.terms
        for standing in node.rules().standings
        if {entry.id for entry in standing.terms.parties} <= standing.signed_by
    }
    for item in arrived.items:
        release = _release(item)
        if release.time_ms > node.now_ms() + BOUNDS.future_ms:
            raise MalformedError("is released in the future.", field="release.time_ms", remedy="Compare clocks.")
        if item.header.kind not in node.kinds:
            raise MalformedError(
                f"is of the unknown kind {item.header.kind}.", field="kind", remedy="Update this node."
            )
        check_content(item.header, item.content, node.kinds[item.header.kind].shape)
        for ref in release.agreements:
            terms = ours.get(ref)
            if terms is None or not (terms.party(node.party) and terms.party(card.party)):
                raise TermsUnknownError(
                    f"{card.party} released under {ref.id} v{ref.version}, which is not signed here in that text.",
                    field="release.agreements",
                    remedy="Compare: relto agreement show.",
                )
            if not terms.term.from_ms <= release.time_ms or (
                terms.term.until_ms is not None and release.time_ms >= terms.term.until_ms
            ):
                raise TermsUnknownError(
                    f"{ref.id} v{ref.version} did not hold when it was released.",
                    field="release",
                    remedy="Tell the peer.",
                )
        if not release.agreements:
            raise TermsUnknownError("names no agreement.", field="release.agreements", remedy="Tell the peer.")


def _store(node: Node, connection: Connection, card: bytes, expected: Inbound, arrived: Arrived) -> tuple[int, Inbound]:
    peer = expected.peer
    if streams.inbound(connection, peer).next_n != expected.next_n:  # another process was faster
        return 0, streams.inbound(connection, peer)
    now_ms = node.now_ms()
    number = streams.add_arrival(
        connection,
        Arrival(
            peer=peer,
            first_n=arrived.batch.first_n,
            card=card,
            hashes=b"".join(leaf_hash(item.header_bytes) for item in arrived.items),
            statement=arrived.statement,
            proof=_msgpack.encode(arrived.proof),
            entries=b"".join(arrived.entries),
            records=_msgpack.encode(arrived.records),
        ),
    )
    filed = [_filed(item, peer, number, place, now_ms) for place, item in enumerate(arrived.items)]
    records.file_items(connection, filed)
    position = arrived.position
    moved = msgspec.structs.replace(
        expected,
        next_n=position.next_n,
        chain=position.chain,
        log_size=position.checkpoint.size,
        log_root=position.checkpoint.root,
        synced_ms=now_ms,
    )
    streams.move_inbound(connection, moved)
    return arrived.batch.count, moved


def _filed(item: Item, peer: str, arrival: int, place: int, now_ms: int) -> Filed:
    release = _release(item)
    retention_s = release.duties.retention_s
    return Filed(
        item=item,
        title=title(item.header, item.content),
        by=peer,
        edition=release.edition,
        view=release.view,
        received_ms=now_ms,
        expires_ms=None if retention_s is None else now_ms + retention_s * SECOND_MS,
        arrival=arrival,
        place=place,
    )


def _release(item: Item) -> Release:
    if item.header.release is None:
        raise MalformedError("is not a release.", field="item", remedy="Tell the peer.")
    return item.header.release


def _synced(connection: Connection, peer: str, now_ms: int) -> None:
    streams.move_inbound(connection, msgspec.structs.replace(streams.inbound(connection, peer), synced_ms=now_ms))


def acknowledge(node: Node, client: PeerClient, inbound: Inbound) -> None:
    """Send the receipt for everything stored, and remember that it was taken."""
    up_to_n = inbound.next_n - 1
    client.post(RECEIPTS, receipt(node, client.party, inbound))

    def done(connection: Connection) -> None:
        now = streams.inbound(connection, client.party)
        if up_to_n > now.receipted_n:
            streams.move_inbound(connection, msgspec.structs.replace(now, receipted_n=up_to_n))

    node.database.write(done)


def receipt(node: Node, peer: str, inbound: Inbound) -> bytes:
    """The signed receipt for what is stored of a peer's stream."""
    stored = Receipt(
        v=1, by=node.party, to=peer, up_to_n=inbound.next_n - 1, chain=inbound.chain, time_ms=node.now_ms()
    )
    return sign_receipt(stored, node.signer)
