"""Books in memory: the simulated disk. The same promises as ``relto.store``, held by the same suite of tests.

The state is a set of tables that a transaction copies when it first changes them, so whoever reads keeps what it saw,
an older state is an older copy of the disk, and a job that raises has changed nothing. A commit is whole or not there:
that single writes are not torn is the engine's promise, which tests with real processes look after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from relto.envelope.merkle import EMPTY_ROOT, NodeReader, leaf_hash, node_hash, root_nodes
from relto.errors import InvariantError, OurError
from relto.exchange.books import (
    Arrival,
    Carriage,
    Filed,
    Floor,
    Head,
    Inbound,
    Incident,
    Leaf,
    PageKey,
    Parcel,
    Partner,
    Released,
    SeenHead,
    SignedAgreement,
    Standing,
    Stored,
    Stream,
    Waiting,
)

T = TypeVar("T")
Table = dict[Any, Any]
State = Mapping[str, Table]
Failing = Literal["before", "after"]

_TABLES = (
    "settings",
    "partners",
    "agreements",
    "items",
    "item_keys",
    "item_ids",
    "floors",
    "streams",
    "pages",
    "page_ends",
    "page_keys",
    "releases",
    "release_ids",
    "deferred",
    "tallies",
    "inbounds",
    "arrivals",
    "leaves",
    "nodes",
    "checkpoints",
    "past_leaves",
    "heads",
    "parcels",
    "carriages",
    "incidents",
    "counters",
)
EMPTY: State = {name: {} for name in _TABLES}
_EMPTY_HEAD = Head(0, EMPTY_ROOT, b"")


class StorageError(OurError):
    """The disk failed: whether what was being written is stored cannot be known."""


class UniqueError(Exception):
    """A key stands already: a UNIQUE constraint."""


class Row(NamedTuple):
    """An item's row with what it is found by."""

    id: str
    version: int
    origin: str
    stored: Stored


class _Page(NamedTuple):
    first_n: int
    last_n: int
    content: bytes
    created_ms: int


