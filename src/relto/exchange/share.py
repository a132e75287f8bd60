"""Sharing: look at new items for each recipient, decide, render, seal, log, and queue the page. All in one transaction.

Nothing leaves a node but by a page made here. A crash at any point leaves either all of a round or none of it: the
place in the item queue, the pages, the log's leaves and its signed head move together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.card import PartyCard
from relto.envelope.merkle import consistency_nodes, leaf_hash, range_nodes, root
from relto.errors import InvariantError, PeerError
from relto.exchange.books import DISTRESS, PRIORITY, Arrival, Books, Head, Leaf, PageKey, Released, Stored, Stream
from relto.exchange.core import Core, Rules, halted, log_number
from relto.exchange.link import HELD_BACK_MS, WIDE, Link, link_of
from relto.exchange.messages import FIRST_CHAIN, Batch
from relto.exchange.page import Hop, LogProof, Sent, log_origin, sha256, write_page
from relto.exchange.provenance import hops_for, size_bytes
from relto.exchange.receive import unread
from relto.exchange.resuming import awaited, resuming
from relto.exchange.steps import Read, Steps, Write
from relto.exchange.withdraw import is_withdrawal, released_withdrawal
from relto.item import Header, Item
from relto.labels import overall
from relto.log.checkpoint import Checkpoint, sign_checkpoint
from relto.log.leaf import SALT_BYTES, LeafRecord, Logged, policy_commitment, record_bytes
from relto.release.classes import Upstream
from relto.release.decide import Decision, Table, withhold
from relto.release.render import Rendition, released, render

_decoder = msgspec.json.Decoder(Header)


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes of one item: a rendition, or with None the withdrawal of what went before."""

    stored: Stored
    header: Header
    rendition: Rendition | None
    hops: tuple[Hop, ...] = ()


@dataclass(slots=True)
class Round:
    """What one look at a recipient's queue came to."""

    stream: Stream
    card: PartyCard
    rules: Rules
    scanned_seq: int
    urgent_seq: int
    link: Link = WIDE
    unread: frozenset[str] = frozenset()
    looked_ms: int = 0
    size_bytes: int = 0
    chosen: list[Choice] = field(default_factory=list)
    deferred: list[tuple[int, int]] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    arrivals: dict[int, Arrival | None] = field(default_factory=dict)  # each is read once, however many came with it
    going: dict[str, tuple[int, bool]] = field(default_factory=dict)  # what this page says last of an item: see _said

    @property
    def idle(self) -> bool:
        """Whether there is nothing to store."""
        moved = (self.scanned_seq, self.urgent_seq) != (self.stream.scanned_seq, self.stream.urgent_seq)
        return not moved and not self.settled

    @property
    def full(self) -> bool:
        """Whether no more goes into this page."""
        return self.size_bytes > self.link.page_bytes or len(self.chosen) >= BOUNDS.batch_items


def share_all(core: Core) -> Steps[int]:
    """One round for every stream; returns how many items were looked at or released. 0 means that all is quiet."""
    moved = 0
    for recipient in (yield from recipients_due(core)):
        moved += yield from share(core, recipient)
    return moved


def recipients_due(core: Core) -> Steps[list[str]]:
    """Begin the streams that an agreement now asks for; returns for whom there is something to look at."""
    due: list[str] = yield Write(lambda books: open_streams(core, books))
    return due


def behind(core: Core, books: Books) -> list[str]:
    """The recipients for whom there is something to look at."""
    newest = books.last_seq()
    late = [each.recipient for each in books.all_streams() if min(each.scanned_seq, each.urgent_seq) < newest]
    return sorted({*late, *books.recipients_due(core.now_ms())})


def open_streams(core: Core, books: Books) -> list[str]:
    """Begin a stream to each party with whom an agreement came into force: it gets what comes from now on."""
    wanted = set(core.rules(books).table.epoch.recipients()) & {each.party for each in books.partners()}
    newest = books.last_seq()
    for recipient in sorted(wanted - {each.recipient for each in books.all_streams()}):
        books.open_stream(Stream(recipient, newest, newest, 1, FIRST_CHAIN, 0, 0))
    return behind(core, books)


def share(core: Core, recipient: str, link: Link | None = None) -> Steps[int]:
    """One round for one recipient; a partner without a good card gets nothing until it has one.

    ``link`` is that of the stream, if none is given.
    """
    found: Round | None = yield Read(lambda books: look(core, books, recipient, link))
    if found is None or found.idle:
        return 0
    moved: int = yield Write(lambda books: _store(core, books, found))
    return moved


