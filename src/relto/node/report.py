"""Reporting: the state of a node in counts. Whatever it counts, its own people may read."""

from __future__ import annotations

import msgspec

from relto.exchange.core import halted
from relto.node.node import Node


class LinkReport(msgspec.Struct, frozen=True):
    """One partner: what went, what waits, what was acknowledged, what came."""

    released: int
    receipted: int
    delayed: int
    unscanned: int
    received: int
    synced_ms: int


class NodeReport(msgspec.Struct, frozen=True):
    """A node: what it holds by (from, kind, view), what it decided by verdict and reason, and its links.

    ``halted``: why it releases nothing, empty if it does.
    """

    party: str
    now_ms: int
    items: int
    held: dict[str, int]
    decisions: dict[str, dict[str, int]]
    links: dict[str, LinkReport]
    log_size: int
    incidents: int
    halted: str

    @property
    def quiet(self) -> bool:
        """Whether everything that is due has been looked at, sent and receipted."""
        return all(link.unscanned == 0 and link.released == link.receipted for link in self.links.values())


def report(node: Node) -> NodeReport:
    """Count everything in one consistent state of the store."""
    reading = node.reading()
    with node.store.read() as books:
        newest = books.last_seq()
        waiting = books.waiting()
        inbounds = {each.peer: each for each in books.all_inbounds()}
        outgoing = {each.recipient: each for each in books.all_streams()}
        held = books.holdings(reading)
        decisions: dict[str, dict[str, int]] = {}
        for _, verdict, reason, number in books.tallied():
            reasons = decisions.setdefault(verdict, {})
            reasons[reason] = reasons.get(reason, 0) + number
        size = books.head().size
        incidents, halt = len(books.open_incidents()), halted(books)
    links = {}
    for party in sorted({*inbounds, *outgoing}):
        stream, inbound = outgoing.get(party), inbounds.get(party)
        links[party] = LinkReport(
            released=stream.next_n - 1 if stream else 0,
            receipted=stream.receipted_n if stream else 0,
            delayed=waiting.get(party, 0),
            unscanned=newest - stream.scanned_seq if stream else 0,
            received=inbound.next_n - 1 if inbound else 0,
            synced_ms=inbound.synced_ms if inbound else 0,
        )
    return NodeReport(
        party=node.party,
        now_ms=node.now_ms(),
        items=sum(row[3] for row in held),
        held={f"{by or 'own'}/{kind}/{view}": number for kind, view, by, number in held},
        decisions=decisions,
        links=links,
        log_size=size,
        incidents=incidents,
        halted=halt,
    )
