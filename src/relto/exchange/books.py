"""What the exchange keeps, and the books in which it keeps it.

``Books`` is one transaction as the exchange sees it; ``Store`` opens them. The store below (SQLite, PostgreSQL) and the
simulator's disk fulfil both, and one shared suite holds all of them to the same promises. Nothing here does any I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeVar

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.merkle import EMPTY_ROOT, NodeReader
from relto.exchange.messages import FIRST_CHAIN
from relto.item import Item
from relto.kinds.spec import Urgency
from relto.log.leaf import commit

Standing = Literal["current", "superseded", "withdrawn", "revoked"]
ROUTINE, PRIORITY, DISTRESS, WITHDRAWAL = range(4)
RETURNED = -1  # came back to us after a loss; it was released once and is in no queue
URGENCIES: dict[Urgency, int] = {"routine": ROUTINE, "priority": PRIORITY, "distress": DISTRESS}
PAGE = "page"

# Kinds of incidents; docs/spec/exchange.md, section 7.
EQUIVOCATION, AGREEMENT_EQUIVOCATION, TWO_CARDS = "EQUIVOCATION", "AGREEMENT_EQUIVOCATION", "TWO_CARDS"
FORK, UNPROVEN, ROLLBACK, FORGERY, ACCUSED = "FORK", "UNPROVEN", "ROLLBACK", "FORGERY", "ACCUSED"
KEY_REVOKED = "KEY_REVOKED"
GAP, UNRECEIPTED = "GAP", "UNRECEIPTED"
REST = "and more"

T = TypeVar("T")


class Filed(msgspec.Struct, frozen=True):
    """An item as it is to be kept. ``by`` is the party that released it to us, empty for our own.

    ``hops`` is what proves the releases before that to us, as it travelled.
    """

    item: Item
    title: str
    by: str = ""
    edition: int = 0
    view: str = "full"
    received_ms: int = 0
    expires_ms: int | None = None
    arrival: int | None = None
    place: int | None = None
    standing: Standing = "current"
    urgency: int = ROUTINE
    hops: bytes = b""


class Stored(msgspec.Struct, frozen=True):
    """A row of the item table; header and content are the bytes that were signed, empty once withdrawn."""

    seq: int
    by: str
    edition: int
    view: str
    title: str
    received_ms: int
    expires_ms: int | None
    arrival: int | None
    place: int | None
    standing: Standing
    urgency: int
    header: bytes
    content: bytes
    hops: bytes


class Floor(msgspec.Struct, frozen=True):
    """The highest version of an item that one party has spoken of. ``dead``: with it, it withdrew the item.

    A floor never falls, and is in every backup.
    """

    party: str
    id: str
    version: int
    dead: bool = False


class Stream(msgspec.Struct, frozen=True):
    """How far an outgoing stream is: items looked at, releases made, log size its recipient will have seen.

    Urgent items have a place of their own in the queue, so that no backlog holds them up.
    """

    recipient: str
    scanned_seq: int
    urgent_seq: int
    next_n: int
    chain: str
    log_size: int
    receipted_n: int
    receipt: bytes | None = None
    receipted_ms: int | None = None


class Inbound(msgspec.Struct, frozen=True):
    """How far a peer's stream is stored here, and the newest checkpoint of the peer that was verified.

    ``log`` counts the peer's release logs: it began a new one after it had lost the old.
    """

    peer: str
    next_n: int = 1
    chain: str = FIRST_CHAIN
    log: int = 1
    log_size: int = 0
    log_root: bytes = EMPTY_ROOT
    receipted_n: int = 0
    synced_ms: int = 0


class Arrival(msgspec.Struct, frozen=True):
    """What proves the items of one received batch: also when some of them, or the peer's card, are long gone.

    ``hashes`` are the leaf hashes of the batch, ``entries`` those of the peer's log, ``salts`` what opens them to
    ``records``; 32 bytes each, in order.
    """

    peer: str
    first_n: int
    card: bytes
    hashes: bytes
    statement: bytes
    proof: bytes
    entries: bytes
    records: bytes
    received_ms: int = 0
    salts: bytes = b""


class Released(msgspec.Struct, frozen=True):
    """One release to one recipient. View ``nothing`` withdraws what went before it. It outlives the item.

    ``level`` and ``originators`` are the item's, for who asks when it is gone; ``leaf`` is an index in our log ``log``.
    """

    recipient: str
    n: int
    item: int
    leaf: int
    id: str
    version: int
    view: str
    released_ms: int
    expires_ms: int | None = None
    level: str = ""
    originators: str = ""
    log: int = 1


class PageKey(msgspec.Struct, frozen=True):
    """What closes an unreceipted page again for its recipient's newer key, and the log size from which it proves."""

    recipient: str
    first_n: int
    key: bytes
    grown_from: int


