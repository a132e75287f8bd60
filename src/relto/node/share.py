"""Sharing: look at new items for each recipient, decide, render, seal, log, and queue the page. All in one transaction.

Nothing leaves a node but by a page made here. A crash at any point leaves either all of a round or none of it: the
place in the item queue, the pages, the log's leaves and its signed head move together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection

from relto.bounds import BOUNDS
from relto.envelope.card import PartyCard
from relto.envelope.merkle import consistency_nodes, leaf_hash, range_nodes, root
from relto.errors import InvariantError, PeerError
from relto.exchange.messages import Batch
from relto.exchange.page import LogProof, Sent, log_origin, sha256, write_page
from relto.item import Header, Item
from relto.log.checkpoint import Checkpoint, sign_checkpoint
from relto.log.leaf import SALT_BYTES, LeafRecord, policy_commitment, record_bytes
from relto.node.node import Node
from relto.release.classes import Upstream
from relto.release.decide import Decision, Table
from relto.release.render import Rendition, released, render
from relto.store import records, releaselog, streams
from relto.store.records import Stored
from relto.store.releaselog import Leaf
from relto.store.streams import Stream

_decoder = msgspec.json.Decoder(Header)


@dataclass(slots=True)
class Round:
    """What one look at a recipient's queue came to."""

    stream: Stream
    scanned_seq: int
    chosen: list[tuple[Stored, Rendition]] = field(default_factory=list)
    deferred: list[tuple[int, int]] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to store."""
        return self.scanned_seq == self.stream.scanned_seq and not self.settled


def open_streams(node: Node) -> None:
    """Begin a stream to each party with whom an agreement came into force: it gets what comes from now on."""
    wanted = set(node.rules().table.epoch.recipients()) & set(node.partners())
    with node.database.read() as connection:
        missing = sorted(wanted - {each.recipient for each in streams.all_streams(connection)})

    def begin(connection: Connection) -> None:
        newest = records.last_seq(connection)
        for recipient in missing:
            streams.open_stream(connection, recipient, newest)

    if missing:
        node.database.write(begin)


def share_all(node: Node) -> int:
    """One round for every stream; returns how many items were looked at or released. 0 means that all is quiet."""
    open_streams(node)
    with node.database.read() as connection:
        newest = records.last_seq(connection)
        due = streams.recipients_due(connection, node.now_ms())
        behind = [each.recipient for each in streams.all_streams(connection) if each.scanned_seq < newest]
    return sum(share(node, recipient) for recipient in sorted({*behind, *due}))


def share(node: Node, recipient: str) -> int:
    """One round for one recipient; a partner without a good card gets nothing until it has one."""
    try:
        card = node.partner(recipient)
    except PeerError:
        return 0
    table = node.rules().table
    found = look(node, recipient, table)
    if found is None or found.idle:
        return 0
    moved = node.database.write(lambda connection: _store(node, connection, found, card))
    node.pages_made += bool(found.chosen)
    return moved


def look(node: Node, recipient: str, table: Table) -> Round | None:
    """Decide and render what is next for a recipient, without storing anything."""
    now_ms = node.now_ms()
    with node.database.read() as connection:
        stream = streams.stream(connection, recipient)
        if stream is None:
            return None
        due = streams.due(connection, recipient, now_ms, BOUNDS.batch_items // 2)
        late = records.by_seq(connection, due)
        fresh = records.after(connection, stream.scanned_seq, BOUNDS.batch_items - len(due))
    found = Round(stream, stream.scanned_seq, settled=sorted(set(due) - {stored.seq for stored in late}))
    size_bytes = 0
    for stored in late + fresh:
        if size_bytes > BOUNDS.batch_bytes:
            break
        size_bytes += _consider(node, table, found, stored, recipient, now_ms)
        if stored.seq <= stream.scanned_seq:
            found.settled.append(stored.seq)
        else:
            found.scanned_seq = stored.seq
    return found


def _consider(node: Node, table: Table, found: Round, stored: Stored, recipient: str, now_ms: int) -> int:
    """Decide one item; returns how many bytes it adds to the page."""
    if stored.by == recipient or (stored.expires_ms is not None and stored.expires_ms <= now_ms):
        return 0
    rendition = rendition_of(node, table, stored, recipient)
    decision = rendition.decision
    if not decision.withheld and rendition.not_before_ms > now_ms:
        found.deferred.append((stored.seq, rendition.not_before_ms))
        return 0
    for reason in decision.reasons:
        found.counts[decision.verdict, reason] += 1
    if decision.withheld:
        return 0
    found.chosen.append((stored, rendition))
    return len(rendition.content)


def rendition_of(node: Node, table: Table, stored: Stored, recipient: str) -> Rendition:
    """What of an item would go to a recipient now, by the rules in this table."""
    header = _decoder.decode(stored.header)
    answer = table.decide_item(header, upstream_of(header), recipient)
    item = Item(header, stored.header, stored.content)
    return render(item, answer, node.kinds[header.kind])


def upstream_of(header: Header) -> tuple[Upstream, ...]:
    """The terms on which an item came to us; none for our own."""
    if header.release is None:
        return ()
    duties = header.release.duties
    return (Upstream(header.release.by, duties.onward, duties.purposes, duties.retention_s),)


def _store(node: Node, connection: Connection, found: Round, card: PartyCard) -> int:
    """Store a round, unless another process has moved the stream meanwhile."""
    stream = streams.stream(connection, found.stream.recipient)
    if stream is None or (stream.scanned_seq, stream.next_n) != (found.stream.scanned_seq, found.stream.next_n):
        return 0
    moved = msgspec.structs.replace(stream, scanned_seq=found.scanned_seq)
    if found.chosen:
        moved = _release(node, connection, moved, found, card)
    streams.settle(connection, stream.recipient, found.settled)
    streams.defer(connection, stream.recipient, found.deferred)
    streams.tally(connection, stream.recipient, dict(found.counts))
    streams.advance(connection, moved)
    return max(1, found.scanned_seq - found.stream.scanned_seq)


def _release(node: Node, connection: Connection, stream: Stream, found: Round, card: PartyCard) -> Stream:
    """Log the chosen renditions, sign and seal them, and put the page into the stream."""
    now_ms, recipient, first_n = node.now_ms(), stream.recipient, stream.next_n
    items = [
        released(_item(stored), rendition, by=node.party, to=recipient, edition=1, now_ms=now_ms)
        for stored, rendition in found.chosen
    ]
    leaves = [
        leaf_for(node, item, rendition.decision, n, now_ms)
        for n, (item, (_, rendition)) in enumerate(zip(items, found.chosen, strict=True), start=first_n)
    ]
    start = releaselog.head(connection).size
    proof = append_signed(node, connection, leaves, stream.log_size)
    batch = Batch(
        v=1,
        by=node.party,
        to=recipient,
        batch=node.entropy(16).hex(),
        first_n=first_n,
        count=len(items),
        root=root([leaf_hash(item.header_bytes) for item in items]).hex(),
        previous=stream.chain,
        log_start=start,
        created_ms=now_ms,
    )
    sent = [Sent(i.header_bytes, i.content, leaf.record, leaf.salt) for i, leaf in zip(items, leaves, strict=True)]
    page, _ = write_page(
        batch, sent, proof, node=node.signer, recipient=bytes.fromhex(card.sealing), content_key=node.entropy(32)
    )
    streams.add_page(connection, recipient, first_n, batch.last_n, batch.chain, page, now_ms)
    numbers = [(recipient, first_n + at, stored.seq, start + at) for at, (stored, _) in enumerate(found.chosen)]
    streams.add_releases(connection, numbers)
    return msgspec.structs.replace(stream, next_n=batch.last_n + 1, chain=batch.chain, log_size=start + len(leaves))


def append_signed(node: Node, connection: Connection, leaves: list[Leaf], seen_size: int) -> LogProof:
    """Append to the log and sign its new head, in the caller's transaction."""
    before = releaselog.head(connection)
    size = before.size + len(leaves)
    new_root, nodes = releaselog.append(connection, before.size, leaves)
    note = sign_checkpoint(Checkpoint(log_origin(node.party), size, new_root), node.signer, node.party)
    releaselog.set_head(connection, releaselog.Head(size, new_root, note))
    return LogProof(
        checkpoint=note,
        run_proof=range_nodes(nodes, before.size, size, size),
        growth_proof=consistency_nodes(nodes, seen_size, size),
        grown_from=seen_size,
    )


