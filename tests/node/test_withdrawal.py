"""Withdrawal, narrowing and correction as users have them, on real nodes: gone from every reader, and it stays gone."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import delete

from relto.api.pages import pages_app
from relto.bounds import BOUNDS
from relto.clock import DAY_MS, FixedClock
from relto.errors import MalformedError, OurError, PeerError
from relto.exchange import documents, receive
from relto.exchange import share as sharing
from relto.exchange.answer import answer
from relto.exchange.books import WITHDRAWAL, Filed, Released, Stored
from relto.exchange.steps import Ask, Read, Write
from relto.exchange.withdraw import (
    KIND,
    MEDIA,
    Withdrawal,
    open_withdrawal,
    sign_withdrawal,
)
from relto.exercise.network import Network
from relto.item import new_item
from relto.labels import REL_TO, Category, Handling, Label, handling
from relto.node import audit, read, revise
from relto.node.catchup import GRACE_S, CatchUp
from relto.node.holders import holders
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.node.report import report
from relto.node.run import pull, refresh, share
from relto.store.records import Selection
from relto.store.schema import partners
from tests.node.conftest import START, agreement, detection, publish

MakeNetwork = Callable[..., Network]
TOKEN = "0" * 32
PARTIES = ("USA", "JPN", "PHL")


def bound(make_network: MakeNetwork, parties: tuple[str, ...], *texts: bytes) -> Network:
    network: Network = make_network(parties, (), START)
    network.conclude([(f"{at}.toml", text) for at, text in enumerate(texts)])
    network.settle()
    return network


@pytest.fixture
def network(make_network: MakeNetwork) -> Network:
    """USA, JPN and PHL give each other everything, and may pass nothing on."""
    return bound(make_network, PARTIES, agreement("ALL", PARTIES))


CHAIN = b"""
format = "relto-agreement/1"
id = "HUB"
version = 1
title = "JPN gives USA, which passes it on to PHL (test)"
illustration = true
note = "Invented for a test."
term = { from = 2026-01-01T00:00:00Z, until = 2028-01-01T00:00:00Z, notice_days = 30 }
party = [
  { id = "USA", name = "U", tier = "T3" },
  { id = "JPN", name = "J", tier = "T3" },
  { id = "PHL", name = "P", tier = "T3" },
]
level = [{ name = "OFFICIAL", USA = ["OFFICIAL"], JPN = ["OFFICIAL"], PHL = ["OFFICIAL"] }]
[[grant]]
id = "to-hub"
text = "JPN gives the hub its detections; the hub may pass them on to PHL."
from = ["JPN"]
to = ["USA"]
by = ["JPN"]
domains = ["maritime"]
ceiling = "OFFICIAL"
view = "full"
onward = ["PHL"]
[[grant]]
id = "from-hub"
text = "The hub passes them on."
from = ["JPN"]
to = ["PHL"]
by = ["USA"]
domains = ["maritime"]
ceiling = "OFFICIAL"
view = "full"
"""


@pytest.fixture
def chain(make_network: MakeNetwork) -> Network:
    """JPN gives USA, which passes it on to PHL; JPN gives PHL nothing."""
    return bound(make_network, PARTIES, CHAIN)


def later(network: Network, ms: int) -> None:
    clock = network.clock
    assert isinstance(clock, FixedClock)
    clock.set(clock.now_ms() + ms)


def rows(node: Node, item: str) -> list[Stored]:
    with node.store.read() as books:
        return books.versions(item)


def item_of(node: Node) -> str:
    """The only item that may be read."""
    (stored,), total = read.listing(node, Selection())
    assert total == 1
    return read.header_of(stored).id


def given(network: Network, number: int = 1, by: str = "USA", **defaults: Any) -> str:
    """An item that is published and has arrived wherever it may."""
    publish(network.nodes[by], number, **defaults)
    network.settle()
    return item_of(network.nodes[by])


def version_two(number: int = 1) -> bytes:
    feature = json.loads(detection(number))
    feature["properties"]["remarks"] = f"contact {number}, corrected"
    return json.dumps(feature).encode()


def only(*parties: str) -> Handling:
    return handling(categories=(Category(REL_TO, "permissive", parties),))


def readable(node: Node) -> list[tuple[str, int, str]]:
    """What may be read: (id, version, from)."""
    found, total = read.listing(node, Selection())
    assert total == len(found)
    return sorted((read.header_of(each).id, read.header_of(each).version, each.by) for each in found)


def correct(node: Node, item: str, content: bytes | None = None, **defaults: Any) -> revise.Revised:
    return revise.correct(node, item, content or version_two(), "two.geojson", Defaults(level="OFFICIAL", **defaults))


def texts(node: Node, item: str) -> dict[str, str]:
    """Everything that a reader can ask a node for, by where it was asked: the answer in words."""
    found: dict[str, str] = {}
    listed, total = read.listing(node, Selection())
    searched, count = read.listing(node, Selection(text="RF"))
    found["list"] = repr(listed)
    found["search"] = repr(searched)
    reading = node.reading()
    with node.store.read() as books:
        found["counts"] = f"{total} {count} {books.count(Selection(), reading)}" * (total > 0)
        found["prefix"] = repr(books.starting_with(item[:6], reading))
        found["by id"] = repr(books.find(item, reading))
        found["holdings"] = repr(books.holdings(reading))
    found["report"] = repr(report(node).held) * report(node).items
    for name, ask in (("find", read.find), ("prove", audit.prove)):
        found[name] = told(lambda: ask(node, item))  # noqa: B023
    found["why"] = told(lambda: read.why(node, item, "KOR"))
    found["verdicts"] = told(lambda: read.verdicts(node, read.find(node, item)))
    for path in ("/", "/?q=RF", f"/?item={item}", f"/item/{item}", f"/item/{item}?to=KOR", "/status"):
        page = asked(pages_app(node, TOKEN), path)
        found[f"page {path}"] = page.text if page.status_code == 200 else ""
    return found


def asked(app: Any, path: str, token: str = TOKEN) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.get(path, headers={"cookie": f"relto-80={token}"})

    return asyncio.run(ask())


def told(ask: Callable[[], Any]) -> str:
    try:
        return repr(ask())
    except OurError:
        return ""


def names(text: str, item: str) -> bool:
    return item in text or repr(bytes.fromhex(item))[2:-1] in text or "contact 1" in text


# --- every reader ---


@pytest.mark.parametrize("act", ["withdrawn", "narrowed", "purged"])
def test_no_reader_sees_what_is_withdrawn(network: Network, act: str) -> None:
    item = given(network)
    jpn = network.nodes["JPN"]
    before = texts(jpn, item)
    blind = {where for where, text in before.items() if not text}
    assert blind <= {"why"}, "each way to read shows it before, or it proves nothing after"
    seen = {where for where, text in before.items() if names(text, item)}
    assert {"list", "search", "prefix", "by id", "find", "page /", f"page /item/{item}"} <= seen
    if act == "narrowed":
        revise.narrow(network.nodes["USA"], item, only("PHL"))
    else:
        revise.withdraw(network.nodes["USA"], item, "A mistake.")
    network.settle()
    if act == "purged":
        jpn.store.write(lambda books: books.purge(jpn.now_ms()))
    after = texts(jpn, item)
    held = {where for where, text in after.items() if names(text.replace(f"/item/{item}", ""), item)}
    assert held - {f"page /?item={item}"} == set()
    for where in ("counts", "report", "find", "prove", "verdicts", f"page /item/{item}"):
        assert after[where] == "", where
    assert all(each.content == b"" for each in rows(jpn, item) if each.view != "nothing")


def test_a_newer_version_takes_the_place_of_the_older_one_with_every_reader(network: Network) -> None:
    usa, item = network.nodes["USA"], given(network)
    assert correct(usa, item) == revise.Revised(item, 2)
    assert network.settle() == 2
    for party in PARTIES:
        node = network.nodes[party]
        assert readable(node) == [(item, 2, "" if party == "USA" else "USA")]
        assert "contact 1, corrected" in texts(node, item)["list"]
        assert read.header_of(read.find(node, item)).version == 2
        assert all('contact 1"' not in text for text in texts(node, item).values())
    page = asked(pages_app(usa, TOKEN), f"/item/{item}").text
    assert "2, supersedes version 1" in page and "v1 2026-11-02T06:00:00Z, v2 2026-11-02T06:00:00Z" in page
    assert "WITHDRAWN" not in asked(pages_app(usa, TOKEN), "/log").text


def test_the_log_and_the_page_of_the_log_tell_of_withdrawals(network: Network) -> None:
    usa = network.nodes["USA"]
    item = given(network)
    revise.narrow(usa, item, only("PHL"))
    network.settle()
    revise.withdraw(usa, item, "A mistake.")
    network.settle()
    told_ = [(each.to, each.version, each.verdict, each.reasons) for each in read.log_records(usa, limit=20)]
    assert sorted(told_) == [
        ("JPN", 1, "FULL", ("AS_HELD",)),
        ("JPN", 2, "WITHDRAWN", ("NARROWED",)),
        ("PHL", 1, "FULL", ("AS_HELD",)),
        ("PHL", 2, "FULL", ("AS_HELD",)),
        ("PHL", 3, "WITHDRAWN", ("WITHDRAWN",)),
    ]
    audit.check_log(usa)
    page = asked(pages_app(usa, TOKEN), "/log")
    assert page.status_code == 200 and "NARROWED" in page.text


# --- who may, and what is refused ---


def test_only_the_originator_withdraws_corrects_and_narrows(network: Network) -> None:
    item = given(network)
    jpn = network.nodes["JPN"]
    for act in (
        lambda: revise.withdraw(jpn, item, "Not ours."),
        lambda: correct(jpn, item),
        lambda: revise.narrow(jpn, item, only("USA")),
    ):
        with pytest.raises(OurError, match="no item of ours"):
            act()
    network.settle()
    assert readable(jpn) == [(item, 1, "USA")]


def test_what_is_withdrawn_stays_withdrawn_whatever_its_originator_does(network: Network) -> None:
    usa, item = network.nodes["USA"], given(network)
    revise.withdraw(usa, item, "A mistake.")
    for act in (
        lambda: revise.withdraw(usa, item, "Again."),
        lambda: correct(usa, item),
        lambda: revise.narrow(usa, item, only("JPN")),
    ):
        with pytest.raises(OurError, match="withdrawn"):
            act()
    again = ingest(usa, detection(1), "1.geojson", Defaults(level="OFFICIAL"))
    assert (again.items, again.new) == (1, 0)
    network.settle()
    assert [readable(network.nodes[party]) for party in PARTIES] == [[], [], []]


def test_the_first_draft_read_again_after_its_correction_changes_nothing(network: Network) -> None:
    usa, item = network.nodes["USA"], given(network)
    correct(usa, item)
    network.settle()
    publish(usa, 1)
    assert network.settle() == 0
    assert [readable(network.nodes[party]) for party in ("JPN", "PHL")] == [[(item, 2, "USA")]] * 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (detection(1), "says nothing that version 1 does not"),
        (b'{"type":"FeatureCollection","features":[' + detection(1) + b"," + detection(2) + b"]}", "holds 2 records"),
        (b'{"type":"FeatureCollection","features":[]}', "holds 0 records"),
        (b'{"type":"bundle","id":"bundle--1d9d4b6f-1f0b-4a52-9d3b-0f6b4a1f2c11","objects":[]}', "holds 0 records"),
    ],
)
def test_a_correction_is_one_record_that_says_something_else(network: Network, content: bytes, reason: str) -> None:
    item = given(network)
    with pytest.raises((OurError, PeerError), match=reason):
        correct(network.nodes["USA"], item, content)
    assert network.settle() == 0 and readable(network.nodes["JPN"]) == [(item, 1, "USA")]


def test_a_correction_is_never_marked_lower(network: Network) -> None:
    usa, item = network.nodes["USA"], given(network, tlp="AMBER", rel_to=("JPN",))
    correct(usa, item, tlp="CLEAR")
    network.settle()
    label = read.header_of(read.find(usa, item)).label.handling
    assert (label.tlp, label.values(REL_TO, "permissive")) == ("AMBER", ("JPN",))
    assert readable(network.nodes["PHL"]) == []


def test_what_is_narrowed_goes_on_where_it_may_and_is_withdrawn_elsewhere(network: Network) -> None:
    usa, item = network.nodes["USA"], given(network)
    revise.narrow(usa, item, only("PHL"))
    network.settle()
    assert (readable(network.nodes["JPN"]), readable(network.nodes["PHL"])) == ([], [(item, 2, "USA")])
    with pytest.raises(OurError, match="says nothing"):
        revise.narrow(usa, item, only("PHL"))
    revise.narrow(usa, item, only("JPN"))  # what both name: nobody
    network.settle()
    assert [readable(network.nodes[party]) for party in ("JPN", "PHL")] == [[], []]


def test_versions_of_two_commands_at_once_differ(network: Network) -> None:
    usa, item = network.nodes["USA"], given(network)
    with ThreadPoolExecutor(8) as pool:
        texts_ = [version_two().replace(b"corrected", f"corrected {at}".encode()) for at in range(8)]
        found = list(pool.map(lambda content: correct(usa, item, content).version, texts_))
    assert sorted(found) == list(range(2, 10))
    network.settle()
    assert readable(network.nodes["JPN"]) == [(item, 9, "USA")]


def test_a_reason_that_deceives_is_refused(network: Network) -> None:
    item = given(network)
    with pytest.raises(MalformedError):
        revise.withdraw(network.nodes["USA"], item, "an\u202eerror")
    assert readable(network.nodes["USA"]) == [(item, 1, "")]


# --- nothing comes back ---


def test_a_page_that_waited_three_days_is_never_seen_for_a_moment(network: Network) -> None:
    """The item's page and its withdrawal wait while the recipient is down: what is void is told before any page."""
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    publish(usa, 1)
    while share(usa):
        pass
    item = item_of(usa)
    later(network, DAY_MS)
    revise.withdraw(usa, item, "A mistake.")
    while share(usa):
        pass
    later(network, 2 * DAY_MS)
    seen = []
    with network.client("JPN", "USA") as client:
        refresh(jpn, client)
        seen.append(readable(jpn))
        while pull(jpn, client):
            seen.append(readable(jpn))
    assert seen == [[], [], []]
    assert [each.view for each in rows(jpn, item)] == ["nothing"]


