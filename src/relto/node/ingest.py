"""Ingest: bytes from a feed become items of this party, once, however often the same bytes come.

An item's id is a keyed hash of its kind and of what it was made from: its own bytes, or for a batch the file and the
batch's place in it, since sentences without a time are dated when they are read. So the same file read again, also
after a crash in the middle of it, gives the same items, and none is stored twice. The key keeps others from guessing a
content by its id.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from relto.exchange.books import URGENCIES, Books, Filed
from relto.exchange.filing import file
from relto.feeds import files
from relto.formats import rejects
from relto.formats.draft import Draft
from relto.item import new_item
from relto.labels import NOFORN, REL_TO, Category, Handling, Label, Marking, Portion, Tlp, handling, join_handling
from relto.node.node import Node

_CHUNK = 500
ID_KEY = "item-id-key"
Labels = dict[tuple[Handling, tuple[Portion, ...], str], Label]


class Defaults(msgspec.Struct, frozen=True):
    """What the operator says of a feed whose records do not say it themselves. It only ever adds restrictions."""

    level: str
    marking: str = ""
    tlp: Tlp = ""
    subjects: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    rel_to: tuple[str, ...] = ()
    withhold: tuple[str, ...] = ()  # selectors of portions that never leave
    portions: dict[str, Handling] = {}  # selectors of portions with a handling of their own


class Ingested(msgspec.Struct, frozen=True):
    """What became of one file: the reader's counts, and how many items are new to the store."""

    summary: rejects.Intake
    items: int
    new: int


def ingest(
    node: Node, content: bytes, name: str, defaults: Defaults, *, progress: Callable[[int, int], None] | None = None
) -> Ingested:
    """Read a file's bytes and store its items; when this returns they are durable and queued for every recipient.

    ``progress(done, total)`` is called after each stored chunk.

    Raises:
        OurError: no reader knows the form. Bad records are counted, not raised; their neighbours are stored.
    """
    intake = files.read(content, name, received_ms=node.now_ms())
    source = hashlib.sha256(content).digest()
    new = store_drafts(node, intake.drafts, defaults, source=source, progress=progress)
    return Ingested(intake.summary, len(intake.drafts), new)


def store_drafts(
    node: Node,
    drafts: Sequence[Draft],
    defaults: Defaults,
    *,
    source: bytes = b"",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Store drafts as items of this party; returns how many were new. ``source`` tells what batches were cut from."""
    key = item_key(node)
    labels: Labels = {}
    new = done = 0
    for chunk in _chunks(drafts):
        filed = [
            _filed(
                node,
                key,
                draft,
                defaults.subjects,
                _label_of(node.party, draft, defaults, labels),
                _basis(node, draft, source, done + at),
            )
            for at, draft in enumerate(chunk)
        ]
        new += node.store.write(partial(_file, filed=filed))
        done += len(chunk)
        if progress is not None:
            progress(done, len(drafts))
    return new


def _file(books: Books, filed: Sequence[Filed]) -> int:
    return file(books, filed).new


def _chunks(drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    for start in range(0, len(drafts), _CHUNK):
        yield drafts[start : start + _CHUNK]


def item_key(node: Node) -> bytes:
    """The node's own key for item ids, made on first use."""

    def make(books: Books) -> bytes:
        books.keep_secret(ID_KEY, node.core.entropy(32))
        return books.secret(ID_KEY) or b""

    with node.store.read() as books:
        known = books.secret(ID_KEY)
    return known or node.store.write(make)


def item_id(key: bytes, kind: str, basis: bytes) -> str:
    """The id of an item of our own that is made from these bytes."""
    return hmac.new(key, kind.encode() + b"\0" + basis, hashlib.sha256).hexdigest()[:32]


def _basis(node: Node, draft: Draft, source: bytes, place: int) -> bytes:
    """What an item's id is made from."""
    batch = node.kinds[draft.kind].shape == "columns" and source
    return source + place.to_bytes(8, "big") if batch else draft.content


def _label_of(party: str, draft: Draft, defaults: Defaults, known: Labels) -> Label:
    """The label of a draft; the records of a feed mostly share one."""
    said = (draft.handling, draft.portions, draft.foreign)
    if said not in known:
        known[said] = label_of(party, draft, defaults)
    return known[said]


def _filed(node: Node, key: bytes, draft: Draft, subjects: tuple[str, ...], label: Label, basis: bytes) -> Filed:
    """The item of a draft, ready to be stored."""
    item = new_item(
        id=item_id(key, draft.kind, basis),
        kind=draft.kind,
        origin=node.party,
        observed_ms=draft.observed_ms,
        until_ms=draft.until_ms,
        place=draft.place,
        subjects=(*draft.subjects, *subjects),
        label=label,
        content=draft.content,
        media_type=draft.media_type,
    )
    return Filed(
        item=item,
        title=draft.title or draft.external_id,
        received_ms=node.now_ms(),
        urgency=URGENCIES[node.kinds[draft.kind].urgency],
    )


def label_of(party: str, draft: Draft, defaults: Defaults) -> Label:
    """What a record says of itself, joined with what the operator says of its feed."""
    limits = (Category(REL_TO, "permissive", defaults.rel_to),) if defaults.rel_to else ()
    own = handling(
        markings=(Marking(party, defaults.level, defaults.marking or defaults.level),),
        categories=limits,
        tlp=defaults.tlp,
        licences=defaults.licences,
    )
    never = Handling(categories=(Category(NOFORN, "restrictive"),))
    stricter = [*defaults.portions.items(), *((selector, never) for selector in defaults.withhold)]
    portions = {portion.selector: portion.handling for portion in draft.portions}
    for selector, added in stricter:
        portions[selector] = join_handling(portions.get(selector, Handling()), added)
    return Label(
        handling=join_handling(own, draft.handling),
        originators=(party,),
        portions=tuple(Portion(selector, portions[selector]) for selector in sorted(portions)),
        foreign=draft.foreign,
    )