def look(core: Core, books: Books, recipient: str, link: Link | None = None) -> Round | None:
    """Decide and render what is next for a recipient, without storing anything.

    While more than a window of pages waits for its receipts, only what is urgent is looked at; on a thin link only
    distress and withdrawals.
    """
    stream = books.stream(recipient)
    rules = core.rules(books)
    if stream is None or halted(books) or recipient in rules.table.epoch.quarantined_parties:
        return None
    if awaited(books, recipient):
        return None
    try:
        card = core.partner(books, recipient)
    except PeerError:
        return None
    found = Round(stream, card, rules, stream.scanned_seq, stream.urgent_seq, link or link_of(books, recipient))
    found.unread = unread(books)
    newest = books.last_seq()
    waiting = books.unreceipted(recipient)
    shut = waiting.pages >= found.link.window_pages or waiting.bytes >= found.link.window_bytes
    _urgent(core, books, found, newest, DISTRESS if shut and found.link.packed else PRIORITY)
    if not found.full and not shut:
        _routine(core, books, found, newest)
    found.looked_ms = core.now_ms()
    return found


def _urgent(core: Core, books: Books, found: Round, newest: int, least: int) -> None:
    """Take what is urgent from ``least`` on, the most urgent first; the rest waits under an hour long past.

    INVARIANT: that hour is the urgency below zero, so that it comes before all hours of routine items.
    """
    recipient = found.stream.recipient
    fresh = books.urgent_after(found.urgent_seq, BOUNDS.batch_items)
    due = books.due(recipient, -least, BOUNDS.batch_items)
    late = books.by_seq(due)
    wanted = [stored for stored in (*late, *fresh) if stored.urgency >= least]
    wanted.sort(key=lambda stored: (-stored.urgency, stored.seq))
    taken = _consider_all(core, books, found, wanted)
    left = {stored.seq for stored in (*wanted[taken:], *(each for each in fresh if each.urgency < least))}
    found.settled += sorted(set(due) - left)
    found.deferred += [(stored.seq, -stored.urgency) for stored in fresh if stored.seq in left]
    found.urgent_seq = fresh[-1].seq if len(fresh) == BOUNDS.batch_items else newest