def test_what_waits_for_its_hour_is_not_released_once_it_is_withdrawn(make_network: MakeNetwork) -> None:
    network = bound(make_network, ("USA", "JPN"), agreement("LATE", ("USA", "JPN"), delay='"6 hours"'))
    usa = network.nodes["USA"]
    publish(usa, 1)
    item = item_of(usa)
    publish(usa, 2)
    assert network.settle() == 0
    revise.withdraw(usa, item, "A mistake.")
    later(network, DAY_MS)
    assert network.settle() == 1
    assert [each.item == item for each in read.log_records(usa, limit=9)] == [False]


def test_what_is_withdrawn_between_its_decision_and_its_page_is_not_released(network: Network) -> None:
    usa = network.nodes["USA"]
    publish(usa, 1)
    publish(usa, 2)
    steps = sharing.share(usa.core, "JPN")
    decided = next(steps)
    assert isinstance(decided, Read)
    with usa.store.read() as books:
        store = steps.send(decided.job(books))
    assert isinstance(store, Write)
    item = min(found for found, _, _ in readable(usa))
    revise.withdraw(usa, item, "A mistake.")
    usa.store.write(store.job)
    assert [(each.to, each.item == item) for each in read.log_records(usa, limit=9)] == [("JPN", False)]


def test_what_a_relay_still_had_in_its_queue_goes_nowhere(chain: Network) -> None:
    jpn, usa = chain.nodes["JPN"], chain.nodes["USA"]
    publish(jpn, 1)
    share(jpn)
    assert chain.pull("USA", "JPN") == 1
    revise.withdraw(jpn, item_of(jpn), "A mistake.")
    share(jpn)
    assert chain.pull("USA", "JPN") == 1
    assert chain.settle() == 0
    assert read.log_records(usa, limit=9) == [] and readable(usa) == []


