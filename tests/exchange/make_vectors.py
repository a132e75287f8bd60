"""Makes vectors/exchange: three parties with keys from seeds, a told clock, the real verbs of the exchange.

AAA publishes; HUB passes on; CCC receives from both, and from AAA over a thin link. Run it only when the format
changes, since signatures and encapsulations are randomised:
``python -m tests.exchange.make_vectors`` writes all folders anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from relto.agreements.document import read
from relto.agreements.lifecycle import PAYLOAD_TYPE
from relto.clock import FixedClock
from relto.envelope.card import PartyCard, Revocation, sign_card
from relto.envelope.dsse import sign
from relto.envelope.keys import PrivateKeys, fingerprint
from relto.envelope.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, range_proof, root, root_nodes
from relto.envelope.seal import Sealed, SealingKey, seal, unseal
from relto.exchange import documents, incidents, receive
from relto.exchange.answer import answer
from relto.exchange.books import FORGERY, PRIORITY, Filed, Inbound, Partner, SignedAgreement
from relto.exchange.cards import OWN_CARD
from relto.exchange.core import Core
from relto.exchange.filing import file
from relto.exchange.link import set_link, thin
from relto.exchange.messages import FIRST_CHAIN, Batch, sign_batch
from relto.exchange.packed import pack
from relto.exchange.page import Hop, LogProof, Sent, open_page, sha256, write_page
from relto.exchange.parcel import TYPE as PARCEL_TYPE
from relto.exchange.parcel import write_parcel
from relto.exchange.recover import Returned, ReturnedPage
from relto.exchange.share import share_all
from relto.exchange.steps import Ask, Growth, Pages, Receipts, Request, Returns, drive
from relto.exchange.withdraw import TYPE as WITHDRAWAL_TYPE
from relto.exchange.withdraw import is_withdrawal, withdraw
from relto.exercise.simulator.memory import MemoryStore
from relto.formats.detection import read_geojson
from relto.item import new_item
from relto.kinds.spec import shipped_kinds
from relto.labels import Handling, Label, Marking
from relto.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from relto.log.leaf import commit

VECTORS = Path(__file__).parents[2] / "vectors" / "exchange"
PARTIES = ("AAA", "HUB", "CCC")
START_MS = 1_795_392_000_000
DAY_MS = 86_400_000
_KINDS = shipped_kinds()

AGREEMENT = """\
format = "relto-agreement/1"
id = "STRAIT"
version = 1
title = "Detections (vectors)"
illustration = true
note = "Invented for test vectors."

[term]
from = 2026-01-01T00:00:00Z
until = 2028-01-01T00:00:00Z
notice_days = 30

[[party]]
id = "AAA"
name = "Party A"
tier = "T3"

[[party]]
id = "HUB"
name = "The hub"
tier = "T3"

[[party]]
id = "CCC"
name = "Party C"
tier = "T3"

[[level]]
name = "OFFICIAL"
AAA = ["OFFICIAL"]
HUB = ["OFFICIAL"]
CCC = ["OFFICIAL"]

[[grant]]
id = "all"
text = "Each receives the others' detections and may pass them on within the three."
from = ["AAA", "HUB", "CCC"]
to = ["AAA", "HUB", "CCC"]
domains = ["maritime"]
ceiling = "OFFICIAL"
view = "full"
tlp_ceiling = "AMBER"
onward = ["AAA", "HUB", "CCC"]
"""


def seed(text: str) -> bytes:
    """32 bytes for a name: the same name gives the same keys."""
    return hashlib.sha256(text.encode()).digest()


CONTENT_KEY = seed("a content key of pages that only these vectors hold")


def keys(party: str, what: str = "node") -> PrivateKeys:
    """The keys of a party of this world."""
    return PrivateKeys.from_seeds(seed(f"{party} {what} ed25519"), seed(f"{party} {what} ml-dsa-65"))


def sealing(party: str) -> SealingKey:
    """The sealing key of a party of this world."""
    return SealingKey.from_private_bytes(b"".join(seed(f"{party} sealing {at}") for at in range(3)))


def card(party: str, **changed: Any) -> bytes:
    """A party's signed card."""
    authority = keys(party, "authority")
    fields = {
        "v": 1,
        "party": party,
        "name": f"Party {party}",
        "version": 1,
        "authority": authority.public,
        "node": keys(party).public,
        "sealing": sealing(party).public_bytes().hex(),
        "tls_ca": base64.b64encode(b"no certificate: nothing connects in these vectors").decode(),
        "url": f"https://{party.lower()}.example:8443",
        "issued_ms": START_MS - DAY_MS,
        "expires_ms": START_MS + 90 * DAY_MS,
    }
    return sign_card(PartyCard(**fields | changed), authority)


class Party:
    """One party with its store in memory, its clock and its own randomness from a seed."""

    def __init__(self, party: str, clock: FixedClock, random: Random) -> None:
        self.store = MemoryStore()
        self.core = Core(
            party=party,
            authority=keys(party, "authority").public,
            signer=keys(party),
            sealing=sealing(party),
            kinds=_KINDS,
            clock=clock,
            entropy=random.randbytes,
        )

    def run(self, steps: Any, ask: Callable[[Ask], bytes] | None = None) -> Any:
        return drive(steps, self.store, ask)

    def answers(self, asker: str, request: Request) -> bytes:
        return bytes(self.run(answer(self.core, asker, request)))

    def share(self) -> None:
        while self.run(share_all(self.core)):
            pass


