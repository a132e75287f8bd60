"""Reading: what this party's own people see, and why a partner sees what it sees.

Own people are readers like others: they pass ``Reading``, and what a partner gets is shown by deciding and rendering
it, never by describing it. A question why that is answered WITHHELD leaves a leaf in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from relto.columns import read_table
from relto.errors import OurError, PeerError
from relto.exchange.books import Books, Stored
from relto.exchange.provenance import Passage, fingerprints, read_hops, verify
from relto.exchange.share import append_signed, make_leaf, rendition_of, upstream_of
from relto.item import PARTY, Header, Item
from relto.log.leaf import LeafRecord, open_leaf
from relto.node.node import Node
from relto.release.classes import classify
from relto.release.decide import Decision
from relto.release.explain import Examination, examine
from relto.release.render import Rendition
from relto.store.records import Selection

_header = msgspec.json.Decoder(Header)
_SHOWN_CHARS = 120


class FieldShown(msgspec.Struct, frozen=True):
    """One field beside itself: what we hold and what they get; None is held back."""

    path: str
    ours: str
    theirs: str | None


class Why(msgspec.Struct, frozen=True):
    """The full answer: the rules as they ran, the decision with its rendition, and the two versions side by side."""

    header: Header
    recipient: str
    examination: Examination
    decision: Decision
    fields: tuple[FieldShown, ...]
    not_before_ms: int


def header_of(stored: Stored) -> Header:
    """The header of a stored item."""
    return _header.decode(stored.header)


def provenance(node: Node, stored: Stored) -> tuple[Passage, ...]:
    """The releases by which an item came to its releaser, verified again with the partners that are known now.

    Empty where none came along, and where one of them does not verify any more.
    """
    if not stored.hops:
        return ()
    with node.store.read() as books:
        known = fingerprints(books)
    try:
        return verify(read_hops(stored.hops), header_of(stored), known)
    except PeerError:
        return ()


def handled_as(node: Node, header: Header) -> str:
    """The own level as which this party handles what was released to it, by the deciding agreement; empty for none."""
    release = header.release
    if release is None or not release.rules:
        return ""
    deciding = release.rules[0].split("/")[0]
    terms = next(
        (
            each.terms
            for each in node.rules().standings
            if each.terms.ref in release.agreements and each.terms.ref.id == deciding
        ),
        None,
    )
    rung = terms.highest(each.qualified for each in header.label.handling.markings) if terms else None
    return rung.shows.get(node.party, "") if rung else ""


def find(node: Node, reference: str) -> Stored:
    """The item with this id, or with the only id that begins like this.

    Raises:
        OurError: none, or several.
    """
    text = reference.strip().lower()
    if not text or len(text) > 32 or any(digit not in "0123456789abcdef" for digit in text):
        raise OurError(f"{reference[:40]!r} is no item id.", field="item", remedy="Copy it from: relto ls.")
    reading = node.reading()
    with node.store.read() as books:
        ids = books.starting_with(text, reading)
        if len(ids) != 1:
            found = "none" if not ids else f"{len(ids)}: {', '.join(each[:12] for each in ids)}"
            raise OurError(f"{found} held.", field=text, remedy="Give more of the id; see: relto ls.")
        return books.find(ids[0], reading)[0]


def listing(node: Node, selection: Selection) -> tuple[list[Stored], int]:
    """One page of the items that may be read, and how many there are in all."""
    reading = node.reading()
    with node.store.read() as books:
        return books.listing(selection, reading), books.count(selection, reading)


def verdicts(node: Node, stored: Stored) -> dict[str, Decision]:
    """What each partner and each other party of our agreements would get of an item now."""
    table = node.rules().table
    parties = sorted({*table.epoch.recipients(), *node.partners()} - {node.party})
    return {party: rendition_of(node.core, table, stored, party).decision for party in parties}


def why(node: Node, reference: str, to: str) -> Why:
    """Why a party gets what it gets of an item; a refusal that somebody asked for goes into the log.

    Raises:
        OurError: no such item, or ``to`` is no party's id.
    """
    if PARTY.fullmatch(to) is None or to == node.party:
        raise OurError(f"{to[:20]!r} is no other party's id.", field="to", remedy="Write it as JPN.")
    stored = find(node, reference)
    header = header_of(stored)
    table = node.rules().table
    examination = examine(classify(header, upstream_of(header), table.epoch), to, table.epoch)
    rendition = rendition_of(node.core, table, stored, to)
    if rendition.decision.withheld:
        node.store.write(lambda books: _log_refusal(node, books, header, to, rendition.decision))
    return Why(
        header=header,
        recipient=to,
        examination=examination,
        decision=rendition.decision,
        fields=tuple(compare(Item(header, stored.header, stored.content), rendition)),
        not_before_ms=rendition.not_before_ms,
    )


def _log_refusal(node: Node, books: Books, header: Header, to: str, decision: Decision) -> None:
    append_signed(node.core, books, [make_leaf(node.core, header, to, decision, 0, "", node.now_ms())], 0)


def compare(item: Item, rendition: Rendition) -> Iterator[FieldShown]:
    """The fields of an item and of its rendition, side by side; batches show their columns."""
    theirs: dict[str, str] = {}
    if not rendition.decision.withheld:
        theirs = dict(_shown(item.header.media_type, rendition.content))
    for path, ours in _shown(item.header.media_type, item.content):
        yield FieldShown(path, ours, theirs.get(path))


def _shown(media_type: str, content: bytes) -> Iterator[tuple[str, str]]:
    if media_type.startswith("application/vnd.apache.parquet"):
        yield from _columns(content)
    else:
        yield from _leaves(json.loads(content, parse_float=Decimal), "")


def _columns(content: bytes) -> Iterator[tuple[str, str]]:
    table = read_table(content)
    yield "rows", f"{table.num_rows:,}"
    for name in table.column_names:
        yield name, ", ".join(str(value) for value in table[name].slice(0, 3).to_pylist()) + ", …"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for at, each in enumerate(value):
            key = each.get("id", each.get("uuid", at)) if isinstance(each, dict) else at
            yield from _leaves(each, f"{path}[{key}]")
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        yield path, text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def log_records(node: Node, *, start: int = 0, limit: int = 100) -> list[LeafRecord]:
    """The log's records from an index on, opened against their entries."""
    with node.store.read() as books:
        found = books.opened(start, limit)
    return [open_leaf(leaf.record, leaf.salt, entry) for _, entry, leaf in found]
