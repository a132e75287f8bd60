"""Provenance: what a hop proves at the third party, and what a cheating hub gains by bending it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relto.bounds import BOUNDS
from relto.clock import FixedClock, parse_utc
from relto.envelope.merkle import leaf_hash
from relto.errors import PeerError
from relto.exchange import share as sharing
from relto.exchange.books import FORGERY, Stored
from relto.exchange.messages import FIRST_CHAIN, Batch, sign_batch
from relto.exchange.page import Hop
from relto.exchange.provenance import FingerprintOf, continues, fingerprints, read_hops, verify
from relto.exercise.network import Network
from relto.item import Header, Onward
from relto.labels import Marking
from relto.node import read
from relto.node.node import Node
from relto.node.run import share
from relto.strict import canonical
from tests.node.conftest import START, agreement, publish

PARTIES = ("AAA", "HUB", "CCC")
TO_ALL = {"onward": '["AAA", "CCC", "HUB"]'}


def between(root: Path, *agreements: tuple[str, tuple[str, ...], dict[str, str]]) -> Network:
    network = Network(root, PARTIES, FixedClock(parse_utc(START)))
    network.conclude([(f"{name}.toml", agreement(name, parties, **terms)) for name, parties, terms in agreements])
    for party in PARTIES:
        share(network.nodes[party])
    network.serve()
    return network


def passed_on(network: Network, number: int = 1) -> tuple[Header, Stored]:
    """A publishes, HUB takes it and passes it on; what C holds by HUB."""
    publish(network.nodes["AAA"], number)
    for party, peer in (("HUB", "AAA"), ("CCC", "HUB")):
        while share(network.nodes[peer]):
            pass
        while network.pull(party, peer):
            pass
    with network.nodes["CCC"].store.read() as books:
        stored = next(each for each in reversed(books.after(0, 100)) if each.by == "HUB")
    return read.header_of(stored), stored


def known(node: Node) -> FingerprintOf:
    with node.store.read() as books:
        return fingerprints(books)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    made = between(tmp_path_factory.mktemp("hops"), ("ALL", PARTIES, TO_ALL))
    yield made
    made.close()


@pytest.fixture(scope="module")
def came(network: Network) -> tuple[Header, tuple[Hop, ...], FingerprintOf]:
    header, stored = passed_on(network)
    return header, read_hops(stored.hops), known(network.nodes["CCC"])


def test_the_first_signature_verifies_at_the_third_party(came: Any) -> None:
    header, hops, known = came
    (passage,) = verify(hops, header, known)
    assert (passage.by, passage.to, passage.known) == ("AAA", "HUB", True)
    assert passage.fingerprint == known("AAA")


def test_a_party_that_is_no_partner_is_not_said_to_be_known(came: Any) -> None:
    header, hops, _ = came
    (passage,) = verify(hops, header, lambda _: None)
    assert not passage.known


def test_another_partners_fingerprint_refuses_it(came: Any) -> None:
    header, hops, known = came
    with pytest.raises(PeerError):
        verify(hops, header, lambda _: known("HUB"))


def swapped(content: bytes, at: int = 200) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


BENT: dict[str, Any] = {
    "header": lambda hop: {"header": swapped(hop.header)},
    "time": lambda hop: {"header": hop.header.replace(b'"time_ms":1', b'"time_ms":2')},
    "onward": lambda hop: {
        "header": hop.header.replace(b'"rule":"list","to":["AAA","CCC","HUB"]', b'"rule":"none","to":[]')
    },
    "recipient": lambda hop: {"header": hop.header.replace(b'"to":"HUB"', b'"to":"CCC"')},
    "no header": lambda _: {"header": b""},
    "statement": lambda hop: {"statement": swapped(hop.statement)},
    "no statement": lambda _: {"statement": b"{}"},
    "card": lambda hop: {"card": swapped(hop.card)},
    "place": lambda hop: {"index": hop.index + 1},
    "place before the first": lambda _: {"index": -1},
    "path": lambda _: {"path": (bytes(32),)},
    "path of nonsense": lambda _: {"path": (b"short",)},
}


@pytest.mark.parametrize("how", list(BENT))
def test_a_bent_hop_is_refused(came: Any, how: str) -> None:
    header, (hop,), known = came
    bent = msgspec.structs.replace(hop, **BENT[how](hop))
    assert bent != hop
    with pytest.raises(PeerError):
        verify((bent,), header, known)


def test_a_hub_that_passes_on_what_it_may_not_is_found_out(came: Any) -> None:
    header, hops, known = came
    onward = msgspec.structs.replace(header, release=msgspec.structs.replace(header.release, to="DDD"))
    with pytest.raises(PeerError, match="did not let"):
        verify(hops, onward, known)


def test_a_statement_of_another_stream_of_the_same_party_is_refused(network: Network, came: Any) -> None:
    header, (hop,), known = came
    batch = Batch(1, "AAA", "CCC", "0" * 32, 1, 1, leaf_hash(hop.header).hex(), FIRST_CHAIN, 0, 0)
    other = sign_batch(batch, network.nodes["AAA"].signer)
    bent = msgspec.structs.replace(hop, statement=other, index=0, path=())
    with pytest.raises(PeerError, match="other parties"):
        verify((bent,), header, known)


def test_hops_that_do_not_lead_here_are_refused(came: Any) -> None:
    header, (hop,), known = came
    for hops in ((hop, hop), (hop,) * (BOUNDS.hops + 1)):
        with pytest.raises(PeerError):
            verify(hops, header, known)


def relabelled(header: Header, **changed: Any) -> Header:
    handling = msgspec.structs.replace(header.label.handling, **changed)
    return msgspec.structs.replace(header, label=msgspec.structs.replace(header.label, handling=handling))


@pytest.mark.parametrize(
    "later",
    [
        lambda header: relabelled(header, markings=()),
        lambda header: relabelled(header, markings=(Marking("HUB", "OFFICIAL", "OFFICIAL"),)),
        lambda header: relabelled(header, tlp="CLEAR"),
        lambda header: msgspec.structs.replace(header, sha256="0" * 64),
        lambda header: msgspec.structs.replace(
            header, origin="HUB", label=msgspec.structs.replace(header.label, originators=("AAA", "HUB"))
        ),
        lambda header: msgspec.structs.replace(header, subjects=("OTHER",)),
        lambda header: msgspec.structs.replace(header, version=2),
    ],
    ids=["marking removed", "marking replaced", "tlp", "content", "origin", "subjects", "version"],
)
def test_a_hub_that_changes_what_it_passes_on_is_found_out(came: Any, later: Any) -> None:
    header, hops, known = came
    assert not continues(msgspec.json.decode(hops[0].header, type=Header), later(header))
    with pytest.raises(PeerError):
        verify(hops, later(header), known)


def test_the_hubs_own_marking_stands_beside_the_originals(came: Any) -> None:
    header, hops, _ = came
    before = msgspec.json.decode(hops[0].header, type=Header).label.handling.markings
    assert before == (Marking("AAA", "OFFICIAL", "OFFICIAL"),)
    assert header.label.handling.markings == (*before, Marking("HUB", "OFFICIAL", "OFFICIAL"))


def test_a_chain_that_does_not_verify_costs_the_item_its_provenance_and_stops_no_stream(
    network: Network, came: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HUB sends the hop of another item along."""
    _, hops, _ = came
    monkeypatch.setattr(sharing, "hops_for", lambda *_: hops)
    header, stored = passed_on(network, 2)
    assert (header.release is not None, stored.hops, stored.standing) == (True, b"", "current")
    with network.nodes["CCC"].store.read() as books:
        assert [(each.kind, each.party) for each in books.incidents()] == [(FORGERY, "HUB")]
        assert books.inbound("HUB").next_n == 3
    monkeypatch.undo()
    _, after = passed_on(network, 3)
    assert len(read_hops(after.hops)) == 1