class Waiting(msgspec.Struct, frozen=True):
    """What of a stream is made and not receipted yet: how many pages, and their bytes."""

    pages: int = 0
    bytes: int = 0


class Parcel(msgspec.Struct, frozen=True):
    """Something sealed that we carry from one partner to another, the ``n``-th of the pair."""

    sender: str
    recipient: str
    n: int
    batch: str
    content: bytes
    deposited_ms: int


class Carriage(msgspec.Struct, frozen=True):
    """How far we are as the relay of a pair: what was deposited, and up to where it was collected."""

    sender: str
    recipient: str
    last_n: int = 0
    collected_n: int = 0


class Leaf(msgspec.Struct, frozen=True):
    """One decision as the log keeps it: the record and the salts that open its commitments."""

    record: bytes
    salt: bytes
    policy_sha256: str
    policy_salt: bytes

    @property
    def entry(self) -> bytes:
        """The log's entry."""
        return commit(self.record, self.salt)


class Head(msgspec.Struct, frozen=True):
    """A signed head of our log."""

    size: int
    root: bytes
    note: bytes


class SeenHead(msgspec.Struct, frozen=True):
    """A head of a party's log under its signature.

    With an empty ``source`` it is the newest that was proven to be one log with all before it. Else it was not compared
    by a proof yet, and ``source`` is by whom it was told, or ``PAGE``.
    """

    party: str
    log: int
    size: int
    root: bytes
    note: bytes
    seen_ms: int
    source: str = ""


class Partner(msgspec.Struct, frozen=True):
    """A partner: its signed card, and the fingerprint by which it was accepted."""

    party: str
    card: bytes
    fingerprint: str
    accepted_ms: int


class SignedAgreement(msgspec.Struct, frozen=True):
    """An agreement's text, the envelope with the signatures so far, and whose of them verified when it was stored."""

    id: str
    version: int
    sha256: str
    text: bytes
    envelope: bytes
    signed_by: tuple[str, ...]
    changed_ms: int


class Incident(msgspec.Struct, frozen=True):
    """Something that should not have happened, once per kind, party and subject, however often it happens.

    ``evidence`` are the bytes that prove it, by name; what it froze stays frozen until it is closed, which needs a
    reason. ``told_ms``: when the party took our notice of it.
    """

    kind: str
    party: str
    subject: str
    text: str
    evidence: tuple[tuple[str, bytes], ...] = ()
    first_ms: int = 0
    last_ms: int = 0
    count: int = 1
    open: bool = True
    closed: str = ""
    told_ms: int = 0
    id: int = 0


def freezes_ms(incident: Incident) -> int | None:
    """From when on an open incident freezes its party; None if it never does."""
    if incident.kind == FORK or (incident.kind == EQUIVOCATION and incident.subject == REST):
        return incident.first_ms
    return incident.first_ms + BOUNDS.growth_grace_ms if incident.kind == UNPROVEN else None