def _routine(core: Core, books: Books, found: Round, newest: int) -> None:
    stream, limit = found.stream, BOUNDS.batch_items - len(found.chosen)
    due = [seq for seq in books.due(stream.recipient, core.now_ms(), max(1, limit // 2)) if seq not in found.settled]
    late = books.by_seq(due)
    taken = _consider_all(core, books, found, late)
    found.settled += [stored.seq for stored in late[:taken]]
    found.settled += sorted(set(due) - {stored.seq for stored in late})
    if found.full:
        return
    room = limit - taken
    fresh = books.after(stream.scanned_seq, room)
    taken = _consider_all(core, books, found, fresh)
    if taken == len(fresh) < room:
        found.scanned_seq = newest
    elif taken:
        found.scanned_seq = fresh[taken - 1].seq


def _consider_all(core: Core, books: Books, found: Round, items: Sequence[Stored]) -> int:
    """Decide items one after the other until the page is full; returns how many were decided."""
    headers = [_decoder.decode(stored.header) for stored in items]
    lost = resuming(books) is not None  # then a first version may have gone before, too
    again = {
        header.id for stored, header in zip(items, headers, strict=True) if lost or header.version > 1 or stored.by
    }
    held = books.held(found.stream.recipient, again) if again else {}
    for at, (stored, header) in enumerate(zip(items, headers, strict=True)):
        if found.full:
            return at
        _consider(core, books, found, stored, header, held.get(header.id))
    return len(items)


def _consider(core: Core, books: Books, found: Round, stored: Stored, header: Header, held: Released | None) -> None:
    """Decide one item. Who has an older version gets the new one, or is told that the old one is void."""
    recipient, now_ms = found.stream.recipient, core.now_ms()
    version, live = _said(found, header, held)
    if stored.by == recipient or version >= header.version:
        return
    if is_withdrawal(header):
        if live:
            _choose(found, Choice(stored, header, None), ("WITHDRAWN", "WITHDRAWN"))
        return
    if stored.expires_ms is not None and stored.expires_ms <= now_ms:
        return
    if stored.by in found.unread:
        found.deferred.append((stored.seq, now_ms + BOUNDS.unread_ms))
        return
    rendition = rendition_of(core, found.rules.table, stored, recipient)
    decision = rendition.decision
    if not decision.withheld and rendition.not_before_ms > now_ms:
        found.deferred.append((stored.seq, rendition.not_before_ms))
        return
    may_wait = core.kinds[header.kind].urgency == "routine" and not live  # else an older version would stay good
    if may_wait and not decision.withheld and not _carried(found.link, stored, rendition):
        found.deferred.append((stored.seq, HELD_BACK_MS))
        return
    if decision.withheld and live:
        _choose(found, Choice(stored, header, None), ("WITHDRAWN", "NARROWED"))
        return
    for reason in decision.reasons:
        found.counts[decision.verdict, reason] += 1
    if not decision.withheld:
        _choose(found, Choice(stored, header, rendition, _hops(core, books, found, stored, rendition)))


def _said(found: Round, header: Header, held: Released | None) -> tuple[int, bool]:
    """What the recipient was told last of an item, in this very page or before: its version, and whether it holds it.

    One item may have come from several parties; only one rendition of a version goes.
    """
    said = (held.version, held.view != "nothing") if held is not None else (0, False)
    return found.going.get(header.id, said)


def _hops(core: Core, books: Books, found: Round, stored: Stored, rendition: Rendition) -> tuple[Hop, ...]:
    """The hops that go along; over a thin link none do, since signatures do not pack."""
    if not stored.by or stored.arrival is None or found.link.packed:
        return ()
    if stored.arrival not in found.arrivals:
        found.arrivals[stored.arrival] = books.arrival(stored.arrival)
    return hops_for(core, books, stored, found.arrivals[stored.arrival], rendition, found.stream.recipient)


def _carried(link: Link, stored: Stored, rendition: Rendition) -> bool:
    return link.item_bytes is None or link.carries(link.cost_bytes(stored.header, rendition.content))


def _choose(found: Round, choice: Choice, counted: tuple[str, str] | None = None) -> None:
    found.chosen.append(choice)
    found.going[choice.header.id] = (choice.header.version, choice.rendition is not None)
    content = choice.rendition.content if choice.rendition else choice.stored.content
    found.size_bytes += found.link.cost_bytes(choice.stored.header, content) + sum(map(size_bytes, choice.hops))
    if counted:
        found.counts[counted] += 1


def rendition_of(core: Core, table: Table, stored: Stored, recipient: str) -> Rendition:
    """What of an item would go to a recipient now, by the rules in this table."""
    header = _decoder.decode(stored.header)
    answer = table.decide_item(header, upstream_of(header), recipient)
    item = Item(header, stored.header, stored.content)
    return render(item, answer, core.kinds[header.kind])


def upstream_of(header: Header) -> tuple[Upstream, ...]:
    """The terms on which an item came to us; none for our own."""
    if header.release is None:
        return ()
    duties = header.release.duties
    return (Upstream(header.release.by, duties.onward, duties.purposes, duties.retention_s),)


def _store(core: Core, books: Books, found: Round) -> int:
    """Store a round, unless the stream or the rules have moved meanwhile; what was withdrawn meanwhile stays."""
    now_ms = core.now_ms()  # INVARIANT: before the rules are looked at, or their term could end in between
    stream, rules = books.stream(found.stream.recipient), core.rules(books)
    place = (found.stream.scanned_seq, found.stream.urgent_seq, found.stream.next_n)
    if stream is None or (stream.scanned_seq, stream.urgent_seq, stream.next_n) != place or halted(books):
        return 0
    if awaited(books, stream.recipient) or now_ms < found.looked_ms:  # a clock that was put back
        return 0
    if (rules.version, rules.until_ms) != (found.rules.version, found.rules.until_ms) or unread(books) != found.unread:
        return 0
    standing = books.standing([choice.stored.seq for choice in found.chosen])
    chosen = [each for each in found.chosen if each.stored.seq in standing]
    moved = msgspec.structs.replace(stream, scanned_seq=found.scanned_seq, urgent_seq=found.urgent_seq)
    if chosen:
        moved = _release(core, books, moved, chosen, found, now_ms)
    books.settle(stream.recipient, found.settled)
    books.defer(stream.recipient, found.deferred)
    books.tally(stream.recipient, dict(found.counts))
    books.advance(moved)
    return max(1, found.scanned_seq - found.stream.scanned_seq)


def _release(core: Core, books: Books, stream: Stream, chosen: Sequence[Choice], found: Round, now_ms: int) -> Stream:
    """Log the chosen renditions, sign and seal them, and put the page into the stream."""
    recipient, first_n = stream.recipient, stream.next_n
    items = [_released(core, each, recipient, now_ms) for each in chosen]
    leaves = [
        _leaf(core, item, each, n, now_ms)
        for n, (item, each) in enumerate(zip(items, chosen, strict=True), start=first_n)
    ]
    start = books.head().size
    proof = append_signed(core, books, leaves, stream.log_size)
    batch = Batch(
        v=1,
        by=core.party,
        to=recipient,
        batch=core.entropy(16).hex(),
        first_n=first_n,
        count=len(items),
        root=root([leaf_hash(item.header_bytes) for item in items]).hex(),
        previous=stream.chain,
        log_start=start,
        created_ms=now_ms,
    )
    sent = [
        Sent(item.header_bytes, item.content, leaf.record, leaf.salt, each.hops)
        for item, leaf, each in zip(items, leaves, chosen, strict=True)
    ]
    content_key = core.entropy(32)
    page, _ = write_page(
        batch,
        sent,
        proof,
        node=core.signer,
        recipient=bytes.fromhex(found.card.sealing),
        content_key=content_key,
        packed=found.link.packed,
    )
    books.add_page(recipient, first_n, batch.last_n, batch.chain, page, now_ms)
    books.keep_page_key(PageKey(recipient, first_n, content_key, proof.grown_from))
    books.add_releases(_rows(recipient, first_n, start, items, chosen, log_number(books)))
    return msgspec.structs.replace(stream, next_n=batch.last_n + 1, chain=batch.chain, log_size=start + len(leaves))


def _released(core: Core, choice: Choice, recipient: str, now_ms: int) -> Item:
    if choice.rendition is None:
        content = choice.stored.content if is_withdrawal(choice.header) else b""
        return released_withdrawal(choice.header, content, by=core.party, to=recipient, now_ms=now_ms)
    item = Item(choice.header, choice.stored.header, choice.stored.content)
    return released(item, choice.rendition, by=core.party, to=recipient, edition=1, now_ms=now_ms)


def _rows(
    recipient: str, first_n: int, first_leaf: int, items: Sequence[Item], chosen: Sequence[Choice], log: int
) -> list[Released]:
    rows = []
    for at, (item, each) in enumerate(zip(items, chosen, strict=True)):
        release = item.header.release
        if release is None:
            raise InvariantError("a release names its recipient")
        kept_s = release.duties.retention_s
        expires_ms = None if kept_s is None else release.time_ms + kept_s * 1000
        rows.append(
            Released(
                recipient=recipient,
                n=first_n + at,
                item=each.stored.seq,
                leaf=first_leaf + at,
                id=item.header.id,
                version=item.header.version,
                view=release.view,
                released_ms=release.time_ms,
                expires_ms=expires_ms,
                level=level_of(item.header),
                originators=" ".join(item.header.label.originators),
                log=log,
            )
        )
    return rows


def level_of(header: Header) -> str:
    """All levels that an item bears, each with its policy."""
    return " ".join(marking.qualified for marking in overall(header.label).markings)


def append_signed(core: Core, books: Books, leaves: list[Leaf], seen_size: int) -> LogProof:
    """Append to the log and sign its new head, in the caller's transaction."""
    before = books.head()
    size = before.size + len(leaves)
    new_root, nodes = books.append(before.size, leaves)
    origin = log_origin(core.party, log_number(books))
    note = sign_checkpoint(Checkpoint(origin, size, new_root), core.signer, core.party)
    books.set_head(Head(size, new_root, note))
    return LogProof(
        checkpoint=note,
        run_proof=range_nodes(nodes, before.size, size, size),
        growth_proof=consistency_nodes(nodes, seen_size, size),
        grown_from=seen_size,
    )


def _leaf(core: Core, item: Item, choice: Choice, n: int, now_ms: int) -> Leaf:
    """The log's leaf for a release."""
    release = item.header.release
    if release is None:
        raise InvariantError("a release names its recipient")
    rendition = sha256(item.header_bytes)
    if choice.rendition is None:
        why = withhold("WITHDRAWN" if is_withdrawal(choice.header) else "NARROWED")
        return make_leaf(core, item.header, release.to, why, n, rendition, now_ms, verdict="WITHDRAWN")
    return make_leaf(core, item.header, release.to, choice.rendition.decision, n, rendition, now_ms)


def make_leaf(
    core: Core,
    header: Header,
    to: str,
    decision: Decision,
    n: int,
    rendition: str,
    now_ms: int,
    *,
    verdict: Logged | None = None,
) -> Leaf:
    """The log's leaf for a decision; ``n`` is 0 and ``rendition`` empty where nothing went."""
    salt, policy_salt = core.entropy(SALT_BYTES), core.entropy(SALT_BYTES)
    record = LeafRecord(
        v=1,
        by=core.party,
        to=to,
        n=n,
        item=header.id,
        version=header.version,
        verdict=verdict or decision.verdict,
        view=decision.view,
        reasons=decision.reasons,
        agreements=decision.agreements,
        rules=decision.rules,
        rendition=rendition,
        policy=policy_commitment(decision.policy_sha256, policy_salt),
        time_ms=now_ms,
    )
    return Leaf(record_bytes(record), salt, decision.policy_sha256, policy_salt)
