"""The exposure list: everything that may have been at a party since an instant, and nothing that cannot have been."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from relto.clock import DAY_MS, HOUR_MS, FixedClock, parse_utc
from relto.errors import OurError
from relto.exchange.share import share
from relto.exchange.withdraw import withdraw
from relto.exercise.network import Network
from relto.node.exposure import exposure
from relto.node.node import Node
from relto.store.schema import releases
from tests.node.conftest import START, agreement, publish

AT_MS = parse_utc(START)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    made = Network(tmp_path, ("JPN", "PHL", "USA"), FixedClock(AT_MS))
    texts = [
        ("a", agreement("EXP-1", ("JPN", "PHL"), retention='"30 days"')),
        ("b", agreement("EXP-2", ("JPN", "USA"))),
    ]
    made.conclude(texts)
    made.serve()
    made.settle()
    yield made
    made.close()


def listed(node: Node, party: str, since_ms: int = 0) -> list[str]:
    return [each.item for each in exposure(node, party, since_ms).releases]


def released(network: Network, number: int, to: str) -> str:
    node = network.nodes["JPN"]
    publish(node, number)
    while node.run(share(node.core, to)):
        pass
    return listed(node, to)[-1]


def test_all_that_went_to_the_party_and_nothing_that_went_to_others(network: Network) -> None:
    first, second = released(network, 1, "PHL"), released(network, 2, "PHL")
    found = exposure(network.nodes["JPN"], "PHL")
    assert [each.item for each in found.releases] == [first, second]
    assert {(each.version, each.view, each.level) for each in found.releases} == {(1, "full", "JPN:OFFICIAL")}
    assert {each.originators for each in found.releases} == {("JPN",)} and found.third == {}
    assert listed(network.nodes["JPN"], "USA") == []
    assert listed(network.nodes["USA"], "PHL") == []


def test_what_is_long_deleted_here_is_still_on_it(network: Network) -> None:
    jpn = network.nodes["JPN"]
    item = released(network, 1, "PHL")
    jpn.store.write(lambda books: books.erase(item, 99, origin="JPN"))
    assert listed(jpn, "PHL") == [item]


def test_what_was_over_before_is_not_on_it_and_what_was_over_after_is(network: Network) -> None:
    jpn = network.nodes["JPN"]
    item = released(network, 1, "PHL")
    over_ms = AT_MS + 30 * DAY_MS
    assert listed(jpn, "PHL", over_ms - 1) == [item]
    assert listed(jpn, "PHL", over_ms) == []


def test_a_withdrawal_takes_it_off_only_when_it_was_receipted_before(network: Network) -> None:
    jpn, clock = network.nodes["JPN"], network.clock
    assert isinstance(clock, FixedClock)
    item = released(network, 1, "PHL")
    network.settle()
    jpn.run(withdraw(jpn.core, item, "wrong"))
    clock.set(AT_MS + HOUR_MS)
    while jpn.run(share(jpn.core, "PHL")):
        pass
    (open_one,) = exposure(jpn, "PHL", AT_MS + 2 * HOUR_MS).releases
    assert open_one.withdrawn_ms == AT_MS + HOUR_MS  # told, and not receipted: it may have been there
    clock.set(AT_MS + 3 * HOUR_MS)
    network.settle()
    assert listed(jpn, "PHL", AT_MS + 2 * HOUR_MS) == [item]
    assert listed(jpn, "PHL", AT_MS + 4 * HOUR_MS) == []


def test_third_originators_are_to_be_told_of_theirs(network: Network) -> None:
    jpn = network.nodes["JPN"]
    released(network, 1, "PHL")
    with jpn.store.database.read() as connection:
        (row,) = connection.execute(select(releases)).mappings().all()
    other = dict(row) | {"n": 2, "id": bytes(16), "originators": "JPN PHL USA"}
    jpn.store.database.write(lambda connection: connection.execute(releases.insert(), other))
    assert exposure(jpn, "PHL").third == {"USA": 1}


@pytest.mark.parametrize("party", ["jpn", "", "JPN"])
def test_no_other_party(network: Network, party: str) -> None:
    with pytest.raises(OurError, match="no other party"):
        exposure(network.nodes["JPN"], party)