def leaf_for(node: Node, item: Item, decision: Decision, n: int, now_ms: int) -> Leaf:
    """The log's leaf for a release."""
    release = item.header.release
    if release is None:
        raise InvariantError("a release names its recipient")
    return make_leaf(node, item.header, release.to, decision, n, sha256(item.header_bytes), now_ms)


def make_leaf(node: Node, header: Header, to: str, decision: Decision, n: int, rendition: str, now_ms: int) -> Leaf:
    """The log's leaf for a decision; ``n`` is 0 and ``rendition`` empty where nothing went."""
    salt, policy_salt = node.entropy(SALT_BYTES), node.entropy(SALT_BYTES)
    record = LeafRecord(
        v=1,
        by=node.party,
        to=to,
        n=n,
        item=header.id,
        version=header.version,
        verdict=decision.verdict,
        view=decision.view,
        reasons=decision.reasons,
        agreements=decision.agreements,
        rules=decision.rules,
        rendition=rendition,
        policy=policy_commitment(decision.policy_sha256, policy_salt),
        time_ms=now_ms,
    )
    return Leaf(record_bytes(record), salt, decision.policy_sha256, policy_salt)


def _item(stored: Stored) -> Item:
    return Item(_decoder.decode(stored.header), stored.header, stored.content)