def test_a_store_set_back_to_before_the_withdrawal_brings_nothing_back(network: Network, tmp_path: Path) -> None:
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    item = given(network)
    older = tmp_path / "older"
    shutil.copytree(usa.home, older, ignore=shutil.ignore_patterns("relto.db*"))
    with closing(sqlite3.connect(usa.home / "relto.db")) as now, closing(sqlite3.connect(older / "relto.db")) as copy:
        now.backup(copy)
    revise.withdraw(usa, item, "A mistake.")
    network.settle()
    restored = Node.open(older, clock=network.clock)
    try:
        publish(restored, 2, 3)
        while share(restored):
            pass
        correct(restored, item)
        while share(restored):
            pass
        jpn.run(documents.refresh(jpn.core, "USA"), answering(restored, "JPN"))
        with jpn.store.read() as books:
            before = books.inbound("USA").next_n
        with suppress(PeerError):
            for _ in range(9):
                jpn.run(receive.pull(jpn.core, "USA"), answering(restored, "JPN"))
    finally:
        restored.close()
    with jpn.store.read() as books:
        assert books.inbound("USA").next_n == before
    assert readable(jpn) == []


def answering(node: Node, peer: str) -> Callable[[Ask], bytes]:
    return lambda ask: node.run(answer(node.core, peer, ask.request))


