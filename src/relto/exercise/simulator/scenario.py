"""What happens in a world: who is there, what they have agreed, what their operators do, and what fails, all by chance.

Each kind of fault is on or off in a seed, so that some worlds have all of it and some have one thing only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from relto.clock import format_utc
from relto.errors import OurError, ReltoError
from relto.exchange.books import Books, Filed, Partner, SignedAgreement
from relto.exchange.cards import CARD_VERSION, OWN_CARD
from relto.exchange.core import Core
from relto.exchange.documents import take_agreement
from relto.exchange.filing import file
from relto.exchange.steps import Steps, Write
from relto.exchange.withdraw import next_version, withdraw
from relto.exercise.simulator.adversary import corrupt_party
from relto.exercise.simulator.checker import Checker
from relto.exercise.simulator.engine import RETRY_MS, Clock, Node, Weather, World
from relto.exercise.simulator.memory import EMPTY, MemoryBooks, MemoryStore
from relto.exercise.simulator.plans import CAST, POOL, SUBJECTS, Text, plan
from relto.exercise.simulator.primitives import START_MS, identity
from relto.item import Item, Place, new_item
from relto.labels import NOFORN, REL_TO, Category, Handling, Label, Marking, Portion, Tlp, handling

STORM_MS = 24_000
SETTLE_MS = 3 * RETRY_MS + 12_000  # three retry periods, and what the longest delay may add
_MEDIA = {"maritime.detection": "application/geo+json", "cyber.vulnerability": "application/json"}


@dataclass(slots=True)
class Scenario:
    """A world, its checker, and what the operators of a seed do."""

    world: World
    checker: Checker
    texts: tuple[Text, ...]
    real: bool
    items: list[tuple[Node, Item]] = field(default_factory=list)


def build(rng: Random, parties: int, *, real: bool) -> Scenario:
    """Draw a whole world; nothing has happened in it yet."""
    scenario, late = _laid_out(rng, parties, real)
    _weather(scenario)
    for text, party, at_ms in late:
        scenario.world.after(at_ms, _sign_late, scenario, text, party)
    _operators(scenario)
    _start(scenario)
    return scenario


def build_calm(rng: Random, parties: int) -> Scenario:
    """A world in which nothing fails and nobody does anything by itself."""
    scenario, _ = _laid_out(rng, parties, real=False)
    _start(scenario)
    return scenario


def _start(scenario: Scenario) -> None:
    for node in scenario.world.nodes.values():
        node.start()


def _laid_out(rng: Random, parties: int, real: bool) -> tuple[Scenario, list[tuple[Text, str, int]]]:
    """The nodes with their disks as the parties have paired and signed, and who will sign later."""
    world = World(rng)
    texts = plan(parties, rng.randrange(POOL))
    signed: dict[str, set[str]] = {text.sha256: set() for text in texts}
    for party in CAST[:parties]:
        world.nodes[party] = Node(world, identity(party, real), MemoryStore(), Clock(world))
    checker = Checker(world, signed, real=real)
    scenario = Scenario(world, checker, texts, real)
    late = _sign(scenario, signed)
    for node in world.nodes.values():
        node.store = MemoryStore(_found(scenario, node, signed), checker.watch(node))
    return scenario, late


def heal(world: World) -> None:
    """All faults stop: links hold, clocks agree, disks are sound, everybody is up."""
    world.healed = True
    world.weather = Weather(gaps=world.weather.gaps, workers=world.weather.workers)
    world.cut.clear()
    for node in world.nodes.values():
        node.store.heal()
        node.serve = None
        if node.clock.skew_ms:
            node.clock.set(0)
        world.restart(node)


# --- the agreements ---


def _sign(scenario: Scenario, signed: dict[str, set[str]]) -> list[tuple[Text, str, int]]:
    """Most have signed before the world begins; who has not does so while it runs, or never."""
    rng, late = scenario.world.rng, list[tuple[Text, str, int]]()
    slow = rng.choice((0.0, 0.0, 0.2, 0.4))
    for text in scenario.texts:
        for party in text.parties:
            if text.version == 1 and rng.random() >= slow:
                signed[text.sha256].add(party)
            elif rng.random() < 0.9:
                late.append((text, party, rng.randint(500, STORM_MS - 6000)))
    return late


def _found(scenario: Scenario, node: Node, signed: dict[str, set[str]]) -> Any:
    """A disk with the partners paired and the agreements as they stand."""
    books = MemoryBooks(EMPTY)
    books.put_setting(OWN_CARD, node.identity.card)
    books.put_setting(CARD_VERSION, b"1")
    for other in scenario.world.nodes.values():
        if other is not node:
            kept = other.identity
            books.keep_partner(Partner(kept.party, kept.card, kept.fingerprint, START_MS))
    for text in scenario.texts:
        by = tuple(sorted(signed[text.sha256]))
        if by and node.party in text.parties:
            envelope = text.envelope(by, scenario.real)
            books.keep_agreement(
                SignedAgreement(text.id, text.version, text.sha256, text.content, envelope, by, START_MS)
            )
    return books.state


def _sign_late(scenario: Scenario, text: Text, party: str) -> None:
    scenario.checker.signed[text.sha256].add(party)
    envelope = text.envelope((party,), scenario.real)

    def steps(core: Core) -> Steps[SignedAgreement]:
        stored: SignedAgreement = yield Write(lambda books: take_agreement(core, books, envelope))
        return stored

    _operate(scenario, scenario.world.nodes[party], "sign", steps, tries=20)


# --- what fails ---


def _weather(scenario: Scenario) -> None:
    world, rng = scenario.world, scenario.world.rng

    def perhaps(*levels: float) -> float:
        return rng.choice((0.0, 0.0, *levels))

    world.weather = Weather(
        loss=perhaps(0.05, 0.3),
        duplicates=perhaps(0.1, 0.3),
        replays=perhaps(0.05, 0.2),
        crashes=perhaps(0.005, 0.02),
        latency_ms=rng.choice((10, 60, 900)),
        gaps=rng.choice((0.1, 0.4, 0.8)),
        gap_ms=rng.choice((25, 25, 400, 1500)),
        ticks=perhaps(0.3),
        workers=rng.choice((1, 1, 1, 2)),
    )
    nodes = list(world.nodes.values())
    if len(nodes) > 2 and rng.random() < 0.3:
        corrupt_party(world, rng.choice(nodes), STORM_MS)
    for _ in range(rng.choice((0, 0, 1, 3))):
        _partition(world)
    for _ in range(rng.choice((0, 0, 2, 5))):
        skew_ms = rng.choice((-300_000, -8000, -8000, -40, 40, 8000, 300_000)) + rng.randint(-50, 50)
        world.after(rng.randrange(STORM_MS), rng.choice(nodes).clock.set, skew_ms)
    for _ in range(rng.choice((0, 0, 1, 4))):
        failing = rng.choice(("before", "after"))
        world.after(rng.randrange(STORM_MS), _break_disk, rng.choice(nodes), rng.randrange(6), failing)
    for _ in range(rng.choice((0, 1, 2))):
        world.after(rng.randrange(STORM_MS), world.crash, rng.choice(nodes))


def _break_disk(node: Node, calls: int, failing: Any) -> None:
    node.store.fail(calls, failing)


def _partition(world: World) -> None:
    """Some ways are cut for a while, mostly both."""
    rng, names = world.rng, list(world.nodes)
    side = rng.sample(names, rng.randint(1, len(names) - 1))
    ways = [(a, b) for a in side for b in names if b not in side]
    if rng.random() < 0.7:
        ways += [(b, a) for a, b in ways]
    begins_ms = rng.randrange(STORM_MS)
    world.after(begins_ms, world.cut.update, ways)
    world.after(begins_ms + rng.randint(1000, 12_000), world.cut.difference_update, ways)


# --- what operators do ---


def _operate(scenario: Scenario, node: Node, name: str, begin: Callable[[Core], Steps[Any]], *, tries: int = 3) -> None:
    """Let an operator do something; if the node is down or fails in it, it may be done again later."""
    world = scenario.world

    def again() -> None:
        if tries > 1 and not world.healed and (tries > 3 or world.rng.random() < 0.7):
            world.after(world.rng.randint(300, 4000), lambda: _operate(scenario, node, name, begin, tries=tries - 1))

    def done(_value: Any, error: ReltoError | None) -> None:
        if error is not None:
            again()
        else:
            world.woken(node)

    if node.alive:
        world.begin(node, name, begin(node.core), done, again)
    else:
        again()


def _operators(scenario: Scenario) -> None:
    world, rng = scenario.world, scenario.world.rng
    nodes = list(world.nodes.values())
    for number in range(rng.randint(2, 7)):
        world.after(_moment(rng), _ingest, scenario, rng.choice(nodes), f"{rng.getrandbits(112):028x}{number:04x}")
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        world.after(_moment(rng), _quarantine, scenario)
    for _ in range(rng.choice((0, 0, 1))):
        world.after(_moment(rng), _purge, scenario)


def _moment(rng: Random) -> int:
    return rng.randint(300, STORM_MS) if rng.random() < 0.7 else rng.randint(300, 6000)


def _ingest(scenario: Scenario, node: Node, id: str) -> None:
    item = make_item(scenario.world.rng, node, id, list(scenario.world.nodes))
    scenario.items.append((node, item))
    file_item(scenario, node, item)
    _afterwards(scenario, node, item)


def _afterwards(scenario: Scenario, node: Node, item: Item) -> None:
    """It is corrected, withdrawn, or the same bytes are read once more, in any order and soon or late."""
    world, rng = scenario.world, scenario.world.rng
    for chance, act in ((0.3, correct_item), (0.4, withdraw_item), (0.2, file_item), (0.1, correct_item)):
        at_ms = world.now_ms + rng.randint(1, rng.choice((300, 3000, 12_000)))
        if rng.random() < chance and at_ms < STORM_MS:
            world.after(at_ms - world.now_ms, act, scenario, node, item)


def file_item(scenario: Scenario, node: Node, item: Item) -> None:
    """An item is read, for the first time or once more."""
    urgency = scenario.world.rng.choice((0, 0, 0, 0, 1, 2))

    def steps(core: Core) -> Steps[int]:
        filed = Filed(item, "", received_ms=core.now_ms(), urgency=urgency)
        new: int = yield Write(lambda books: file(books, [filed]).new)
        return new

    _operate(scenario, node, "ingest", steps)


def correct_item(scenario: Scenario, node: Node, item: Item) -> None:
    """Its originator gives an item its next version."""
    changed = make_item(scenario.world.rng, node, item.header.id, list(scenario.world.nodes))

    def correct(core: Core, books: Books) -> int:
        version = next_version(core, books, item.header.id)
        if books.floors([item.header.id])[core.party, item.header.id].dead:
            raise OurError("is withdrawn.")
        return file(books, [Filed(_of_version(changed, version), "", received_ms=core.now_ms())]).new

    def steps(core: Core) -> Steps[int]:
        new: int = yield Write(lambda books: correct(core, books))
        return new

    _operate(scenario, node, "correct", steps)


def _of_version(item: Item, version: int) -> Item:
    header = item.header
    return new_item(
        id=header.id,
        version=version,
        kind=header.kind,
        origin=header.origin,
        observed_ms=header.observed_ms,
        place=header.place,
        subjects=header.subjects,
        label=header.label,
        content=item.content,
        media_type=header.media_type,
    )


def withdraw_item(scenario: Scenario, node: Node, item: Item) -> None:
    """Its originator withdraws an item."""
    _operate(scenario, node, "withdraw", lambda core: withdraw(core, item.header.id, "a mistake"))


def _quarantine(scenario: Scenario) -> None:
    """A party or an item goes into quarantine, and mostly out of it later."""
    world, rng = scenario.world, scenario.world.rng
    node = rng.choice(list(world.nodes.values()))
    names = [name for name in world.nodes if name != node.party] + [item.header.id for _, item in scenario.items]
    name = frozenset({rng.choice(names)})

    def put(_core: Core) -> Steps[None]:
        yield Write(lambda books: books.set_quarantined(books.quarantined() | name))

    def lift(_core: Core) -> Steps[None]:
        yield Write(lambda books: books.set_quarantined(books.quarantined() - name))

    _operate(scenario, node, "quarantine", put)
    if rng.random() < 0.6:
        world.after(rng.randint(1000, 10_000), _operate, scenario, node, "quarantine", lift)


def _purge(scenario: Scenario) -> None:
    node = scenario.world.rng.choice(list(scenario.world.nodes.values()))

    def purge(core: Core) -> Steps[int]:
        gone: int = yield Write(lambda books: books.purge(core.now_ms()))
        return gone

    _operate(scenario, node, "purge", purge)


# --- items ---


def make_item(rng: Random, node: Node, id: str, cast: list[str]) -> Item:
    """An item of a node, invented."""
    kind = "maritime.detection" if rng.random() < 0.8 else "cyber.vulnerability"
    observed_ms = node.clock.now_ms() - rng.randint(0, 4000)
    lat_e7, lon_e7 = rng.randint(-80_0000, 80_0000) * 1000, rng.randint(-179_0000, 179_0000) * 1000
    placed = kind == "maritime.detection"
    content = _detection(rng, lat_e7, lon_e7, observed_ms) if placed else {"cveID": f"CVE-2026-{rng.randint(1, 99999)}"}
    return new_item(
        id=id,
        kind=kind,
        origin=node.party,
        observed_ms=observed_ms,
        place=Place(lat_e7, lon_e7, lat_e7, lon_e7) if placed else None,
        subjects=tuple(sorted(rng.sample(SUBJECTS, rng.choice((0, 1, 1, 2))))),
        label=_label(rng, node.party, cast),
        content=json.dumps(content, separators=(",", ":")).encode(),
        media_type=_MEDIA[kind],
    )


def _detection(rng: Random, lat_e7: int, lon_e7: int, observed_ms: int) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon_e7 / 10**7, lat_e7 / 10**7]},
        "properties": {
            "sensor": rng.choice(("rf", "sar")),
            "observed": format_utc(observed_ms),
            "exercise": True,
            "confidence": 0.8,
            "length_m": rng.randint(20, 300),
            "rf": {"band": "X", "pulse": f"{rng.randint(1, 9)} us"},
            "provider": "EXERCISE",
        },
    }


def _label(rng: Random, party: str, cast: list[str]) -> Label:
    level = rng.choice(("LOW", "LOW", "HIGH"))
    categories: tuple[Category, ...] = ()
    if rng.random() < 0.12:
        named = tuple(rng.choice((cast[:2], cast[1:])))
        categories = (Category(REL_TO, "permissive", named),)
    elif rng.random() < 0.05:
        categories = (Category(NOFORN, "restrictive"),)
    tlp: Tlp = rng.choice(("", "", "", "", "", "GREEN", "GREEN", "AMBER", "RED"))
    whole = handling(markings=(Marking(party, level, level),), categories=categories, tlp=tlp)
    stricter = Handling(markings=(Marking(party, "HIGH", "HIGH"),))
    portions = (Portion("properties.rf", stricter),) if rng.random() < 0.1 else ()
    return Label(whole, (party,), portions)