class Books(Protocol):
    """One transaction: what is read in it is consistent, what is written in it becomes durable as a whole or not."""

    # the rules
    def rules_version(self) -> int: ...
    def rules_changed(self) -> None: ...
    def partner(self, party: str) -> Partner | None: ...
    def partners(self) -> list[Partner]: ...
    def keep_partner(self, kept: Partner) -> None: ...
    def agreements(self) -> list[SignedAgreement]: ...
    def agreement(self, name: str, version: int | None = None) -> SignedAgreement | None: ...
    def same_agreement(self, name: str, version: int, sha256: str) -> SignedAgreement | None: ...
    def keep_agreement(self, kept: SignedAgreement) -> None: ...
    def quarantined(self) -> frozenset[str]: ...
    def set_quarantined(self, names: frozenset[str]) -> None: ...
    def secret(self, name: str) -> bytes | None: ...
    def keep_secret(self, name: str, value: bytes) -> None: ...
    def put_setting(self, name: str, value: bytes) -> None: ...

    # items, their floors, and their places in the release queue
    def insert_items(self, filed: Sequence[Filed]) -> int: ...
    def floors(self, ids: Iterable[str]) -> Mapping[tuple[str, str], Floor]: ...
    def raise_floors(self, floors: Sequence[Floor]) -> None: ...
    def supersede(self, id: str, below: int, *, by: str | None = None, origin: str | None = None) -> int: ...
    def erase(self, id: str, below: int, *, by: str | None = None, origin: str | None = None) -> int: ...
    def equivocal(self, by: str, ids: Sequence[str]) -> list[tuple[str, int, tuple[bytes, ...]]]: ...
    def versions(self, id: str) -> list[Stored]: ...
    def after(self, seq: int, limit: int) -> list[Stored]: ...
    def urgent_after(self, seq: int, limit: int) -> list[Stored]: ...
    def by_seq(self, seqs: Sequence[int]) -> list[Stored]: ...
    def standing(self, seqs: Sequence[int]) -> frozenset[int]: ...
    def last_seq(self) -> int: ...
    def purge(self, now_ms: int) -> int: ...

    # outgoing streams
    def open_stream(self, stream: Stream) -> None: ...
    def stream(self, recipient: str) -> Stream | None: ...
    def all_streams(self) -> list[Stream]: ...
    def advance(self, moved: Stream) -> None: ...
    def add_page(
        self, recipient: str, first_n: int, last_n: int, chain: str, content: bytes, created_ms: int
    ) -> None: ...
    def page_after(self, recipient: str, n: int) -> bytes | None: ...
    def page_sizes(self, recipient: str, n: int, limit: int) -> list[tuple[int, int, int]]: ...
    def chain_at(self, recipient: str, n: int) -> str | None: ...
    def unreceipted(self, recipient: str) -> Waiting: ...
    def add_releases(self, rows: Sequence[Released]) -> None: ...
    def held(self, recipient: str, ids: Iterable[str]) -> Mapping[str, Released]: ...
    def releases_of(self, id: str) -> list[Released]: ...
    def withdrawn_since(self, recipient: str, n: int, limit: int) -> list[Released]: ...
    def defer(self, recipient: str, due: Sequence[tuple[int, int]]) -> None: ...
    def due(self, recipient: str, now_ms: int, limit: int) -> list[int]: ...
    def due_count(self, recipient: str, due_from_ms: int) -> int: ...
    def hasten(self, recipient: str, due_from_ms: int, due_ms: int) -> int: ...
    def recipients_due(self, now_ms: int) -> list[str]: ...
    def settle(self, recipient: str, seqs: Sequence[int]) -> None: ...
    def tally(self, recipient: str, counts: dict[tuple[str, str], int]) -> None: ...

    # incoming streams
    def inbound(self, peer: str) -> Inbound: ...
    def all_inbounds(self) -> list[Inbound]: ...
    def move_inbound(self, moved: Inbound) -> None: ...
    def add_arrival(self, arrival: Arrival) -> int: ...
    def arrival(self, number: int) -> Arrival | None: ...
    def arrived_at(self, peer: str, first_n: int) -> Arrival | None: ...

    # the release log, and the heads of others' logs
    def head(self) -> Head: ...
    def append(self, start: int, added: Sequence[Leaf]) -> tuple[bytes, NodeReader]: ...
    def set_head(self, new: Head) -> None: ...
    def log_nodes(self) -> NodeReader: ...
    def seen_heads(self) -> list[SeenHead]: ...
    def told_heads(self) -> list[SeenHead]: ...
    def keep_head(self, head: SeenHead) -> None: ...
    def forget_heads(self, party: str, log: int, source: str | None = None) -> None: ...

    # after a loss: a partner's, whose keys are new, and our own
    def keep_page_key(self, kept: PageKey) -> None: ...
    def page_keys(self, recipient: str) -> list[PageKey]: ...
    def drop_page_keys(self, recipient: str, up_to_n: int) -> None: ...
    def replace_page(self, recipient: str, first_n: int, content: bytes) -> None: ...
    def drop_unreceived(self, recipient: str, after_n: int) -> list[int]: ...
    def arrivals_after(self, peer: str, n: int, limit: int, *, since_ms: int = 0) -> list[tuple[int, Arrival]]: ...
    def arrived(self, number: int) -> list[Stored]: ...
    def set_standing(self, seqs: Sequence[int], standing: Standing) -> None: ...
    def close_log(self, number: int) -> None: ...

    # what is carried for others
    def carriage(self, sender: str, recipient: str) -> Carriage: ...
    def carriages(self) -> list[Carriage]: ...
    def move_carriage(self, moved: Carriage) -> None: ...
    def add_parcel(self, parcel: Parcel) -> None: ...
    def parcel_after(self, sender: str, recipient: str, n: int, since_ms: int) -> Parcel | None: ...
    def parcel_number(self, sender: str, recipient: str, batch: str) -> int | None: ...
    def waiting_parcels(self, sender: str, recipient: str) -> Waiting: ...
    def drop_parcels(self, sender: str, recipient: str, up_to_n: int) -> None: ...
    def drop_old_parcels(self, before_ms: int) -> int: ...

    # incidents
    def note_incident(self, incident: Incident) -> Incident: ...
    def incident(self, kind: str, party: str, subject: str) -> Incident | None: ...
    def incidents(self, *, open_only: bool = False) -> list[Incident]: ...
    def incident_told(self, number: int, at_ms: int) -> None: ...
    def close_incident(self, number: int, reason: str) -> None: ...


class Store(Protocol):
    """Where the books are kept. When ``write`` returns, all of the job is durable; a job that raises wrote nothing."""

    def read(self) -> AbstractContextManager[Books]: ...
    def write(self, job: Callable[[Books], T]) -> T: ...