class World:
    """The three parties, paired and agreed, each stream open and empty."""

    def __init__(self, random: Random) -> None:
        self.clock = FixedClock(START_MS)
        self.random = random
        self.cards = {party: card(party) for party in PARTIES}
        self.agreement = sign(PAYLOAD_TYPE, AGREEMENT.encode(), [keys(party, "authority") for party in PARTIES])
        self.parties = {party: Party(party, self.clock, random) for party in PARTIES}
        for party in self.parties.values():
            party.store.write(lambda books, party=party: self._found(books, party.core.party))
        self.parties["AAA"].store.write(lambda books: set_link(books, "CCC", thin(), START_MS))
        for party in self.parties.values():
            party.share()

    def _found(self, books: Any, party: str) -> None:
        books.put_setting(OWN_CARD, self.cards[party])
        for other in PARTIES:
            if other != party:
                pinned = fingerprint(keys(other, "authority").public)
                books.keep_partner(Partner(other, self.cards[other], pinned, START_MS))
        ref, text = read(AGREEMENT.encode(), "agreement").ref, AGREEMENT.encode()
        books.keep_agreement(
            SignedAgreement(ref.id, ref.version, ref.sha256, text, self.agreement, tuple(sorted(PARTIES)), START_MS)
        )

    def tick(self, ms: int = 60_000) -> None:
        self.clock.set(self.clock.now_ms() + ms)

    def publish(self, number: int, *, id: str = "", version: int = 1, party: str = "AAA") -> str:
        """A party's detection, or a new version of one; returns its id."""
        content = detection(number)
        (draft,) = read_geojson(content, received_ms=self.clock.now_ms()).drafts
        item = new_item(
            id=id or self.random.randbytes(16).hex(),
            version=version,
            kind=draft.kind,
            origin=party,
            observed_ms=draft.observed_ms,
            until_ms=draft.until_ms,
            place=draft.place,
            subjects=draft.subjects,
            label=Label(Handling((Marking(party, "OFFICIAL", "OFFICIAL"),)), (party,)),
            content=draft.content,
            media_type=draft.media_type,
        )
        urgency = PRIORITY if version > 1 else 0
        filed = Filed(item, f"contact {number}", received_ms=self.clock.now_ms(), urgency=urgency)
        self.parties[party].store.write(lambda books: file(books, [filed]))
        return item.header.id

    def page(self, sender: str, recipient: str, after_n: int) -> bytes:
        """The page that a party's stream has after a release."""
        self.parties[sender].share()
        return self.parties[sender].answers(recipient, Pages(after_n))

    def position(self, recipient: str, sender: str) -> Inbound:
        with self.parties[recipient].store.read() as books:
            return books.inbound(sender)

    def take(self, recipient: str, sender: str, page: bytes) -> None:
        party = self.parties[recipient]
        party.run(receive.accept(party.core, sender, page))

    def withdraw(self, id: str, party: str = "AAA") -> None:
        """A party withdraws an item of its own."""
        core = self.parties[party].core
        self.parties[party].run(withdraw(core, id, "In error."))

    def give_receipt(self, sender: str, recipient: str, envelope: bytes) -> None:
        """Hand a recipient's receipt to the sender."""
        self.parties[sender].answers(recipient, Receipts(envelope))

    def receipt(self, recipient: str, sender: str) -> bytes:
        return receive.receipt(self.parties[recipient].core, self.position(recipient, sender))


def detection(number: int) -> bytes:
    """One detection as GeoJSON."""
    ellipse = {"semi_major_m": 2500, "semi_minor_m": 900, "orientation_deg": 35, "confidence_pct": 95}
    properties = {"sensor": "rf", "observed": "2026-11-20T03:00:00Z", "confidence": 0.5, "ellipse": ellipse}
    properties["remarks"] = f"contact {number}, 接触"
    point = {"type": "Point", "coordinates": [120 + number % 50_000 / 1000, 12.5]}
    feature = {"type": "Feature", "id": f"rf-{number}", "geometry": point, "properties": properties}
    return json.dumps(feature, ensure_ascii=False).encode()


# --- what is written ---


def place(inbound: Inbound) -> dict[str, Any]:
    """Where a recipient is, as the vectors say it."""
    return {
        "next_n": inbound.next_n,
        "chain": inbound.chain,
        "log": inbound.log,
        "size": inbound.log_size,
        "root": inbound.log_root.hex(),
    }


def given_page(inbound: Inbound, us: str, now_ms: int) -> dict[str, Any]:
    return {"us": us, "peer": inbound.peer, "now_ms": now_ms, "position": place(inbound)}


def said_page(page: bytes, inbound: Inbound, us: str, now_ms: int) -> dict[str, Any]:
    """What the real reader finds in a page."""
    arrived = open_page(
        page,
        us=us,
        peer=inbound.peer,
        keys=keys(inbound.peer).public,
        sealing=sealing(us),
        position=receive_position(inbound),
        now_ms=now_ms,
    )
    after = arrived.position
    items = [
        {
            "header": item.header_bytes.decode(),
            "content_sha256": sha256(item.content),
            "verdict": record.verdict,
            "hops": [msgspec.json.decode(hop.header)["release"]["by"] for hop in hops],
            "withdrawn_by": item.header.origin if is_withdrawal(item.header) else "",
        }
        for item, record, hops in zip(arrived.items, arrived.records, arrived.hops, strict=True)
    ]
    return {
        "batch": msgspec.to_builtins(arrived.batch),
        "position": {
            "next_n": after.next_n,
            "chain": after.chain,
            "log": inbound.log,
            "size": after.checkpoint.size,
            "root": after.checkpoint.root.hex(),
        },
        "items": items,
    }


def receive_position(inbound: Inbound) -> Any:
    """A recipient's place as the real reader takes it."""
    store = MemoryStore()
    store.write(lambda books: books.move_inbound(inbound))
    with store.read() as books:
        return receive.position(books, inbound.peer)