# --- ahead of a backlog ---


@pytest.mark.parametrize("act", ["withdraw", "narrow", "correct"])
def test_no_backlog_and_no_full_window_holds_up_what_is_void(network: Network, act: str) -> None:
    usa, item = network.nodes["USA"], given(network)
    for number in range(2, BOUNDS.window_pages + 4):
        publish(usa, number)
        share(usa)
    with usa.store.read() as books:
        full = books.stream("JPN")
    assert full is not None and full.next_n - 2 == BOUNDS.window_pages, "the rest waits for receipts"
    if act == "withdraw":
        revise.withdraw(usa, item, "A mistake.")
    elif act == "narrow":
        revise.narrow(usa, item, only("PHL"))
    else:
        correct(usa, item)
    share(usa)
    with usa.store.read() as books:
        (last,) = [each for each in books.releases_of(item) if each.recipient == "JPN" and each.version == 2]
    assert (last.n, last.view) == (full.next_n, "full" if act == "correct" else "nothing")


# --- onward ---


def forget(node: Node, party: str) -> None:
    node.store.database.write(lambda connection: connection.execute(delete(partners).where(partners.c.party == party)))
    node.store.write(lambda books: books.rules_changed())


@pytest.mark.parametrize("known", [True, False])
def test_who_passed_it_on_passes_the_withdrawal_on_with_the_originators_statement(chain: Network, known: bool) -> None:
    jpn, phl = chain.nodes["JPN"], chain.nodes["PHL"]
    item = given(chain, by="JPN")
    assert readable(phl) == [(item, 1, "USA")]
    if not known:
        forget(phl, "JPN")
    revise.withdraw(jpn, item, "A mistake.")
    for giver, taker in (("JPN", "USA"), ("USA", "PHL")):
        share(chain.nodes[giver])
        assert chain.pull(taker, giver) == 1
    assert readable(chain.nodes["USA"]) == readable(phl) == []
    (tombstone,) = [each for each in rows(phl, item) if each.view == "nothing"]
    statement = open_withdrawal(tombstone.content, read.header_of(tombstone), jpn.signer.public)
    assert (statement.item, statement.version, statement.reason) == (item, 2, "A mistake.")
    with phl.store.read() as books:
        dead = {party for (party, _), floor in books.floors([item]).items() if floor.dead}
    assert dead == ({"JPN", "USA"} if known else {"USA"})