def test_nothing_is_told_of_an_agreement_that_the_recipient_does_not_sign(tmp_path: Path) -> None:
    network = between(tmp_path, ("PAIR", ("AAA", "HUB"), {"onward": '["AAA", "HUB"]'}), ("ALL", PARTIES, TO_ALL))
    try:
        with network.nodes["AAA"].store.read() as books:
            assert books.stream("CCC") is not None
        # by ALL alone it would travel with its hop; PAIR covers it as well, and is in the header that HUB got
        with network.nodes["CCC"].store.read() as books:
            assert books.agreement("PAIR") is None
        publish(network.nodes["AAA"], 1)
        while share(network.nodes["AAA"]):
            pass
        network.pull("HUB", "AAA")
        with network.nodes["HUB"].store.read() as books:
            (stored,) = books.after(0, 10)
            header = read.header_of(stored)
            assert header.release is not None
            assert {ref.id for ref in header.release.agreements} == {"ALL", "PAIR"}
            rendition = sharing.rendition_of(
                network.nodes["HUB"].core,
                network.nodes["HUB"].rules().table,
                msgspec.structs.replace(stored, header=_may_go_on(header)),
                "CCC",
            )
            assert not rendition.decision.withheld
            arrival = books.arrival(stored.arrival or 0)
            core = network.nodes["HUB"].core
            assert sharing.hops_for(core, books, stored, arrival, rendition, "CCC") == ()
            assert len(sharing.hops_for(core, books, stored, arrival, rendition, "AAA")) == 1
    finally:
        network.close()


def _may_go_on(header: Header) -> bytes:
    """The same with a wider onward rule, so that it is decided for a third party at all."""
    release = header.release
    assert release is not None
    duties = msgspec.structs.replace(release.duties, onward=Onward("list", ("CCC",)))
    return canonical(msgspec.structs.replace(header, release=msgspec.structs.replace(release, duties=duties)))


def test_nothing_goes_along_with_what_was_cut(network: Network) -> None:
    header, stored = passed_on(network, 4)
    hub = network.nodes["HUB"]
    with hub.store.read() as books:
        held = next(each for each in reversed(books.after(0, 100)) if read.header_of(each).id == header.id)
        rendition = sharing.rendition_of(hub.core, hub.rules().table, held, "CCC")
        arrival = books.arrival(held.arrival or 0)
        assert len(sharing.hops_for(hub.core, books, held, arrival, rendition, "CCC")) == 1
        shorter = msgspec.structs.replace(rendition, content=rendition.content[:-1])
        reduced = msgspec.structs.replace(
            rendition, decision=msgspec.structs.replace(rendition.decision, reasons=("FIELD_REMOVED",))
        )
        for less in (shorter, reduced):
            assert sharing.hops_for(hub.core, books, held, arrival, less, "CCC") == ()
        own = msgspec.structs.replace(held, by="")
        assert sharing.hops_for(hub.core, books, own, arrival, rendition, "CCC") == ()
    assert stored.hops