class Opened:
    """A page taken apart by its recipient, so that bad ones can be made of it, signed by its real parties."""

    def __init__(self, page: bytes, inbound: Inbound, us: str, now_ms: int) -> None:
        self.sender, self.us = inbound.peer, us
        arrived = open_page(
            page,
            us=us,
            peer=inbound.peer,
            keys=keys(inbound.peer).public,
            sealing=sealing(us),
            position=receive_position(inbound),
            now_ms=now_ms,
        )
        self.batch, self.proof = arrived.batch, arrived.proof
        self.sent = [
            Sent(item.header_bytes, item.content, msgspec.json.encode(record), salt, hops)
            for item, record, salt, hops in zip(
                arrived.items, arrived.records, arrived.salts, arrived.hops, strict=True
            )
        ]

    def sealed(
        self, *, batch: Any = None, sent: Any = None, proof: LogProof | None = None, node: Any = None, to: str = ""
    ) -> bytes:
        page, _ = write_page(
            batch or self.batch,
            self.sent if sent is None else sent,
            proof or self.proof,
            node=node or keys(self.sender),
            recipient=sealing(to or self.us).public_bytes(),
            content_key=CONTENT_KEY,
        )
        return page


def change(value: Any, **changed: Any) -> Any:
    return msgspec.structs.replace(value, **changed)