def test_the_originators_withdrawal_reaches_the_copies_that_came_by_others(make_network: MakeNetwork) -> None:
    both = bound(make_network, PARTIES, CHAIN, agreement("DIRECT", ("JPN", "PHL")))
    jpn, phl = both.nodes["JPN"], both.nodes["PHL"]
    item = given(both, by="JPN")
    assert [by for _, _, by in readable(phl)] == ["JPN", "USA"]
    revise.withdraw(jpn, item, "A mistake.")
    share(jpn)
    assert both.pull("PHL", "JPN") == 1
    assert readable(phl) == []


def test_a_relay_that_may_not_have_the_new_version_withdraws_the_old_one_onward(chain: Network) -> None:
    jpn, item = chain.nodes["JPN"], given(chain, by="JPN")
    revise.narrow(jpn, item, only("PHL"))
    chain.settle()
    assert readable(chain.nodes["USA"]) == readable(chain.nodes["PHL"]) == []


# --- hostile peers ---


def forged(network: Network, item: str, origin: str, content: bytes, version: int = 9) -> None:
    """USA releases to PHL a withdrawal that it has made up, as if it had released the item to it before."""
    usa, now_ms = network.nodes["USA"], network.clock.now_ms()
    bare = new_item(
        id=item,
        version=version,
        kind=KIND,
        origin=origin,
        observed_ms=now_ms,
        label=Label(Handling(), (origin,)),
        content=content,
        media_type=MEDIA,
    )
    earlier = Released("PHL", 0, 0, 0, item, 1, "full", now_ms)
    usa.store.write(lambda books: books.add_releases([earlier]))
    filed = Filed(bare, "Withdrawal", view="nothing", received_ms=now_ms, urgency=WITHDRAWAL)
    usa.store.write(lambda books: books.insert_items([filed]))
    while share(usa):
        pass


