"""What every node of a network truly holds, against what the separate oracle says that it may hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from relto.exchange.books import Stored
from relto.exchange.share import upstream_of
from relto.exercise import oracle
from relto.item import Header
from relto.node import agree
from relto.node.node import Node
from relto.node.read import header_of

_STEP = 500


class Difference(msgspec.Struct, frozen=True):
    """One pair of item and recipient where the network and the oracle disagree."""

    holder: str
    recipient: str
    item: str
    expected: dict[str, Any]
    found: dict[str, Any]


class Comparison(msgspec.Struct, frozen=True):
    """How many pairs were compared, and all that differ."""

    pairs: int
    differences: tuple[Difference, ...]


Terms = dict[str, Any]


def compare(nodes: Mapping[str, Node]) -> Comparison:
    """Compare every item of every node with every other party; the nodes must be quiet."""
    agreements = {party: _agreements(node) for party, node in nodes.items()}
    arrived = {party: _arrived(node) for party, node in nodes.items()}
    pairs, differences = 0, []
    for holder, node in nodes.items():
        delayed = _delayed(node)
        for stored in _everything(node):
            for recipient in nodes:
                if recipient in (holder, stored.by):
                    continue
                pairs += 1
                expected = _expected(node, stored, recipient, agreements[holder])
                waits = (recipient, stored.seq) in delayed
                found = _found(stored, arrived[recipient].get((holder, header_of(stored).id)), waits, expected)
                if found != expected:
                    differences.append(Difference(holder, recipient, header_of(stored).id, expected, found))
    return Comparison(pairs, tuple(differences))


def _agreements(node: Node) -> list[Terms]:
    """The texts that all parties signed, as the oracle reads them."""
    held = agree.everything(node)
    signed = [each for each in held if {entry.id for entry in each.terms.parties} <= set(each.signed_by)]
    return [oracle.parse_agreement(each.text) for each in signed]


def _everything(node: Node) -> Iterator[Stored]:
    seq = 0
    while True:
        with node.store.read() as books:
            found = books.after(seq, _STEP)
        if not found:
            return
        yield from found
        seq = found[-1].seq


def _arrived(node: Node) -> dict[tuple[str, str], Header]:
    """What came, by (who released it, item id)."""
    return {(stored.by, header_of(stored).id): header_of(stored) for stored in _everything(node) if stored.by}


def _delayed(node: Node) -> set[tuple[str, int]]:
    with node.store.read() as books:
        return set(books.all_deferred())


def _expected(node: Node, stored: Stored, recipient: str, agreements: list[Terms]) -> dict[str, Any]:
    header = json.loads(stored.header)
    upstream = [
        {
            "from": each.by,
            "onward": {"rule": each.onward.rule, "to": list(each.onward.to)},
            "purposes": list(each.purposes),
            "retention_s": each.retention_s,
        }
        for each in upstream_of(header_of(stored))
    ]
    answer = oracle.decide(
        holder=node.party,
        recipient=recipient,
        header=header,
        upstream=upstream,
        agreements=agreements,
        now_ms=node.now_ms(),
    )
    if answer["verdict"] == "WITHHELD":
        return {"view": "nothing"}
    placed = header["place"] is not None
    portions = [portion["selector"] for portion in header["label"]["portions"]]
    return {
        "view": answer["view"],
        "precision_m": answer["precision_m"] if placed else 0,
        "retention_s": answer["retention_s"],
        "onward": answer["onward"][0],
        "portions": sorted(set(portions) - set(answer["removed_portions"])),
        "delay_s": answer["delay_s"],
    }


def _found(stored: Stored, arrived: Header | None, waits: bool, expected: dict[str, Any]) -> dict[str, Any]:
    """What the recipient holds; an item that waits for its hour is as expected if a delay was."""
    if arrived is None or arrived.release is None:
        hour_to_come = waits and expected.get("delay_s", 0) > 0
        return expected if hour_to_come else {"view": "nothing"}
    duties = arrived.release.duties
    due_ms = header_of(stored).until_ms + duties.delay_s * 1000
    return {
        "view": arrived.release.view,
        "precision_m": duties.precision_m,
        "retention_s": duties.retention_s,
        "onward": duties.onward.rule,
        "portions": sorted(portion.selector for portion in arrived.label.portions),
        "delay_s": duties.delay_s if arrived.release.time_ms >= due_ms else -1,
    }