class MemoryBooks:
    """One transaction over a state. Fulfils ``relto.exchange.books.Books``.

    ``written`` are the rows of items, releases and leaves that this transaction added, for whoever watches the disk.
    """

    def __init__(self, state: State, *, writes: bool = True) -> None:
        self._tables: dict[str, Table] = dict(state)
        self._own: set[str] = set()
        self._writes = writes
        self.written: list[Row | Released | Leaf] = []

    @property
    def state(self) -> State:
        """All tables as this transaction leaves them."""
        return self._tables

    def _copied(self, name: str) -> Table:
        if name not in self._own:
            if not self._writes:
                raise InvariantError("a reader writes nothing")
            self._tables[name] = dict(self._tables[name])
            self._own.add(name)
        return self._tables[name]

    def _next(self, name: str) -> int:
        counters = self._copied("counters")
        counters[name] = counters.get(name, 0) + 1
        number: int = counters[name]
        return number

    def _insert(self, name: str, key: Any, value: Any) -> None:
        table = self._copied(name)
        if key in table:
            raise UniqueError(f"UNIQUE constraint failed: {name} {key}")
        table[key] = value

    # --- the rules ---

    def rules_version(self) -> int:
        """A number that rises with every change of partners, agreements or quarantine."""
        return int(self._tables["settings"].get("rules", b"0"))

    def rules_changed(self) -> None:
        """Make the rules be read anew."""
        self.put_setting("rules", str(self.rules_version() + 1).encode())

    def partner(self, party: str) -> Partner | None:
        """One partner."""
        return self._tables["partners"].get(party)

    def partners(self) -> list[Partner]:
        """All partners, by name."""
        return [each for _, each in sorted(self._tables["partners"].items(), key=lambda pair: pair[0].encode())]

    def keep_partner(self, kept: Partner) -> None:
        """Store a partner or its newer card."""
        self._copied("partners")[kept.party] = kept
        self.rules_changed()

    def agreements(self) -> list[SignedAgreement]:
        """All agreements, signed or not."""
        return [each for _, each in sorted(self._tables["agreements"].items())]

    def agreement(self, name: str, version: int | None = None) -> SignedAgreement | None:
        """One agreement; without a version, its newest."""
        found = [each for each in self.agreements() if each.id == name and version in (None, each.version)]
        newest = max((each.version for each in found), default=0)
        return next((each for each in found if each.version == newest), None)

    def same_agreement(self, name: str, version: int, sha256: str) -> SignedAgreement | None:
        """The agreement with this very text."""
        return self._tables["agreements"].get((name, version, sha256))

    def keep_agreement(self, kept: SignedAgreement) -> None:
        """Store an agreement, or another state of its signatures."""
        self._copied("agreements")[kept.id, kept.version, kept.sha256] = kept
        self.rules_changed()

    def quarantined(self) -> frozenset[str]:
        """The parties and item ids to which, or of which, nothing goes."""
        return frozenset(self._tables["settings"].get("quarantine", b"").decode().split())

    def set_quarantined(self, names: frozenset[str]) -> None:
        """Store what is in quarantine now."""
        self.put_setting("quarantine", " ".join(sorted(names)).encode())
        self.rules_changed()

    def secret(self, name: str) -> bytes | None:
        """A value that only this node knows."""
        return self._tables["settings"].get(name)

    def keep_secret(self, name: str, value: bytes) -> None:
        """Store such a value once; a second time changes nothing."""
        self._copied("settings").setdefault(name, value)

    def put_setting(self, name: str, value: bytes) -> None:
        """Store a value of the node's own, over an older one."""
        self._copied("settings")[name] = value

    # --- items ---

    def insert_items(self, filed: Sequence[Filed]) -> int:
        """Store items; those already stored with the same bytes are left alone. Returns how many were new."""
        new = 0
        for each in filed:
            header = each.item.header
            digest = hashlib.sha256(each.item.header_bytes).digest() if each.by else b""
            key = (header.id, header.version, each.by, each.edition, digest)
            if key in self._tables["item_keys"]:
                continue
            seq = self._next("items")
            row = Row(header.id, header.version, header.origin, _stored(seq, each))
            self._copied("item_keys")[key] = seq
            self._copied("items")[seq] = row
            ids = self._copied("item_ids")
            ids[header.id] = (*ids.get(header.id, ()), seq)
            self.written.append(row)
            new += 1
        return new

    def floors(self, ids: Iterable[str]) -> Mapping[tuple[str, str], Floor]:
        """What was spoken of last of these items, by (party, id)."""
        wanted, floors = set(ids), self._tables["floors"]
        return {key: floor for key, floor in floors.items() if key[1] in wanted}

    def raise_floors(self, raised: Sequence[Floor]) -> None:
        """Remember the highest version spoken of; a floor never falls."""
        floors = self._copied("floors")
        for new in raised:
            old = floors.get((new.party, new.id))
            if old is None or (old.version, old.dead) < (new.version, new.dead):
                floors[new.party, new.id] = new

    def _of(self, ids: Iterable[str]) -> list[Row]:
        found = sorted(seq for id in set(ids) for seq in self._tables["item_ids"].get(id, ()))
        return [self._tables["items"][seq] for seq in found if seq in self._tables["items"]]

    def _older(self, id: str, below: int, by: str | None, origin: str | None) -> list[Row]:
        return [
            row
            for row in self._of((id,))
            if row.version < below
            and row.stored.view != "nothing"
            and by in (None, row.stored.by)
            and origin in (None, row.origin)
        ]

    def _restand(self, row: Row, **changed: Any) -> None:
        stored = msgspec.structs.replace(row.stored, **changed)
        self._copied("items")[stored.seq] = row._replace(stored=stored)

    def supersede(self, id: str, below: int, *, by: str | None = None, origin: str | None = None) -> int:
        """Hide the versions below one: those that ``by`` released to us, or all of ``origin``. Returns how many."""
        older = [row for row in self._older(id, below, by, origin) if row.stored.standing == "current"]
        for row in older:
            self._restand(row, standing="superseded")
        return len(older)

    def erase(self, id: str, below: int, *, by: str | None = None, origin: str | None = None) -> int:
        """Withdraw the versions below one and erase what was received; our own originals stay, but go nowhere."""
        older = [row for row in self._older(id, below, by, origin) if row.stored.standing != "withdrawn"]
        for row in older:
            gone = {"header": b"", "content": b"", "hops": b"", "title": ""} if row.stored.by else {}
            self._restand(row, standing="withdrawn", **gone)
        return len(older)

    def equivocal(self, by: str, ids: Sequence[str]) -> list[tuple[str, int, tuple[bytes, ...]]]:
        """Of these items, the versions of which a party released other bytes than before: (id, version, headers)."""
        found: dict[tuple[str, int, int], list[bytes]] = {}
        for row in self._of(ids):
            if row.stored.by == by and row.stored.view != "nothing":
                found.setdefault((row.id, row.version, row.stored.edition), []).append(row.stored.header)
        return [(key, version, tuple(headers)) for (key, version, _), headers in found.items() if len(headers) > 1]

    def versions(self, id: str) -> list[Stored]:
        """Everything ever stored under an id, oldest first, whatever its standing."""
        return [row.stored for row in self._of((id,))]

    def _queue(self, seq: int, limit: int, urgent: bool) -> list[Stored]:
        found: list[Stored] = []
        for number, row in reversed(self._tables["items"].items()):
            if number <= seq:
                break
            if row.stored.standing == "current" and (row.stored.urgency > 0) == urgent:
                found.append(row.stored)
        return found[::-1][:limit]

    def after(self, seq: int, limit: int) -> list[Stored]:
        """The next routine items of the release queue that still stand, in the order in which they were stored."""
        return self._queue(seq, limit, urgent=False)

    def urgent_after(self, seq: int, limit: int) -> list[Stored]:
        """The next urgent items of the release queue that still stand."""
        return self._queue(seq, limit, urgent=True)

    def by_seq(self, seqs: Sequence[int]) -> list[Stored]:
        """These items as far as they still stand, in the order of their numbers."""
        return [self._tables["items"][seq].stored for seq in sorted(self.standing(seqs))]

    def standing(self, seqs: Sequence[int]) -> frozenset[int]:
        """Which of these still stand."""
        items = self._tables["items"]
        return frozenset(seq for seq in seqs if seq in items and items[seq].stored.standing == "current")

    def last_seq(self) -> int:
        """The number of the newest item, 0 if there is none."""
        return next(reversed(self._tables["items"]), 0)

    def purge(self, now_ms: int) -> int:
        """Remove what is over its retention; its floors stay. Returns how many."""
        over = [
            (seq, row)
            for seq, row in self._tables["items"].items()
            if row.stored.expires_ms is not None and row.stored.expires_ms <= now_ms
        ]
        for seq, row in over:
            del self._copied("items")[seq]
            keys = self._copied("item_keys")
            for key in [key for key, number in keys.items() if number == seq]:
                del keys[key]
            ids = self._copied("item_ids")
            ids[row.id] = tuple(each for each in ids[row.id] if each != seq)
        return len(over)

    # --- outgoing streams ---

    def open_stream(self, stream: Stream) -> None:
        """Begin a stream; an existing one is left alone."""
        self._copied("streams").setdefault(stream.recipient, stream)

    def stream(self, recipient: str) -> Stream | None:
        """One outgoing stream."""
        return self._tables["streams"].get(recipient)

    def all_streams(self) -> list[Stream]:
        """All outgoing streams."""
        return [each for _, each in sorted(self._tables["streams"].items())]

    def advance(self, moved: Stream) -> None:
        """Store how far a stream is now."""
        if moved.recipient in self._tables["streams"]:
            self._copied("streams")[moved.recipient] = moved

    def add_page(self, recipient: str, first_n: int, last_n: int, chain: str, content: bytes, created_ms: int) -> None:
        """Keep a page until its recipient asks for it."""
        kept = self._tables["pages"].get(recipient, ())
        if any(page.first_n == first_n for page in kept):
            raise UniqueError(f"UNIQUE constraint failed: page {recipient} {first_n}")
        self._copied("pages")[recipient] = (*kept, _Page(first_n, last_n, content, created_ms))
        self._copied("page_ends")[recipient, last_n] = chain

    def page_after(self, recipient: str, n: int) -> bytes | None:
        """The page that begins right after release ``n``, or None if there is none (yet)."""
        pages: tuple[_Page, ...] = self._tables["pages"].get(recipient, ())
        return next((page.content for page in pages if page.first_n == n + 1), None)

    def page_sizes(self, recipient: str, n: int, limit: int) -> list[tuple[int, int, int]]:
        """The pages that begin after release ``n``, in order: (first n, last n, bytes)."""
        pages: tuple[_Page, ...] = self._tables["pages"].get(recipient, ())
        return [(page.first_n, page.last_n, len(page.content)) for page in pages if page.first_n > n][:limit]

    def chain_at(self, recipient: str, n: int) -> str | None:
        """The chain value after release ``n``, if a page ends there."""
        return self._tables["page_ends"].get((recipient, n))

    def unreceipted(self, recipient: str) -> Waiting:
        """How much of a stream is made and not receipted yet."""
        stream = self.stream(recipient)
        if stream is None:
            return Waiting()
        pages: tuple[_Page, ...] = self._tables["pages"].get(recipient, ())
        waiting = [page for page in pages if page.last_n > stream.receipted_n]
        return Waiting(len(waiting), sum(len(page.content) for page in waiting))

    def add_releases(self, rows: Sequence[Released]) -> None:
        """Remember what went to whom; this outlives the item."""
        for row in rows:
            self._insert("releases", (row.recipient, row.n), row)
            ids = self._copied("release_ids")
            ids[row.id] = (*ids.get(row.id, ()), (row.recipient, row.n))
            self.written.append(row)

    def held(self, recipient: str, ids: Iterable[str]) -> Mapping[str, Released]:
        """The last that went to a recipient of each of these items."""
        found: dict[str, Released] = {}
        for id in set(ids):
            numbers = [n for to, n in self._tables["release_ids"].get(id, ()) if to == recipient]
            if numbers:
                found[id] = self._tables["releases"][recipient, max(numbers)]
        return found

    def releases_of(self, id: str) -> list[Released]:
        """Who ever got an item, in the order of each stream."""
        return [self._tables["releases"][key] for key in sorted(self._tables["release_ids"].get(id, ()))]

    def _releases_to(self, recipient: str) -> list[Released]:
        return [row for key, row in sorted(self._tables["releases"].items()) if key[0] == recipient]

    def withdrawn_since(self, recipient: str, n: int, limit: int) -> list[Released]:
        """The withdrawals in a stream after release ``n``."""
        return [row for row in self._releases_to(recipient) if row.n > n and row.view == "nothing"][:limit]

    def defer(self, recipient: str, due: Sequence[tuple[int, int]]) -> None:
        """Keep items (seq, due_ms) for later."""
        for seq, due_ms in due:
            self._copied("deferred").setdefault((recipient, seq), due_ms)

    def due(self, recipient: str, now_ms: int, limit: int) -> list[int]:
        """The items whose hour has come."""
        found = [
            (due_ms, seq)
            for (to, seq), due_ms in self._tables["deferred"].items()
            if to == recipient and due_ms <= now_ms
        ]
        return [seq for _, seq in sorted(found)[:limit]]

    def due_count(self, recipient: str, due_from_ms: int) -> int:
        """How many items wait for an hour from this one on."""
        return sum(to == recipient and due_ms >= due_from_ms for (to, _), due_ms in self._tables["deferred"].items())

    def hasten(self, recipient: str, due_from_ms: int, due_ms: int) -> int:
        """Give the items that wait for an hour from this one on an earlier one. Returns how many."""
        deferred = self._tables["deferred"]
        waiting = [key for key, hour_ms in deferred.items() if key[0] == recipient and hour_ms >= due_from_ms]
        for key in waiting:
            self._copied("deferred")[key] = due_ms
        return len(waiting)

    def recipients_due(self, now_ms: int) -> list[str]:
        """Whose deferred items' hour has come."""
        return sorted({to for (to, _), due_ms in self._tables["deferred"].items() if due_ms <= now_ms})

    def settle(self, recipient: str, seqs: Sequence[int]) -> None:
        """Forget deferred items: they were released, or are withheld now."""
        for seq in seqs:
            self._copied("deferred").pop((recipient, seq), None)

    def tally(self, recipient: str, counts: dict[tuple[str, str], int]) -> None:
        """Add to the counts of decisions by (verdict, reason)."""
        for (verdict, reason), number in counts.items():
            tallies = self._copied("tallies")
            key = (recipient, verdict, reason)
            tallies[key] = tallies.get(key, 0) + number

    def tallied(self) -> list[tuple[str, str, str, int]]:
        """All counts: (recipient, verdict, reason, count)."""
        return [(*key, number) for key, number in self._tables["tallies"].items()]

    # --- incoming streams ---

    def inbound(self, peer: str) -> Inbound:
        """How far a peer's stream is stored; a new one begins at 1."""
        return self._tables["inbounds"].get(peer) or Inbound(peer)

    def all_inbounds(self) -> list[Inbound]:
        """All incoming streams."""
        return [each for _, each in sorted(self._tables["inbounds"].items())]

    def move_inbound(self, moved: Inbound) -> None:
        """Store how far a peer's stream is now."""
        self._copied("inbounds")[moved.peer] = moved

    def add_arrival(self, arrival: Arrival) -> int:
        """Keep what proves a batch; returns its number."""
        number = self._next("arrivals")
        self._copied("arrivals")[number] = arrival
        return number

    def arrival(self, number: int) -> Arrival | None:
        """What proves one batch."""
        return self._tables["arrivals"].get(number)

    def arrived_at(self, peer: str, first_n: int) -> Arrival | None:
        """What proves the batch of a peer's stream that began with this release."""
        arrivals = reversed(self._tables["arrivals"].values())
        return next((each for each in arrivals if (each.peer, each.first_n) == (peer, first_n)), None)

    # --- what is carried for others ---

    def carriage(self, sender: str, recipient: str) -> Carriage:
        """How far a pair is; a new one is at its beginning."""
        found: Carriage = self._tables["carriages"].get((sender, recipient), Carriage(sender, recipient))
        return found

    def carriages(self) -> list[Carriage]:
        """How far every pair is that ever deposited anything."""
        return [each for _, each in sorted(self._tables["carriages"].items())]

    def move_carriage(self, moved: Carriage) -> None:
        """Store how far a pair is now."""
        self._copied("carriages")[moved.sender, moved.recipient] = moved

    def add_parcel(self, parcel: Parcel) -> None:
        """Keep a parcel until it is collected."""
        self._insert("parcels", (parcel.sender, parcel.recipient, parcel.n), parcel)

    def _parcels(self, sender: str, recipient: str) -> list[Parcel]:
        return [kept for key, kept in sorted(self._tables["parcels"].items()) if key[:2] == (sender, recipient)]

    def parcel_after(self, sender: str, recipient: str, n: int, since_ms: int) -> Parcel | None:
        """The first parcel of a pair after a number that was not deposited before an instant."""
        found = self._parcels(sender, recipient)
        return next((each for each in found if each.n > n and each.deposited_ms >= since_ms), None)

    def parcel_number(self, sender: str, recipient: str, batch: str) -> int | None:
        """The number under which a parcel waits, or None if it does not."""
        return next((each.n for each in self._parcels(sender, recipient) if each.batch == batch), None)

    def waiting_parcels(self, sender: str, recipient: str) -> Waiting:
        """How much of a pair waits."""
        found = self._parcels(sender, recipient)
        return Waiting(len(found), sum(len(each.content) for each in found))

    def drop_parcels(self, sender: str, recipient: str, up_to_n: int) -> None:
        """Forget the parcels of a pair up to a number."""
        self._drop("parcels", lambda key: key[:2] == (sender, recipient) and key[2] <= up_to_n)

    def drop_old_parcels(self, before_ms: int) -> int:
        """Forget what was deposited before an instant; returns how many parcels."""
        old = {key for key, each in self._tables["parcels"].items() if each.deposited_ms < before_ms}
        self._drop("parcels", lambda key: key in old)
        return len(old)

    # --- after a loss ---

    def keep_page_key(self, kept: PageKey) -> None:
        """Keep what closes a page again, until it is receipted."""
        self._insert("page_keys", (kept.recipient, kept.first_n), kept)

    def page_keys(self, recipient: str) -> list[PageKey]:
        """Those of the pages that are not receipted, in the order of the stream."""
        return [kept for key, kept in sorted(self._tables["page_keys"].items()) if key[0] == recipient]

    def drop_page_keys(self, recipient: str, up_to_n: int) -> None:
        """Forget those of receipted pages."""
        self._drop("page_keys", lambda key: key[0] == recipient and key[1] <= up_to_n)

    def replace_page(self, recipient: str, first_n: int, content: bytes) -> None:
        """Keep a page as it is closed now."""
        kept: tuple[_Page, ...] = self._tables["pages"].get(recipient, ())
        changed = (page._replace(content=content) if page.first_n == first_n else page for page in kept)
        self._copied("pages")[recipient] = tuple(changed)

    def drop_unreceived(self, recipient: str, after_n: int) -> list[int]:
        """Take back the pages after release ``after_n``, which never arrived; returns the items that were in them."""
        found = [row for row in self._releases_to(recipient) if row.n > after_n]
        for row in found:
            del self._copied("releases")[recipient, row.n]
            ids = self._copied("release_ids")
            ids[row.id] = tuple(key for key in ids[row.id] if key != (recipient, row.n))
        kept: tuple[_Page, ...] = self._tables["pages"].get(recipient, ())
        self._drop("page_ends", lambda key: key in {(recipient, p.last_n) for p in kept if p.first_n > after_n})
        self._copied("pages")[recipient] = tuple(page for page in kept if page.first_n <= after_n)
        self._drop("page_keys", lambda key: key[0] == recipient and key[1] > after_n)
        return [row.item for row in found]

    def arrivals_after(self, peer: str, n: int, limit: int, *, since_ms: int = 0) -> list[tuple[int, Arrival]]:
        """The batches of a peer's stream after release ``n`` that came at an instant or later, with their numbers."""
        found = [
            (number, each)
            for number, each in self._tables["arrivals"].items()
            if each.peer == peer and each.first_n > n and each.received_ms >= since_ms
        ]
        return sorted(found, key=lambda pair: pair[1].first_n)[:limit]

    def arrived(self, number: int) -> list[Stored]:
        """What is still held of a batch, whatever its standing, in the order in which it came."""
        found = [row.stored for row in self._tables["items"].values() if row.stored.arrival == number]
        return sorted(found, key=lambda stored: (stored.place or 0, stored.seq))

    def set_standing(self, seqs: Sequence[int], standing: Standing) -> None:
        """Give these items another standing."""
        for seq in seqs:
            if seq in self._tables["items"]:
                self._restand(self._tables["items"][seq], standing=standing)

    def close_log(self, number: int) -> None:
        """Put our log away under its number, so that the next one begins empty."""
        past = self._copied("past_leaves")
        past.update({(number, index): leaf for index, leaf in self._tables["leaves"].items()})
        for name in ("leaves", "nodes", "checkpoints"):
            self._copied(name).clear()

    def _drop(self, name: str, gone: Callable[[Any], bool]) -> None:
        for key in [key for key in self._tables[name] if gone(key)]:
            del self._copied(name)[key]

    # --- the release log ---

    def head(self) -> Head:
        """The newest head; that of an empty log is not signed."""
        checkpoints = self._tables["checkpoints"]
        return checkpoints[max(checkpoints)] if checkpoints else _EMPTY_HEAD

    def append(self, start: int, added: Sequence[Leaf]) -> tuple[bytes, NodeReader]:
        """Append leaves after a log of ``start``; returns the new root and the reader of its nodes."""
        nodes = self._copied("nodes")
        for index, leaf in enumerate(added, start=start):
            self._insert("leaves", index, leaf)
            self.written.append(leaf)
            _grow(nodes, index, leaf_hash(leaf.entry))
        read = self.log_nodes()
        return root_nodes(read, start + len(added)), read

    def set_head(self, new: Head) -> None:
        """Store a signed head."""
        self._insert("checkpoints", new.size, new)

    def log_nodes(self) -> NodeReader:
        """The nodes of the log as it is now."""
        nodes = self._tables["nodes"]
        return lambda level, index: nodes[level, index]

    def seen_heads(self) -> list[SeenHead]:
        """The newest verified head of each party's log."""
        return self._heads(told=False)

    def told_heads(self) -> list[SeenHead]:
        """The heads that wait to be compared: of each log the newest from each source."""
        return self._heads(told=True)

    def _heads(self, *, told: bool) -> list[SeenHead]:
        return [each for _, each in sorted(self._tables["heads"].items()) if bool(each.source) == told]

    def keep_head(self, head: SeenHead) -> None:
        """Remember a newer head of a party's log from its source; an older one changes nothing."""
        key = (head.party, head.log, head.source)
        known = self._tables["heads"].get(key)
        if known is None or known.size <= head.size:
            self._copied("heads")[key] = head

    def forget_heads(self, party: str, log: int, source: str | None = None) -> None:
        """Forget the heads of a party's log, or that from one source."""
        self._drop("heads", lambda key: key[:2] == (party, log) and source in (None, key[2]))

    # --- incidents ---

    def note_incident(self, incident: Incident) -> Incident:
        """Note an incident, or count one more of it; the first evidence stays. A closed one is opened anew."""
        key = (incident.kind, incident.party, incident.subject)
        known: Incident | None = self._tables["incidents"].get(key)
        if known is None:
            noted = msgspec.structs.replace(incident, id=self._next("incidents"), open=True)
        elif known.open:
            noted = msgspec.structs.replace(known, last_ms=incident.last_ms, count=known.count + 1)
        else:
            noted = msgspec.structs.replace(
                incident, id=known.id, count=known.count + 1, open=True, closed=known.closed
            )
        self._copied("incidents")[key] = noted
        return noted

    def incident(self, kind: str, party: str, subject: str) -> Incident | None:
        """One incident, open or closed."""
        return self._tables["incidents"].get((kind, party, subject))

    def incidents(self, *, open_only: bool = False) -> list[Incident]:
        """All incidents, or those that are not closed, oldest first."""
        found = [each for each in self._tables["incidents"].values() if each.open or not open_only]
        return sorted(found, key=lambda each: each.id)

    def incident_told(self, number: int, at_ms: int) -> None:
        """Remember when its party took our notice; 0 if it must be told again."""
        self._change_incident(number, told_ms=at_ms)

    def close_incident(self, number: int, reason: str) -> None:
        """Close one, for a reason."""
        self._change_incident(number, open=False, closed=reason)

    def _change_incident(self, number: int, **changed: Any) -> None:
        for key, each in self._tables["incidents"].items():
            if each.id == number:
                self._copied("incidents")[key] = msgspec.structs.replace(each, **changed)
                return