@pytest.mark.parametrize("lie", ["no statement", "its own statement", "in its own name", "statement of another item"])
def test_a_hostile_peer_cannot_withdraw_the_item_of_another(network: Network, lie: str) -> None:
    usa, jpn, phl = (network.nodes[party] for party in ("USA", "JPN", "PHL"))
    item = given(network, by="JPN")
    publish(jpn, 2)
    network.settle()
    (other,) = {found for found, _, _ in readable(phl)} - {item}
    said = Withdrawal(v=1, by="JPN", item=item, version=9, reason="A lie.", time_ms=network.clock.now_ms())
    elsewhere = msgspec.structs.replace(said, item=other)
    content = {
        "no statement": b"",
        "in its own name": b"",
        "its own statement": sign_withdrawal(said, usa.signer),
        "statement of another item": sign_withdrawal(elsewhere, jpn.signer),
    }[lie]
    forged(network, item, "USA" if lie == "in its own name" else "JPN", content)
    assert network.pull("PHL", "USA") == 1
    assert readable(phl) == sorted([(item, 1, "JPN"), (other, 1, "JPN")])
    correct(jpn, item)
    network.settle()
    assert (item, 2, "JPN") in readable(phl), "no floor was raised for the originator"


def lying(node: Node, peer: str, recalled: tuple[tuple[str, int], ...], *, more: bool) -> Callable[[Ask], bytes]:
    """The documents of a node with another list in them."""

    def ask(asked: Ask) -> bytes:
        papers = documents.parse(node.run(answer(node.core, peer, asked.request)))
        return msgspec.msgpack.encode(msgspec.structs.replace(papers, recalled=recalled, more_recalled=more))

    return ask


def test_a_recalled_list_reaches_what_its_sender_released_and_nothing_else(network: Network) -> None:
    phl = network.nodes["PHL"]
    item = given(network, by="JPN")
    publish(network.nodes["USA"], 2)
    network.settle()
    (own,) = {found for found, _, by in readable(phl) if by == "USA"}
    ask = lying(network.nodes["USA"], "PHL", ((item, 9), (own, 9)), more=False)
    phl.run(documents.refresh(phl.core, "USA"), ask)
    assert readable(phl) == [(item, 1, "JPN")]
    correct(network.nodes["JPN"], item)
    network.settle()
    assert readable(phl) == [(item, 2, "JPN")]


# --- more than a list holds ---