class Folder:
    """Writes the cases."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []

    def good(self, name: str, files: dict[str, bytes], given: Any, said: Any) -> None:
        self._write(f"{name}_pass", files | {"given.json": text(given), "said.json": text(said)})

    def bad(self, name: str, error: str, files: dict[str, bytes], given: Any) -> None:
        self._write(f"{name}_fail", files | {"given.json": text(given), "error.txt": error.encode()})

    def _write(self, name: str, files: dict[str, bytes]) -> None:
        self.names.append(name)
        case = self.path / name
        case.mkdir(parents=True)
        for file_name, content in files.items():
            (case / file_name).write_bytes(content)


def text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def main(path: Path = VECTORS) -> list[str]:
    """Write all cases; returns their names."""
    for case in path.glob("*"):
        if case.is_dir():
            shutil.rmtree(case)
    world, folder = World(Random(20261124)), Folder(path)
    write_world(world, path)
    write_cards(folder)
    write_agreements(folder, world)
    write_stream(folder, world)
    write_papers(folder, world)
    return folder.names


def write_world(world: World, path: Path) -> None:
    """What every case knows: the parties, their cards and sealing keys, and the agreement."""
    told = {
        party: {
            "card": base64.b64encode(world.cards[party]).decode(),
            "fingerprint": fingerprint(keys(party, "authority").public),
            "sealing_private_key": sealing(party).private_bytes().hex(),
        }
        for party in PARTIES
    }
    (path / "parties.json").write_bytes(text(told))
    (path / "agreement.json").write_bytes(world.agreement)


def write_cards(folder: Folder) -> None:
    pinned = fingerprint(keys("AAA", "authority").public)
    good, given = card("AAA"), {"now_ms": START_MS, "pinned": pinned}
    folder.good("card", {"card.json": good}, given, {"party": "AAA", "version": 1, "log": 1, "revoked": []})
    void = [{"node": fingerprint(keys("AAA", "old node").public), "since_ms": START_MS - DAY_MS}]
    later = card("AAA", version=2, log=2, revoked=tuple(_revocation(**each) for each in void))
    folder.good(
        "card_of_a_second_log", {"card.json": later}, given, {"party": "AAA", "version": 2, "log": 2, "revoked": void}
    )
    folder.bad("card_of_another_authority", "signature", {"card.json": card("CCC")}, given)
    folder.bad("card_over", "expired", {"card.json": good}, given | {"now_ms": START_MS + 90 * DAY_MS})
    folder.bad("card_of_the_future", "malformed", {"card.json": good}, given | {"now_ms": START_MS - 2 * DAY_MS})
    folder.bad("card_changed", "signature", {"card.json": _other_payload(good, b"Party AAA", b"Party AAB")}, given)


def _revocation(node: str, since_ms: int) -> Any:
    return Revocation(node, since_ms)


def _other_payload(envelope: bytes, old: bytes, new: bytes) -> bytes:
    """The same envelope and signatures about another payload."""
    told = json.loads(envelope)
    payload = base64.b64decode(told["payload"])
    if old not in payload:
        raise ValueError(old)
    told["payload"] = base64.b64encode(payload.replace(old, new)).decode()
    return json.dumps(told, separators=(",", ":")).encode()


def write_agreements(folder: Folder, world: World) -> None:
    content = AGREEMENT.encode()
    said = {"id": "STRAIT", "version": 1, "sha256": sha256(content), "signed_by": sorted(PARTIES)}
    folder.good("agreement", {"agreement.json": world.agreement}, {}, said)
    half = sign(PAYLOAD_TYPE, content, [keys("AAA", "authority")])
    folder.good("agreement_signed_by_one", {"agreement.json": half}, {}, said | {"signed_by": ["AAA"]})
    other = _other_payload(world.agreement, b"AMBER", b"GREEN")
    folder.bad("agreement_changed", "signature", {"agreement.json": other}, {})


def write_stream(folder: Folder, world: World) -> None:
    """Two pages from AAA to HUB, what HUB passes on to CCC, a packed page from AAA to CCC, and the receipts."""
    first, second = world.publish(1), world.publish(2)
    _page(folder, world, "page_contents", "AAA", "HUB")
    _bad_pages(folder, world)
    one = world.page("AAA", "HUB", 0)
    at_first = world.position("HUB", "AAA")
    world.take("HUB", "AAA", one)
    _receipts(folder, world, "HUB", "AAA")
    _page(folder, world, "page_packed", "AAA", "CCC")
    _bad_packed(folder, world)
    _page(folder, world, "page_with_hops", "HUB", "CCC")
    _bad_hops(folder, world)
    world.take("CCC", "HUB", world.page("HUB", "CCC", 0))
    world.tick()
    world.publish(101, id=first, version=2)
    world.withdraw(second)
    world.clock.set(world.clock.now_ms() + 1000)
    _page(folder, world, "page_correction_and_withdrawal", "AAA", "HUB", after_n=2)
    two = world.page("AAA", "HUB", 2)
    given = given_page(at_first, "HUB", world.clock.now_ms())
    folder.bad("page_not_next", "misdirected", {"page.bin": two}, given)
    again = given_page(world.position("HUB", "AAA"), "HUB", world.clock.now_ms())
    folder.bad("page_again", "misdirected", {"page.bin": one}, again)
    _bad_second(folder, world, two)
    world.take("HUB", "AAA", two)
    world.tick()
    _page(folder, world, "page_passed_on_withdrawal", "HUB", "CCC", after_n=2)
    _odd_withdrawals(folder, world)
    world.take("CCC", "HUB", world.page("HUB", "CCC", 2))


def _page(folder: Folder, world: World, name: str, sender: str, recipient: str, after_n: int = 0) -> None:
    page = world.page(sender, recipient, after_n)
    inbound, now_ms = world.position(recipient, sender), world.clock.now_ms()
    if not page:
        raise ValueError(name)
    said = said_page(page, inbound, recipient, now_ms)
    folder.good(name, {"page.bin": page}, given_page(inbound, recipient, now_ms), said)


def _bad_pages(folder: Folder, world: World) -> None:
    page, inbound, now_ms = world.page("AAA", "HUB", 0), world.position("HUB", "AAA"), world.clock.now_ms()
    given = given_page(inbound, "HUB", now_ms)
    made = Opened(page, inbound, "HUB", now_ms)
    batch, sent, proof = made.batch, made.sent, made.proof

    def bad(name: str, error: str, content: bytes, **other: Any) -> None:
        folder.bad(f"page_{name}", error, {"page.bin": content}, given | other)

    outer = msgspec.msgpack.decode(page)
    bad("byte_of_a_part_flipped", "signature", flipped(page, len(page) - 1))
    bad("byte_of_enc_flipped", "signature", msgspec.msgpack.encode([*outer[:3], flipped(outer[3], 5), outer[4]]))
    bad("part_dropped", "signature", msgspec.msgpack.encode([*outer[:4], outer[4][:-1]]))
    bad("parts_swapped", "signature", msgspec.msgpack.encode([*outer[:4], [outer[4][0], *outer[4][:0:-1]]]))
    bad("of_another_kind", "misdirected", msgspec.msgpack.encode(["relto-page/2", *outer[1:]]))
    bad("goes_on_behind_its_end", "malformed", page + b"\0")
    bad("cut", "malformed", page[:-1])
    bad("in_long_form", "malformed", b"\xdc\x00\x05" + page[1:])
    bad("batch_id_changed", "signature", msgspec.msgpack.encode([*outer[:2], "0" * 32, *outer[3:]]))
    bad("for_another_recipient", "misdirected", made.sealed(batch=change(batch, to="CCC"), to="CCC"))
    bad("sealed_for_us_signed_for_another", "misdirected", _readdressed(made, "CCC"))
    bad("signed_by_another", "signature", made.sealed(node=keys("CCC")))
    bad("by_another_party", "misdirected", made.sealed(batch=change(batch, by="CCC")))
    bad("of_the_future", "malformed", page, now_ms=now_ms - 600_001)
    bad("chain_wrong", "misdirected", made.sealed(batch=change(batch, previous="00" * 32)))
    bad("count_wrong", "malformed", made.sealed(batch=change(batch, count=3)))
    bad("count_zero", "malformed", made.sealed(batch=change(batch, count=0)))
    bad("empty", "malformed", made.sealed(batch=change(batch, count=0), sent=[]))
    bad("root_false", "proof", made.sealed(batch=change(batch, root="ab" * 32)))
    bad("releases_swapped", "proof", made.sealed(sent=sent[::-1]))
    bad("content_changed", "malformed", made.sealed(sent=[change(sent[0], content=sent[0].content + b" "), sent[1]]))
    leaf = sent[0].record.replace(b'"verdict":"FULL"', b'"verdict":"SANITISED"')
    bad("leaf_false", "proof", made.sealed(sent=[change(sent[0], record=leaf), sent[1]]))
    other = sent[0].record.replace(b'"view":"full"', b'"view":"detail"')
    bad("leaf_of_another_release", "proof", made.sealed(sent=[change(sent[0], record=other), sent[1]]))
    bad("salt_false", "proof", made.sealed(sent=[change(sent[0], salt=bytes(32)), sent[1]]))
    bad("salt_short", "malformed", made.sealed(sent=[change(sent[0], salt=bytes(31)), sent[1]]))
    bad("log_start_false", "proof", made.sealed(batch=change(batch, log_start=1)))
    bad("checkpoint_flipped", "signature", made.sealed(proof=change(proof, checkpoint=_bad_note(proof.checkpoint))))
    bad("checkpoint_of_another", "signature", made.sealed(proof=change(proof, checkpoint=_note("CCC", proof))))
    second = change(proof, checkpoint=_note("AAA", proof, "relto.release/AAA/2"))
    bad("checkpoint_of_another_log", "misdirected", made.sealed(proof=second))
    bad("growth_proof_too_long", "proof", made.sealed(proof=change(proof, growth_proof=(bytes(32),))))
    bad("grown_from_another_size", "proof", made.sealed(proof=change(proof, grown_from=1)))
    bad("agreement_unknown", "agreement", page, agreements=False)
    header, content = sent[0].header, sent[0].content
    ground = header[header.index(b'"agreements":') : header.index(b',"rules":')]
    time = header[header.index(b'"time_ms":') :]
    other_text = ground[:-4] + (b"0" if ground[-4:-3] != b"0" else b"1") + ground[-3:]
    later = b'"time_ms":%d}}' % (now_ms + 600_001)
    not_json = with_content(header, b"[1]")
    for name, error, changed in (
        ("kind_unknown", "malformed", header.replace(b'"maritime.detection"', b'"maritime.submarine"')),
        ("header_not_canonical", "malformed", header.replace(b'"v":1', b'"v": 1', 1)),
        ("header_with_an_unknown_field", "malformed", header.replace(b'"v":1', b'"v":1,"w":1', 1)),
        ("subjects_not_sorted", "malformed", header.replace(b'"subjects":[]', b'"subjects":["B","A"]')),
        ("release_for_another", "misdirected", header.replace(b'"to":"HUB"', b'"to":"CCC"')),
        ("ground_none", "agreement", header.replace(ground, b'"agreements":[]')),
        ("ground_of_another_text", "agreement", header.replace(ground, other_text)),
        ("ground_before_its_term", "agreement", header.replace(time, b'"time_ms":1700000000000}}')),
        ("released_in_the_future", "malformed", header.replace(time, later)),
    ):
        if changed == header:
            raise ValueError(name)
        bad(name, error, rewritten(made, world, changed, content))
    for name, logged in (
        ("number", {"n": 2}),
        ("item", {"item": "0" * 32}),
        ("version", {"version": 2}),
        ("view", {"view": "detail"}),
        ("rules", {"rules": []}),
        ("rendition", {"rendition": ""}),
        ("recipient", {"to": "CCC"}),
    ):
        bad(f"logged_with_another_{name}", "proof", rewritten(made, world, header, content, **logged))
    bad("made_in_the_future", "malformed", made.sealed(batch=change(batch, created_ms=now_ms + 600_001)))
    bad("of_another_batch_id", "misdirected", _under_another_id(made))
    bad("content_of_no_form", "malformed", rewritten(made, world, not_json, b"[1]"))


def _note(party: str, proof: LogProof, origin: str = "") -> bytes:
    """The proof's head under another party's keys, or another log's name."""
    was = open_checkpoint(proof.checkpoint, keys("AAA").public, "AAA")
    return sign_checkpoint(Checkpoint(origin or f"relto.release/{party}", was.size, was.root), keys(party), party)