Watch = Callable[[State, MemoryBooks], None]


class MemoryStore:
    """A disk that holds books. Fulfils ``relto.exchange.books.Store``; it fails where it is told to.

    ``watch`` is called after each commit with the state before and the books that were committed.
    """

    def __init__(self, state: State = EMPTY, watch: Watch | None = None) -> None:
        self.state = state
        self.watch = watch
        self._failing: list[tuple[int, Failing]] = []

    @contextmanager
    def read(self) -> Iterator[MemoryBooks]:
        """Books that see one consistent state."""
        yield self.books()

    def books(self) -> MemoryBooks:
        """The books as they are, for reading."""
        return MemoryBooks(self.state, writes=False)

    def write(self, job: Callable[[MemoryBooks], T]) -> T:
        """Run a job and store all of it; a job that raises has stored nothing.

        Raises:
            StorageError: this call was to fail; ``before``: nothing is stored, ``after``: it is, but nobody was told.
        """
        failing = self._countdown()
        books = MemoryBooks(self.state)
        result = job(books)
        if failing == "before":
            raise StorageError("input/output error.", field="store", remedy="Look at the disk.")
        before, self.state = self.state, books.state
        if self.watch is not None:
            self.watch(before, books)
        if failing == "after":
            raise StorageError("the engine was lost while it committed.", field="store", remedy="Look at the disk.")
        return result

    def lose(self, job: Callable[[MemoryBooks], Any]) -> None:
        """Run a job whose commit never reaches the disk, as when power fails before the sync."""
        job(MemoryBooks(self.state))

    def fail(self, calls: int, how: Failing) -> None:
        """Let the write after so many others fail."""
        self._failing.append((calls, how))

    def heal(self) -> None:
        """Fail no more."""
        self._failing.clear()

    def _countdown(self) -> Failing | None:
        if not self._failing:
            return None
        now = [how for calls, how in self._failing if calls == 0]
        self._failing = [(calls - 1, how) for calls, how in self._failing if calls > 0]
        return now[0] if now else None


def _grow(nodes: Table, index: int, hashed: bytes) -> None:
    """Add a leaf and every complete subtree that it completes."""
    level = 0
    nodes[level, index] = hashed
    while index & 1:
        index >>= 1
        nodes[level + 1, index] = node_hash(nodes[level, 2 * index], nodes[level, 2 * index + 1])
        level += 1


def _stored(seq: int, filed: Filed) -> Stored:
    return Stored(
        seq=seq,
        by=filed.by,
        edition=filed.edition,
        view=filed.view,
        title=filed.title,
        received_ms=filed.received_ms,
        expires_ms=filed.expires_ms,
        arrival=filed.arrival,
        place=filed.place,
        standing=filed.standing,
        urgency=filed.urgency,
        header=filed.item.header_bytes,
        content=filed.item.content,
        hops=filed.hops,
    )