def test_nothing_of_a_peer_is_read_while_not_all_its_withdrawals_are_here(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    publish(usa, 1, 2, 3, 4)
    publish(network.nodes["PHL"], 5)
    network.settle()
    every = [found for found, _, by in readable(jpn) if by == "USA"]
    (foreign,) = [found for found, _, by in readable(jpn) if by == "PHL"]
    monkeypatch.setattr(documents, "BOUNDS", replace(BOUNDS, recalled=2))
    for item in every[:3]:
        revise.withdraw(usa, item, "A mistake.")
    share(usa)
    with network.client("JPN", "USA") as client:
        refresh(jpn, client)
        assert readable(jpn) == [(foreign, 1, "PHL")]
        assert not any(names(text, every[3]) for text in texts(jpn, every[3]).values() if "value=" not in text)
        assert pull(jpn, client) == 3
        assert readable(jpn) == [(foreign, 1, "PHL")], "only an empty answer tells that there is no more"
        assert pull(jpn, client) == 0
    assert readable(jpn) == sorted([(foreign, 1, "PHL"), (every[3], 1, "USA")])


def test_what_may_be_void_is_not_passed_on_until_that_is_known(chain: Network) -> None:
    jpn, usa = chain.nodes["JPN"], chain.nodes["USA"]
    publish(jpn, 1)
    share(jpn)
    assert chain.pull("USA", "JPN") == 1
    usa.run(documents.refresh(usa.core, "JPN"), lying(jpn, "USA", (), more=True))
    while share(usa):
        pass
    assert chain.pull("PHL", "USA") == 0
    assert chain.pull("USA", "JPN") == 0
    later(chain, BOUNDS.unread_ms)
    while share(usa):
        pass
    assert chain.pull("PHL", "USA") == 1


# --- who still holds what ---


def test_who_holds_what_is_told_from_the_first_page_to_the_last_receipt(network: Network) -> None:
    usa = network.nodes["USA"]
    publish(usa, 1)
    item = item_of(usa)
    assert holders(usa, item).holders == ()
    share(usa)
    began_ms = network.clock.now_ms()
    later(network, 1000)
    assert states(usa, item) == [("JPN", "sent", None, 1000), ("PHL", "sent", None, 1000)]
    network.pull("JPN", "USA")
    assert states(usa, item) == [("JPN", "holds", 1, None), ("PHL", "sent", None, 1000)]
    (jpn, _) = holders(usa, item).holders
    assert jpn.holds is not None
    assert (jpn.holds.view, jpn.holds.sent_ms, jpn.holds.receipted_ms) == ("full", began_ms, began_ms + 1000)
    revise.withdraw(usa, item, "A mistake.")
    later(network, 500)
    assert states(usa, item) == [("JPN", "not told", 1, 500), ("PHL", "not told", None, 1500)]
    share(usa)
    later(network, DAY_MS)
    network.pull("JPN", "USA")
    assert states(usa, item[:8]) == [("JPN", "withdrawn", None, None), ("PHL", "withdrawing", None, DAY_MS + 1500)]
    found = holders(usa, item)
    assert (found.item, found.version, found.standing) == (item, 2, "withdrawn")
    with pytest.raises(OurError, match="none known"):
        holders(usa, "f" * 32)


def states(node: Node, item: str) -> list[tuple[str, str, int | None, int | None]]:
    found = holders(node, item).holders
    return [(each.party, each.state, each.holds and each.holds.version, each.waiting_ms) for each in found]


def test_who_holds_what_is_told_of_items_that_are_long_purged(make_network: MakeNetwork) -> None:
    text = CHAIN.replace(b'view = "full"', b'retention = "7 days", view = "full"'.replace(b", ", b"\n"))
    chain = bound(make_network, PARTIES, text)
    item, usa = given(chain, by="JPN"), chain.nodes["USA"]
    later(chain, 8 * DAY_MS)
    assert usa.store.write(lambda books: books.purge(usa.now_ms())) == 1
    found = holders(usa, item)
    assert (found.version, found.standing, states(usa, item)) == (None, "purged", [("PHL", "over", 1, None)])


# --- catching up ---


def test_a_node_answers_nobody_before_it_has_heard_its_partners() -> None:
    now_s = 100.0
    catch_up = CatchUp(lambda: now_s)
    assert not catch_up.done()
    catch_up.begin({"USA", "PHL"})
    catch_up.heard("USA")
    assert not catch_up.done() and catch_up.awaits("PHL") and not catch_up.awaits("USA")
    catch_up.heard("PHL")
    assert catch_up.done()
    catch_up.begin({"USA"})
    now_s += GRACE_S - 0.001
    assert not catch_up.done()
    now_s += 0.001
    assert catch_up.done() and not catch_up.awaits("USA")


def test_until_then_its_pages_say_so_and_show_nothing(network: Network) -> None:
    item, jpn = given(network), network.nodes["JPN"]
    ready = [False]
    app = pages_app(jpn, TOKEN, ready=lambda: ready[0])
    for path in ("/", f"/item/{item}", "/log", "/agreements", "/status"):
        page = asked(app, path)
        assert page.status_code == 503 and "atching up with partners" in page.text
        assert not names(page.text, item)
        assert asked(app, path, token="").status_code == 403
    ready[0] = True
    assert asked(app, f"/item/{item}").status_code == 200
