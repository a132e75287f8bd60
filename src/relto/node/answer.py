"""Answering peers: the next page of their stream, and what their receipts say."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from relto.bounds import BOUNDS
from relto.errors import MalformedError, NotForUsError
from relto.exchange.messages import open_receipt
from relto.node.node import Node
from relto.store import streams


def page(node: Node, peer: str, after_n: int) -> bytes:
    """The page that follows release ``after_n`` in the peer's stream; empty if there is none yet.

    To a peer in quarantine nothing goes, also of what was made before; it is told no more than that there is nothing.

    Raises:
        NotForUsError: no page ends at that number, so the peer and we disagree on the stream.
    """
    if peer in node.rules().table.epoch.quarantined_parties:
        return b""
    with node.database.read() as connection:
        stream = streams.stream(connection, peer)
        if stream is None:
            return b""
        found = streams.page_after(connection, peer, after_n)
        if found is None and after_n != stream.next_n - 1:
            raise NotForUsError(
                f"{peer} asks after {after_n}, where no page ends.", field="after", remedy="Compare the streams."
            )
    return found or b""


def take_receipt(node: Node, peer: str, envelope: bytes) -> int:
    """Take a peer's receipt; returns up to where the stream is receipted now.

    Raises:
        MalformedError: it names a place or a chain value that this stream never had.
        SignatureError, NotForUsError: it is not the peer's, or not for us.
    """
    if len(envelope) > BOUNDS.statement_bytes:
        raise MalformedError("over the limit.", field="receipt", remedy="Send the receipt alone.")
    receipt = open_receipt(envelope, node.partner(peer).node, by=peer, to=node.party)

    def take(connection: Connection) -> int:
        stream = streams.stream(connection, peer)
        if stream is None or streams.chain_at(connection, peer, receipt.up_to_n) != receipt.chain:
            raise MalformedError(
                f"{peer} receipts up to {receipt.up_to_n} with a chain that this stream never had.",
                field="receipt",
                remedy="Keep it as evidence; compare the streams.",
            )
        if receipt.up_to_n > stream.receipted_n:
            taken = msgspec.structs.replace(
                stream, receipted_n=receipt.up_to_n, receipt=envelope, receipted_ms=node.now_ms()
            )
            streams.advance(connection, taken)
        return max(receipt.up_to_n, stream.receipted_n)

    return node.database.write(take)