def _bad_note(note: bytes) -> bytes:
    """The note about one entry more, under the signatures that it has."""
    origin, size, rest = note.split(b"\n", 2)
    return b"\n".join([origin, b"%d" % (int(size) + 1), rest])


def _under_another_id(made: Opened) -> bytes:
    """A batch as it was signed, sealed under another id."""
    return _resealed(_unsealed(msgspec.msgpack.decode(made.sealed()), made.us), made.us, "0" * 32)


def _readdressed(made: Opened, to: str) -> bytes:
    """A batch that was signed for another party, sealed for us under our own name."""
    outer = msgspec.msgpack.decode(made.sealed(batch=change(made.batch, to=to), to=to))
    return _resealed(_unsealed(outer, to), made.us, outer[2])


def _resealed(parts: Sequence[bytes], to: str, batch: str, magic: str = "relto-page/1") -> bytes:
    """Parts as anybody could seal them for a recipient."""
    context = f"{magic}\n{to}\n{batch}".encode()
    sealed = seal(parts, recipient=sealing(to).public_bytes(), context=context, content_key=CONTENT_KEY)
    return bytes(msgspec.msgpack.encode([magic, to, batch, sealed.enc, list(sealed.parts)]))


def _unsealed(outer: Any, us: str) -> tuple[bytes, ...]:
    context = f"{outer[0]}\n{outer[1]}\n{outer[2]}".encode()
    return unseal(Sealed(outer[3], tuple(outer[4])), key=sealing(us), context=context)


def with_content(header: bytes, content: bytes) -> bytes:
    told = json.loads(header)
    header = header.replace(b'"size":%d' % told["size"], b'"size":%d' % len(content))
    return header.replace(told["sha256"].encode(), sha256(content).encode())


def rewritten(made: Opened, world: World, header: bytes, content: bytes, **logged: Any) -> bytes:
    """A page whose first release is another, and in which all else fits: as a cheating releaser would make it."""
    first, told = made.sent[0], json.loads(header)
    release = told["release"] or {"view": "full", "agreements": [], "rules": []}
    changed = {key: release[key] for key in ("view", "agreements", "rules")}
    changed |= {"item": told["id"], "version": told["version"], "rendition": sha256(header)} | logged
    record = json.dumps(json.loads(first.record) | changed, ensure_ascii=False, separators=(",", ":")).encode()
    sent = [change(first, header=header, content=content, record=record), *made.sent[1:]]
    batch = change(made.batch, root=root([leaf_hash(each.header) for each in sent]).hex())
    with world.parties[made.sender].store.read() as books:
        nodes = books.log_nodes()
        hashes = [nodes(0, at) for at in range(batch.log_start)]
    hashes += [leaf_hash(commit(each.record, each.salt)) for each in sent]
    head = Checkpoint(f"relto.release/{made.sender}", len(hashes), root(hashes))
    proof = LogProof(
        sign_checkpoint(head, keys(made.sender), made.sender),
        range_proof(hashes, batch.log_start, len(hashes)),
        consistency_proof(hashes, made.proof.grown_from),
        made.proof.grown_from,
    )
    return made.sealed(batch=batch, sent=sent, proof=proof)


def _bad_second(folder: Folder, world: World, page: bytes) -> None:
    """Pages behind the first: what a log that did not only grow looks like, and a false withdrawal."""
    inbound, now_ms = world.position("HUB", "AAA"), world.clock.now_ms()
    given = given_page(inbound, "HUB", now_ms)
    made = Opened(page, inbound, "HUB", now_ms)
    other = given | {"position": given["position"] | {"root": "cd" * 32}}
    folder.bad("page_log_not_grown", "proof", {"page.bin": page}, other)
    short = made.sealed(proof=change(made.proof, growth_proof=made.proof.growth_proof[:-1]))
    folder.bad("page_growth_proof_cut", "proof", {"page.bin": short}, given)
    run = made.sealed(proof=change(made.proof, run_proof=tuple(flipped(each, 0) for each in made.proof.run_proof)))
    folder.bad("page_run_proof_false", "proof", {"page.bin": run}, given)
    earlier = given | {"position": given["position"] | {"chain": FIRST_CHAIN}}
    folder.bad("page_chain_not_ours", "misdirected", {"page.bin": page}, earlier)


