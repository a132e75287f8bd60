"""The vectors of vectors/exchange through the program itself: each folder's name says what must come out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from relto.clock import FixedClock
from relto.envelope.card import open_card
from relto.envelope.keys import PublicKeys
from relto.envelope.seal import SealingKey
from relto.errors import MalformedError, PeerError
from relto.exchange import documents, incidents, provenance, receive, routes
from relto.exchange.books import Books, Inbound, Partner
from relto.exchange.cards import OWN_CARD
from relto.exchange.core import Core
from relto.exchange.fork import connects, open_head, party_of
from relto.exchange.messages import open_receipt
from relto.exchange.packed import unpack
from relto.exchange.page import open_page, sha256
from relto.exchange.parcel import open_parcel
from relto.exchange.recover import _parse as parse_returns
from relto.exchange.recover import _take_back as take_back
from relto.exchange.recover import verified
from relto.exchange.relay import Handed
from relto.exchange.steps import drive
from relto.exchange.withdraw import is_withdrawal
from relto.exercise.simulator.memory import MemoryStore
from relto.kinds.spec import shipped_kinds
from relto.log.checkpoint import Checkpoint
from relto.strict import canonical
from tests.exchange.make_vectors import START_MS, VECTORS, keys

pytestmark = pytest.mark.pure

CASES = sorted(path.name for path in VECTORS.iterdir() if path.is_dir())
TOLD = json.loads((VECTORS / "parties.json").read_bytes())
ENVELOPE = (VECTORS / "agreement.json").read_bytes()
_KINDS = shipped_kinds()


class Reader:
    """A party of the vectors with a store in memory: partners paired, the agreement held."""

    def __init__(self, party: str, now_ms: int = START_MS, *, agreements: bool = True) -> None:
        self.store = MemoryStore()
        self.core = Core(
            party=party,
            authority=keys(party, "authority").public,
            signer=keys(party),
            sealing=SealingKey.from_private_bytes(bytes.fromhex(TOLD[party]["sealing_private_key"])),
            kinds=_KINDS,
            clock=FixedClock(now_ms),
            entropy=Random(1).randbytes,
        )
        self.store.write(lambda books: self._found(books, agreements))

    def _found(self, books: Books, agreements: bool) -> None:
        for party, told in TOLD.items():
            envelope = base64.b64decode(told["card"])
            if party == self.core.party:
                books.put_setting(OWN_CARD, envelope)
            else:
                books.keep_partner(Partner(party, envelope, told["fingerprint"], START_MS))
        if agreements:
            documents.take_agreement(self.core, books, ENVELOPE)

    def node(self, party: str) -> PublicKeys:
        return keys(party).public


def card(case: Path, given: Any) -> Any:
    found = open_card((case / "card.json").read_bytes(), now_ms=given["now_ms"], pinned=given["pinned"])
    revoked = [msgspec.to_builtins(each) for each in found.revoked]
    return {"party": found.party, "version": found.version, "log": found.log, "revoked": revoked}


def agreement(case: Path, _: Any) -> Any:
    reader = Reader("AAA", agreements=False)
    content = (case / "agreement.json").read_bytes()
    found = reader.store.write(lambda books: documents.take_agreement(reader.core, books, content))
    return {"id": found.id, "version": found.version, "sha256": found.sha256, "signed_by": list(found.signed_by)}


def page(case: Path, given: Any) -> Any:
    """Verified and stored by the verb that a node runs; what it says is read beside that."""
    us, peer, told = given["us"], given["peer"], given["position"]
    reader = Reader(us, given["now_ms"], agreements=given.get("agreements", True))
    inbound = Inbound(peer, told["next_n"], told["chain"], told["log"], told["size"], bytes.fromhex(told["root"]))
    reader.store.write(lambda books: books.move_inbound(inbound))
    with reader.store.read() as books:
        before = receive.position(books, peer)
    content = (case / "page.bin").read_bytes()
    count, moved = drive(receive.accept(reader.core, peer, content), reader.store)
    arrived = open_page(
        content,
        us=us,
        peer=peer,
        keys=reader.node(peer),
        sealing=reader.core.sealing,
        position=before,
        now_ms=given["now_ms"],
    )
    assert count == arrived.batch.count
    with reader.store.read() as books:
        chains = provenance.chains(books, arrived)
        floors = books.floors([item.header.id for item in arrived.items])
    items = []
    for item, record, hops, chain in zip(arrived.items, arrived.records, arrived.hops, chains, strict=True):
        origin, id = item.header.origin, item.header.id
        floor = floors.get((origin, id))
        dead = origin if floor and floor.dead else peer
        came = [msgspec.json.decode(hop.header)["release"]["by"] for hop in hops] if not chain.fault else "refused"
        items.append(
            {
                "header": item.header_bytes.decode(),
                "content_sha256": sha256(item.content),
                "verdict": record.verdict,
                "hops": came,
                "withdrawn_by": dead if is_withdrawal(item.header) else "",
            }
        )
    after = {"next_n": moved.next_n, "chain": moved.chain, "log": moved.log, "size": moved.log_size}
    return {
        "batch": msgspec.to_builtins(arrived.batch),
        "position": after | {"root": moved.log_root.hex()},
        "items": items,
    }


def receipt(case: Path, given: Any) -> Any:
    """Opened as a node opens it, and held against a stream and a log as the case tells them."""
    content = unpack((case / "receipt.bin").read_bytes(), 262_144)
    found = open_receipt(content, keys(given["by"]).public, by=given["by"], to=given["to"])
    if given["chains"].get(str(found.up_to_n)) != found.chain or found.log != given["log"]:
        raise MalformedError("never had")
    if given["roots"].get(str(found.log_size)) != found.log_root:
        raise MalformedError("never had")
    return msgspec.to_builtins(found)


def papers(case: Path, _: Any) -> Any:
    found = documents.parse(unpack((case / "documents.bin").read_bytes(), 32 << 20))
    places = {}
    for name in ("stored", "sent"):
        at = getattr(found, name)
        places[name] = [at.next_n, at.chain, at.log, at.size, at.root.hex()] if at else None
    return {
        "agreements": [sha256(each) for each in found.agreements],
        "known": documents.mark(*found.agreements) if found.agreements else 0,
        "recalled": [list(each) for each in found.recalled],
        "more_recalled": found.more_recalled,
        "heads": [each.decode().splitlines()[:2] for each in found.heads],
        "cards": [[each.party, each.version, each.sha256] for each in found.cards],
        **places,
    }


def head(case: Path, given: Any) -> Any:
    note, party = (case / "note.txt").read_bytes(), given["party"]
    party_of(note)
    found = open_head(note, party, keys(party).public, START_MS)
    return {"log": found.log, "size": found.size, "root": found.root.hex()}


def growth(case: Path, given: Any) -> Any:
    old, new = (
        Checkpoint("relto.release/AAA", size, bytes.fromhex(root)) for size, root in (given["old"], given["new"])
    )
    return {"one_log": connects(old, new, (case / "growth.bin").read_bytes())}


def notice(case: Path, given: Any) -> Any:
    reader, content = Reader(given["to"]), (case / "notice.json").read_bytes()
    reader.store.write(lambda books: incidents.take_notice(reader.core, books, given["by"], content))
    return json.loads(base64.b64decode(json.loads(content)["payload"]))


def returns(case: Path, given: Any) -> Any:
    reader, peer = Reader(given["us"]), given["peer"]
    batches = parse_returns((case / "returns.bin").read_bytes())
    if batches:
        reader.store.write(lambda books: take_back(reader.core, books, peer, batches))
    said = []
    for each in batches:
        with reader.store.read() as books:
            found = verified(reader.core, books, peer, each)
        whole = [
            canonical(msgspec.structs.replace(item.header, release=None))
            for at, item in found.items
            if found.proven and found.records[at].reasons == ("AS_HELD",)
        ]
        said.append({"items": [at for at, _ in found.items], "originals": [sha256(header) for header in whole]})
    return {"batches": said}


def parcel(case: Path, given: Any) -> Any:
    us, peer = given["us"], given["peer"]
    statement, thing = open_parcel(
        (case / "parcel.bin").read_bytes(),
        us=us,
        peer=peer,
        keys=keys(peer).public,
        sealing=Reader(us).core.sealing,
        now_ms=given["now_ms"],
    )
    return {"what": statement.what, "sha256": sha256(thing)}


def collected(case: Path, _: Any) -> Any:
    found = routes._answered((case / "collected.bin").read_bytes(), Handed)
    told = msgspec.to_builtins(msgspec.structs.replace(found, content=b""))
    told.pop("content")
    return told | {"content_sha256": sha256(found.content)}


READERS: dict[str, Callable[[Path, Any], Any]] = {
    "card": card,
    "agreement": agreement,
    "page": page,
    "receipt": receipt,
    "documents": papers,
    "head": head,
    "growth": growth,
    "notice": notice,
    "returns": returns,
    "parcel": parcel,
    "collected": collected,
}


@pytest.mark.parametrize("name", CASES)
def test_vector(name: str) -> None:
    case, read = VECTORS / name, READERS[name.split("_", 1)[0]]
    given = json.loads((case / "given.json").read_bytes())
    if name.endswith("_pass"):
        assert read(case, given) == json.loads((case / "said.json").read_bytes())
        return
    with pytest.raises(PeerError) as refused:
        read(case, given)
    assert refused.value.peer_text == (case / "error.txt").read_text()
