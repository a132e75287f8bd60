"""A reader written from the specification reads what the program writes, and refuses what the program refuses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from relto.errors import PeerError
from tests.exchange import second_reader as second
from tests.exchange.make_vectors import PARTIES, VECTORS, Opened, World, rewritten, sealing, with_content
from tests.exchange.second_reader import Known, Position, RefusedError

pytestmark = pytest.mark.pure

CASES = sorted(path.name for path in VECTORS.iterdir() if path.is_dir())
PARTIES_TOLD = json.loads((VECTORS / "parties.json").read_bytes())


def known(us: str, *, agreements: bool = True) -> Known:
    """What a party of the vectors has, read from the files beside them."""
    cards = {
        party: second.read_card(base64.b64decode(told["card"]), told["fingerprint"])
        for party, told in PARTIES_TOLD.items()
    }
    authorities = {party: card.authority for party, card in cards.items()}
    held = [second.read_agreement((VECTORS / "agreement.json").read_bytes(), authorities)] if agreements else []
    return Known(us, bytes.fromhex(PARTIES_TOLD[us]["sealing_private_key"]), cards, held)


def keys(party: str) -> second.Keys:
    return known(party).card(party).node


def position(told: dict[str, Any]) -> Position:
    return Position(told["next_n"], told["chain"], told["log"], told["size"], bytes.fromhex(told["root"]))


# --- one reader a kind of case; each returns what said.json says ---


def card(case: Path, given: Any) -> Any:
    found = second.read_card((case / "card.json").read_bytes(), given["pinned"])
    found.check_times(given["now_ms"])
    return {name: found.told[name] for name in ("party", "version", "log", "revoked")}


def agreement(case: Path, _: Any) -> Any:
    authorities = {party: card.authority for party, card in known("AAA").cards.items()}
    found = second.read_agreement((case / "agreement.json").read_bytes(), authorities)
    name, version, sha256 = found.ref
    return {"id": name, "version": version, "sha256": sha256, "signed_by": sorted(found.signed_by)}


def page(case: Path, given: Any) -> Any:
    who = known(given["us"], agreements=given.get("agreements", True))
    place = position(given["position"])
    return told_page(second.read_page((case / "page.bin").read_bytes(), given["peer"], who, place, given["now_ms"]))


def told_page(found: second.Page) -> Any:
    after = found.position
    return {
        "batch": found.batch,
        "position": {
            "next_n": after.next_n,
            "chain": after.chain,
            "log": after.log,
            "size": after.size,
            "root": after.root.hex(),
        },
        "items": [
            {
                "header": each.header_bytes.decode(),
                "content_sha256": second.sha256(each.content),
                "verdict": each.record["verdict"],
                "hops": "refused" if each.hops_fault else list(each.hops),
                "withdrawn_by": each.withdrawn_by,
            }
            for each in found.releases
        ],
    }


def receipt(case: Path, given: Any) -> Any:
    found = second.read_receipt((case / "receipt.bin").read_bytes(), given["by"], given["to"], keys(given["by"]))
    roots = {int(size): bytes.fromhex(root) for size, root in given["roots"].items()}
    second.check_receipt(found, {int(n): chain for n, chain in given["chains"].items()}, given["log"], roots.get)
    return found


def papers(case: Path, _: Any) -> Any:
    found = second.read_documents((case / "documents.bin").read_bytes())
    agreements = found["agreements"]
    places = {name: found[name] and [*found[name][:4], found[name][4].hex()] for name in ("stored", "sent")}
    return {
        "agreements": [second.sha256(each) for each in agreements],
        "known": second.mark(*agreements) if agreements else 0,
        "recalled": found["recalled"],
        "more_recalled": found["more_recalled"],
        "heads": [each.decode().splitlines()[:2] for each in found["heads"]],
        "cards": found["cards"],
        **places,
    }


def head(case: Path, given: Any) -> Any:
    note = (case / "note.txt").read_bytes()
    party, log = second.log_of(note)
    second.need(party == given["party"], "malformed", "of another party")
    found = second.read_head(note, party, keys(party))
    return {"log": log, "size": found.size, "root": found.root.hex()}


def growth(case: Path, given: Any) -> Any:
    old, new = ((size, bytes.fromhex(root)) for size, root in (given["old"], given["new"]))
    return {"one_log": second.is_one_log(old, new, (case / "growth.bin").read_bytes())}


def notice(case: Path, given: Any) -> Any:
    return second.read_notice((case / "notice.json").read_bytes(), given["by"], given["to"], keys(given["by"]))


def returns(case: Path, given: Any) -> Any:
    content = (case / "returns.bin").read_bytes()
    found = second.read_returns(content, given["peer"], known(given["us"]), given["next_n"], given["chain"])
    return {
        "batches": [
            {"items": list(each.items), "originals": [second.sha256(one) for one in each.originals.values()]}
            for each in found
        ]
    }


def parcel(case: Path, given: Any) -> Any:
    content = (case / "parcel.bin").read_bytes()
    what, thing = second.read_parcel(content, given["peer"], known(given["us"]), given["now_ms"])
    return {"what": what, "sha256": second.sha256(thing)}


def collected(case: Path, _: Any) -> Any:
    found = second.read_collected((case / "collected.bin").read_bytes())
    return {
        **{key: value for key, value in found.items() if key != "content"},
        "content_sha256": second.sha256(found["content"]),
    }


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
    with pytest.raises(RefusedError) as refused:
        read(case, given)
    assert refused.value.word == (case / "error.txt").read_text()


def test_every_kind_of_vector_has_cases_of_both_results() -> None:
    kinds = {(name.split("_", 1)[0], name.rsplit("_", 1)[1]) for name in CASES}
    assert kinds == {(kind, result) for kind in READERS for result in ("pass", "fail")}


def test_the_second_reader_imports_nothing_of_the_program() -> None:
    text = Path(second.__file__).read_text("utf-8")
    assert "relto." not in "".join(line for line in text.splitlines() if line.startswith(("import", "from")))


# --- what a stick carries ---

BUNDLES = VECTORS.parent / "bundle"


def carried(case: Path) -> Any:
    if case.name.startswith("packed_"):
        assert second.unpack((case / "part").read_bytes(), 1000) == (case / "content").read_bytes()
        return
    header, frames = second.read_bundle((case / "file.bundle").read_bytes())
    said = json.loads((case / "said.json").read_bytes())
    assert header == said["header"]
    assert [[kind, inside.decode()] for kind, inside in frames] == said["frames"]


@pytest.mark.parametrize("name", sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()))
def test_vector_of_a_bundle(name: str) -> None:
    if name.endswith("_pass"):
        carried(BUNDLES / name)
        return
    with pytest.raises(RefusedError):
        carried(BUNDLES / name)


# --- fresh pages, made by the program now ---


@pytest.mark.parametrize("seed", range(3))
def test_fresh_streams_are_read_to_the_end(seed: int) -> None:
    random = Random(seed)
    world = World(random)
    places = {pair: Position() for pair in (("AAA", "HUB"), ("AAA", "CCC"), ("HUB", "CCC"))}
    live: list[str] = []
    versions: dict[str, int] = {}
    read: dict[tuple[str, str], list[second.Release]] = {pair: [] for pair in places}
    for _ in range(5):
        for _ in range(random.randint(1, 4)):
            live.append(world.publish(random.randrange(10_000)))
            versions[live[-1]] = 1
        if random.random() < 0.6:
            id = random.choice(live)
            versions[id] += 1
            world.publish(random.randrange(10_000), id=id, version=versions[id])
        if random.random() < 0.6:
            world.withdraw(live.pop(random.randrange(len(live))))
        world.tick()
        for sender, recipient in places:
            while taken := world.page(sender, recipient, places[sender, recipient].next_n - 1):
                place = places[sender, recipient]
                found = second.read_page(taken, sender, known_now(world, recipient), place, world.clock.now_ms())
                places[sender, recipient] = found.position
                read[sender, recipient] += found.releases
                world.take(recipient, sender, taken)
                signed = world.receipt(recipient, sender)
                second.read_receipt(signed, recipient, sender, keys(recipient))
                world.give_receipt(sender, recipient, signed)
    for (sender, recipient), place in places.items():
        ours = world.position(recipient, sender)
        assert (ours.next_n, ours.chain, ours.log_size) == (place.next_n, place.chain, place.size)
    assert sum(len(each) for each in read.values()) > 15
    hub = read["HUB", "CCC"]
    assert all(not each.hops_fault for each in hub)
    assert any(each.hops == ("AAA",) for each in hub)
    for each in read["AAA", "HUB"] + hub:
        assert each.withdrawn_by in ("", "AAA")


def known_now(world: World, us: str) -> Known:
    """What a party of a fresh world has; its cards and agreement were signed just now."""
    cards = {party: second.read_card(world.cards[party], None) for party in PARTIES}
    authorities = {party: card.authority for party, card in cards.items()}
    held = second.read_agreement(world.agreement, authorities)
    return Known(us, sealing(us).private_bytes(), cards, [held])


def test_no_flipped_byte_of_a_fresh_page_is_read() -> None:
    world, random = World(Random(9)), Random(10)
    world.publish(1)
    whole = world.page("AAA", "HUB", 0)
    who, now_ms = known_now(world, "HUB"), world.clock.now_ms()
    second.read_page(whole, "AAA", who, Position(), now_ms)
    for at in sorted({0, 1, 2, 20, 60, *(random.randrange(len(whole)) for _ in range(40))}):
        bent = whole[:at] + bytes([whole[at] ^ (1 << random.randrange(8))]) + whole[at + 1 :]
        with pytest.raises(RefusedError):
            second.read_page(bent, "AAA", who, Position(), now_ms)
        with pytest.raises(PeerError):
            world.take("HUB", "AAA", bent)


WORDS = ["", "A", "a.b", "é", "none", "FULL", "\u2028", "\u202e", "\x7f", "\ufeff"]
ESCAPED = ["\\u0041", "\\n", "\\u0000", "\\ud800", "\\/"]
LISTS = [
    '["A"]',
    '["B","A"]',
    '["A","A"]',
    "[1]",
    '[{"tag":"NOFORN","type":"restrictive","values":[]}]',
    '[{"tag":"B","type":"permissive","values":["x"]},{"tag":"B","type":"restrictive","values":[]}]',
    '[{"tag":"B","type":"restrictive","values":[]},{"tag":"B","type":"permissive","values":["x"]}]',
    '[{"selector":"a","handling":{"markings":[],"categories":[],"tlp":"","licences":[]}}]',
]
CONTENTS = [
    b"{}",
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":1e999}',
    b'{"a":9007199254740992}',
    b"\xef\xbb\xbf{}",
    b'{"a":"\\u0000"}',
    b'{"a":"\\ud800"}',
    '{"a":"\u202e"}'.encode(),
    b'{"\\u202e":1}',
    b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
    b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    b'{"a":"\xff"}',
    b'{"a":01}',
    b' {"a":-0} ',
    b'{"a":1}x',
    b"",
]


def edited(random: Random, header: str) -> str:
    """The header with one thing in it changed: a character, a number, a text, a list, or a piece twice."""
    at = random.randrange(len(header))
    how = random.randrange(5)
    if how == 0:
        return header[:at] + chr(random.randrange(32, 127)) + header[at + 1 :]
    if how == 1:
        return header[: at + 20] + header[at:]
    pattern, words = (
        (r"-?\d+", ["-1", "0", "1", "2", "1e3", "1.0", "null", "true", '"x"', "9007199254740991"]),
        (r'"[^"]*"', [f'"{word}"' for word in WORDS + ESCAPED] + ["null", "1", "[]"]),
        (r"\[\]", LISTS),
    )[how - 2]
    found = random.choice(list(re.finditer(pattern, header)))
    return header[: found.start()] + random.choice(words) + header[found.end() :]


def test_both_readers_take_and_refuse_the_same_releases() -> None:
    """Headers and contents bent at random, in pages that their releaser really signed, logged and sealed."""
    random, world = Random(11), World(Random(12))
    world.publish(1)
    whole, who, now_ms = world.page("AAA", "HUB", 0), known_now(world, "HUB"), world.clock.now_ms()
    made = Opened(whole, world.position("HUB", "AAA"), "HUB", now_ms)
    header, content = made.sent[0].header, made.sent[0].content
    state = world.parties["HUB"].store.state
    bent = [(with_content(header, each), each) for each in CONTENTS]
    bent += [(edited(random, header.decode()).encode(), content) for _ in range(90)]
    words: list[str] = []
    for changed, inside in bent:
        try:
            page = rewritten(made, world, changed, inside)
        except (ValueError, KeyError, TypeError):  # no release in it that a log could speak of
            continue
        world.parties["HUB"].store.state = state
        words.append(our_word(world, page))
        assert their_word(who, page, now_ms) == words[-1], changed
    assert {"taken", "malformed", "agreement"} <= set(words)
    assert len(words) > 60


def our_word(world: World, page: bytes) -> str:
    try:
        world.take("HUB", "AAA", page)
    except PeerError as error:
        return error.peer_text
    return "taken"


def their_word(who: Known, page: bytes, now_ms: int) -> str:
    try:
        second.read_page(page, "AAA", who, Position(), now_ms)
    except RefusedError as error:
        return error.word
    return "taken"