def _bad_packed(folder: Folder, world: World) -> None:
    page, inbound, now_ms = world.page("AAA", "CCC", 0), world.position("CCC", "AAA"), world.clock.now_ms()
    given = given_page(inbound, "CCC", now_ms)
    outer = msgspec.msgpack.decode(page)
    parts = list(_unsealed(outer, "CCC"))

    def resealed(parts: list[bytes]) -> bytes:
        return _resealed(parts, "CCC", outer[2])

    if parts[1][:1] != b"\0":
        raise ValueError("is not packed")
    shorter = resealed([parts[0], parts[1][:-1], *parts[2:]])
    folder.bad("page_packed_part_cut", "malformed", {"page.bin": shorter}, given)
    longer = resealed([parts[0], parts[1] + b"\0", *parts[2:]])
    folder.bad("page_packed_part_goes_on", "malformed", {"page.bin": longer}, given)
    packer = zlib.compressobj(9, 8, -15)
    bomb = b"\0" + packer.compress(bytes(300_000)) + packer.flush()
    folder.bad("page_packed_manifest_swells", "too large", {"page.bin": resealed([bomb, *parts[1:]])}, given)


def _bad_hops(folder: Folder, world: World) -> None:
    """Pages with a hop that does not hold: they are taken, and the item stands on its releaser's word."""
    page, inbound, now_ms = world.page("HUB", "CCC", 0), world.position("CCC", "HUB"), world.clock.now_ms()
    given = given_page(inbound, "CCC", now_ms)
    made = Opened(page, inbound, "CCC", now_ms)
    (hop,) = made.sent[0].hops
    kept = hop.header.replace(b'"rule":"list","to":["AAA","CCC","HUB"]', b'"rule":"none","to":[]')
    direct = Opened(world.page("AAA", "CCC", 0), world.position("CCC", "AAA"), "CCC", now_ms)
    other = next(each.header for each in direct.sent if json.loads(each.header)["id"] == json.loads(hop.header)["id"])
    if kept == hop.header:
        raise ValueError("onward")
    bent = {
        "not_onward": _signed_hop(hop, kept, "HUB"),
        "of_another_stream": _signed_hop(hop, other, "CCC"),
        "statement_for_others": _signed_hop(hop, hop.header, "CCC"),
        "header_changed": change(hop, header=flipped(hop.header, 40)),
        "statement_of_another": change(hop, statement=flipped(hop.statement, 200)),
        "index_wrong": change(hop, index=hop.index + 1),
        "card_of_another": change(hop, card=world.cards["HUB"]),
    }
    header = made.sent[0].header
    mine = b'{"policy":"AAA","level":"OFFICIAL","text":"OFFICIAL"}'
    if mine not in header:
        raise ValueError("marking")
    stripped = header.replace(mine, mine.replace(b"AAA", b"HUB"), 1).replace(
        mine.replace(b"AAA", b"HUB") + b",", b"", 1
    )
    page = rewritten(made, world, stripped, made.sent[0].content)
    said = said_page(page, inbound, "CCC", now_ms)
    said["items"][0]["hops"] = "refused"
    folder.good("page_hop_marking_stripped_is_dropped", {"page.bin": page}, given, said)
    for name, other in bent.items():
        bad = made.sealed(sent=[change(made.sent[0], hops=(other,)), *made.sent[1:]])
        said = said_page(bad, inbound, "CCC", now_ms)
        said["items"][0]["hops"] = "refused"
        folder.good(f"page_hop_{name}_is_dropped", {"page.bin": bad}, given, said)


def _signed_hop(hop: Hop, header: bytes, to: str) -> Hop:
    """The hop with a header in a batch of its own that AAA really signed, for some party."""
    batch = Batch(1, "AAA", to, "0" * 32, 1, 1, leaf_hash(header).hex(), FIRST_CHAIN, 0, START_MS)
    return change(hop, header=header, statement=sign_batch(batch, keys("AAA")), index=0, path=())


def _odd_withdrawals(folder: Folder, world: World) -> None:
    """Withdrawals that say too much, and such as are no word of the originator: they reach their releaser's copy."""
    page, inbound, now_ms = world.page("HUB", "CCC", 2), world.position("CCC", "HUB"), world.clock.now_ms()
    given = given_page(inbound, "CCC", now_ms)
    made = Opened(page, inbound, "CCC", now_ms)
    header, content = made.sent[0].header, made.sent[0].content
    told = json.loads(base64.b64decode(json.loads(content)["payload"])) | {"item": "0" * 32}
    other_item = sign(WITHDRAWAL_TYPE, json.dumps(told, separators=(",", ":")).encode(), (keys("AAA"),))
    forged = _other_payload(content, b'"reason":"In error."', b'"reason":"No reason"')
    for name, other in (("forged", forged), ("of_another_item", other_item), ("left_out", b""), ("of_nonsense", b"{}")):
        changed = rewritten(made, world, with_content(header, other), other)
        said = said_page(changed, inbound, "CCC", now_ms)
        said["items"][0]["withdrawn_by"] = "HUB"
        folder.good(f"page_withdrawal_statement_{name}", {"page.bin": changed}, given, said)
    ref = read(AGREEMENT.encode(), "agreement").ref
    ground = b'"agreements":[{"id":"%s","version":1,"sha256":"%s"}]' % (ref.id.encode(), ref.sha256.encode())
    for name, old, new in (
        ("with_a_ground", b'"agreements":[]', ground),
        ("with_a_subject", b'"subjects":[]', b'"subjects":["A"]'),
        ("over_a_time", b'"until_ms":1', b'"until_ms":2'),
        ("in_a_view", b'"view":"nothing"', b'"view":"notice"'),
        ("of_a_first_version", b'"version":2', b'"version":1'),
    ):
        if old not in header:
            raise ValueError(name)
        changed = rewritten(made, world, header.replace(old, new, 1), content)
        folder.bad(f"page_withdrawal_{name}", "malformed", {"page.bin": changed}, given)


def _receipts(folder: Folder, world: World, recipient: str, sender: str) -> None:
    inbound = world.position(recipient, sender)
    envelope = world.receipt(recipient, sender)
    given = {
        "by": recipient,
        "to": sender,
        "chains": {"0": FIRST_CHAIN, str(inbound.next_n - 1): inbound.chain},
        "log": inbound.log,
        "roots": {"0": EMPTY_ROOT.hex(), str(inbound.log_size): inbound.log_root.hex()},
    }
    payload = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    folder.good("receipt", {"receipt.bin": envelope}, given, payload)
    folder.good("receipt_packed", {"receipt.bin": pack(envelope)}, given, payload)

    def bad(name: str, error: str, content: bytes) -> None:
        folder.bad(f"receipt_{name}", error, {"receipt.bin": content}, given)

    bad("forged", "signature", _other_payload(envelope, b'"up_to_n":2', b'"up_to_n":3'))
    core = world.parties[recipient].core
    bad("chain_never_had", "malformed", receive.receipt(core, change(inbound, chain="ab" * 32)))
    bad("number_never_had", "malformed", receive.receipt(core, change(inbound, next_n=inbound.next_n + 7)))
    bad("root_never_had", "malformed", receive.receipt(core, change(inbound, log_root=bytes(32))))
    bad("of_another", "signature", world.receipt("CCC", "AAA"))
    bad("for_another", "misdirected", receive.receipt(core, change(inbound, peer="CCC")))


def write_papers(folder: Folder, world: World) -> None:
    """Documents, growth, heads, notices, returns, parcels."""
    aaa, hub = world.parties["AAA"], world.parties["HUB"]
    _documents(folder, aaa)
    _heads(folder, world)
    _notices(folder, hub)
    _returns(folder, hub)
    _parcels(folder, world)


def _documents(folder: Folder, aaa: Party) -> None:
    with aaa.store.read() as books:
        whole = documents.write(aaa.core, books, "HUB")
    papers = documents.parse(whole)
    told = {
        "agreements": [sha256(each) for each in papers.agreements],
        "known": documents.mark(*papers.agreements),
        "recalled": [list(each) for each in papers.recalled],
        "more_recalled": papers.more_recalled,
        "heads": [each.decode().splitlines()[:2] for each in papers.heads],
        "cards": [[each.party, each.version, each.sha256] for each in papers.cards],
        "stored": _place(papers.stored),
        "sent": _place(papers.sent),
    }
    folder.good("documents", {"documents.bin": whole}, {}, told)
    short = documents.shortened(whole, known=told["known"], brief=2)
    folder.good("documents_brief", {"documents.bin": short}, {}, told | {"agreements": [], "heads": [], "known": 0})
    plain = msgspec.msgpack.decode(whole)

    def bad(name: str, error: str, **changed: Any) -> None:
        content = msgspec.msgpack.encode({key: value for key, value in (plain | changed).items() if value != "gone"})
        folder.bad(f"documents_{name}", error, {"documents.bin": content}, {})

    bad("field_unknown", "malformed", more=1)
    bad("field_missing", "malformed", recalled="gone")
    bad("recalls_no_item", "malformed", recalled=[["x", 2]])
    bad("recalls_a_first_version", "malformed", recalled=[["0" * 32, 1]])
    bad("too_many_heads", "too large", heads=[b""] * 1025)
    bad("too_many_recalled", "too large", recalled=[["0" * 32, 2]] * 10_001)
    folder.bad("documents_cut", "malformed", {"documents.bin": whole[:-1]}, {})


def _place(told: Any) -> Any:
    return [told.next_n, told.chain, told.log, told.size, told.root.hex()] if told else None


def _heads(folder: Folder, world: World) -> None:
    aaa = world.parties["AAA"]
    with aaa.store.read() as books:
        head = books.head()
    folder.good(
        "head", {"note.txt": head.note}, {"party": "AAA"}, {"log": 1, "size": head.size, "root": head.root.hex()}
    )
    folder.bad("head_changed", "signature", {"note.txt": _bad_note(head.note)}, {"party": "AAA"})
    folder.bad("head_of_another", "malformed", {"note.txt": head.note}, {"party": "HUB"})
    odd = sign_checkpoint(Checkpoint("example.org/log", head.size, head.root), keys("AAA"), "AAA")
    folder.bad("head_of_another_kind_of_log", "malformed", {"note.txt": odd}, {"party": "AAA"})
    old_size = 2
    with aaa.store.read() as books:
        old_root = root_nodes(books.log_nodes(), old_size)
    growth = aaa.answers("HUB", Growth(1, old_size, head.size))
    given = {"old": [old_size, old_root.hex()], "new": [head.size, head.root.hex()]}
    folder.good("growth", {"growth.bin": growth}, given, {"one_log": True})
    folder.good(
        "growth_of_a_forked_log", {"growth.bin": growth}, given | {"old": [old_size, "ab" * 32]}, {"one_log": False}
    )
    folder.bad("growth_flipped", "proof", {"growth.bin": flipped(growth, 40)}, given)
    folder.bad("growth_empty", "proof", {"growth.bin": b""}, given)
    folder.bad("growth_too_long", "proof", {"growth.bin": growth + bytes(32)}, given)
    folder.bad("growth_cut", "proof", {"growth.bin": growth[:-1]}, given)


def _notices(folder: Folder, hub: Party) -> None:
    evidence = (("statement", b"what AAA signed itself"),)
    noted = hub.store.write(
        lambda books: incidents.note(hub.core, books, FORGERY, "AAA", "signature of a page", "A page.", evidence)
    )
    envelope, given = incidents.notice(hub.core, noted), {"by": "HUB", "to": "AAA"}
    payload = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    folder.good("notice", {"notice.json": envelope}, given, payload)
    folder.bad("notice_for_another", "misdirected", {"notice.json": envelope}, given | {"to": "CCC"})
    folder.bad(
        "notice_forged", "signature", {"notice.json": _other_payload(envelope, b'"FORGERY"', b'"ROLLBACK"')}, given
    )
    odd = incidents.notice(hub.core, change(noted, kind="RUDENESS"))
    folder.bad("notice_of_unknown_kind", "malformed", {"notice.json": odd}, given)


def _returns(folder: Folder, hub: Party) -> None:
    """What HUB holds of AAA's releases, as AAA gets it back."""
    content = hub.answers("AAA", Returns(0))
    page = msgspec.msgpack.decode(content, type=ReturnedPage)
    given = {"us": "AAA", "peer": "HUB", "next_n": 1, "chain": FIRST_CHAIN}
    batches = [_said_returned(each) for each in page.batches]
    folder.good("returns", {"returns.bin": content}, given, {"batches": batches})
    folder.good("returns_end", {"returns.bin": msgspec.msgpack.encode(ReturnedPage(1, ()))}, given, {"batches": []})
    first, *rest = page.batches

    def bad(name: str, error: str, *batches: Any) -> None:
        written = msgspec.msgpack.encode(ReturnedPage(1, batches))
        folder.bad(f"returns_{name}", error, {"returns.bin": written}, given)

    bad("batch_left_out", "proof", *rest)
    bad("signed_by_another", "signature", change(first, statement=_resigned(first.statement)))
    bad("hash_changed", "proof", change(first, hashes=flipped(first.hashes, 0)), *rest)
    place, header, body = rest[0].items[0]
    bad("item_at_another_place", "proof", first, change(rest[0], items=((place + 1, header, body),)))
    bad("content_changed", "malformed", first, change(rest[0], items=((place, header, body + b"x"),)))
    bad("salts_of_others", "proof", change(first, salts=flipped(first.salts, 0)), *rest)
    bad("no_hashes", "malformed", change(first, hashes=b""), *rest)


def _said_returned(batch: Returned) -> dict[str, Any]:
    """Which places of a batch hold something, and the digests of the headers that are the originals again."""
    records = msgspec.msgpack.decode(batch.records)
    whole = [header for at, header, _ in batch.items if records[at]["reasons"] == ["AS_HELD"]]
    return {"items": [at for at, _, _ in batch.items], "originals": [sha256(_original(each)) for each in whole]}


def _original(header: bytes) -> bytes:
    """The header that the originator had: the same without its release."""
    told = header[: header.rindex(b',"release":')]
    return told + b',"release":null}'


def _resigned(envelope: bytes) -> bytes:
    told = json.loads(envelope)
    return sign(told["payloadType"], base64.b64decode(told["payload"]), (keys("CCC"),))


def _parcels(folder: Folder, world: World) -> None:
    """A receipt and documents on their way by a relay, and what a relay answers."""
    hub, now_ms = world.parties["HUB"].core, world.clock.now_ms()
    envelope = world.receipt("HUB", "AAA")
    given = {"us": "AAA", "peer": "HUB", "now_ms": now_ms}

    def parcel(what: Any, content: bytes, *, by: str = "HUB", to: str = "AAA", node: str = "HUB") -> bytes:
        return write_parcel(
            what,
            content,
            by=by,
            to=to,
            batch=seed("a parcel").hex()[:32],
            now_ms=now_ms,
            node=keys(node),
            recipient=sealing("AAA").public_bytes(),
            content_key=CONTENT_KEY,
        )

    good = parcel("receipt", envelope)
    folder.good("parcel", {"parcel.bin": good}, given, {"what": "receipt", "sha256": sha256(envelope)})
    with world.parties["HUB"].store.read() as books:
        papers = documents.write(hub, books, "AAA")
    folder.good(
        "parcel_of_documents",
        {"parcel.bin": parcel("documents", papers)},
        given,
        {"what": "documents", "sha256": sha256(papers)},
    )

    def bad(name: str, error: str, content: bytes, **other: Any) -> None:
        folder.bad(f"parcel_{name}", error, {"parcel.bin": content}, given | other)

    bad("flipped", "signature", flipped(good, len(good) - 1))
    bad("for_another", "misdirected", good, us="CCC")
    bad("of_another", "misdirected", parcel("receipt", envelope, by="CCC"))
    bad("signed_by_another", "signature", parcel("receipt", envelope, node="CCC"))
    bad("of_the_future", "malformed", good, now_ms=now_ms - 600_001)
    bad("of_unknown_kind", "malformed", _odd_parcel(envelope, now_ms))
    handed = msgspec.msgpack.encode({"n": 3, "last_n": 4, "content": good, "kept_n": 2, "fetched_n": 1})
    said = {"n": 3, "last_n": 4, "content_sha256": sha256(good), "kept_n": 2, "fetched_n": 1}
    folder.good("collected", {"collected.bin": handed}, {}, said)
    folder.bad("collected_without_a_field", "malformed", {"collected.bin": msgspec.msgpack.encode({"n": 3})}, {})


def _odd_parcel(content: bytes, now_ms: int) -> bytes:
    """A parcel of something that no reader knows, rightly signed and sealed."""
    batch = seed("a parcel").hex()[:32]
    told = {
        "v": 1,
        "by": "HUB",
        "to": "AAA",
        "batch": batch,
        "what": "poem",
        "sha256": sha256(content),
        "time_ms": now_ms,
    }
    parts = [sign(PARCEL_TYPE, json.dumps(told, separators=(",", ":")).encode(), (keys("HUB"),)), content]
    return _resealed(parts, "AAA", batch, "relto-parcel/1")


if __name__ == "__main__":
    sys.stdout.write("\n".join(main()) + "\n")
