"""Forks, rollbacks and equivocation between real nodes: found out at the first contact, proven, and frozen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from sqlalchemy import delete, update

from relto.cli import main
from relto.envelope.card import sign_card
from relto.errors import ExpiredError, PeerError
from relto.exchange import filing, heads, receive
from relto.exchange.books import ACCUSED, EQUIVOCATION, FORK, ROLLBACK, TWO_CARDS, Filed, Floor, SeenHead
from relto.exchange.core import halted
from relto.exchange.fork import verify_fork
from relto.exchange.receive import FrozenError
from relto.exchange.share import rendition_of
from relto.exercise.network import Network
from relto.item import new_item, parse_item
from relto.node import audit, incident, pair
from relto.node.home import DATABASE
from relto.node.node import Node
from relto.node.run import share
from relto.store.records import Selection
from relto.store.schema import items, releases, streams
from tests.node.conftest import START, agreement, publish

MakeNetwork = Callable[..., Network]
PARTIES = ("JPN", "PHL", "USA")


@pytest.fixture
def network(make_network: MakeNetwork) -> Network:
    """JPN, PHL and USA with an agreement of all three; JPN and PHL have released an item, and JPN's has arrived."""
    return settled(make_network(PARTIES, (), START))


def settled(network: Network) -> Network:
    network.conclude([("all.toml", agreement("ALL", PARTIES))])
    for at, party in enumerate(PARTIES[:2]):
        share(network.nodes[party])
        publish(network.nodes[party], at)
        share(network.nodes[party])
    for party in ("PHL", "USA"):
        assert network.pull(party, "JPN") == 1
    return network


def noted(node: Node) -> list[tuple[str, str]]:
    return [(each.kind, each.party) for each in incident.listing(node)]


def halt_of(node: Node) -> str:
    with node.store.read() as books:
        return halted(books)


def release(network: Network, number: int, to: str) -> None:
    """JPN releases an item to all, and one of them gets it and sees the newest head."""
    publish(network.nodes["JPN"], number)
    while share(network.nodes["JPN"]):
        pass
    while network.pull(to, "JPN"):
        pass
    network.refresh(to, "JPN")


def swap(network: Network, party: str, other: Path) -> None:
    """Stop a node and start the one in another directory in its place; its own directory takes the other's name."""
    network.stop(party)
    home = network.places[party].home
    aside = home.with_name(f"{home.name}-aside")
    home.rename(aside)
    other.rename(home)
    aside.rename(other)
    network.start(party)


def two_logs(network: Network, tmp_path: Path, *, second: tuple[int, ...] = (3,)) -> None:
    """JPN runs two copies of its node under the same keys: one for PHL, one for USA. The second goes on."""
    other = tmp_path / "second"
    network.stop("JPN")
    shutil.copytree(network.places["JPN"].home, other)
    network.start("JPN")
    release(network, 12, "PHL")
    swap(network, "JPN", other)
    for number in second:
        release(network, number, "USA")
    assert noted(network.nodes["PHL"]) == noted(network.nodes["USA"]) == []


# --- forks ---


def test_two_logs_are_found_in_one_exchange_between_their_readers_and_both_have_the_proof(
    network: Network, tmp_path: Path
) -> None:
    two_logs(network, tmp_path)
    network.refresh("PHL", "USA")
    network.refresh("USA", "PHL")
    fingerprint = pair.invite(network.nodes["JPN"], network.places["JPN"].url)[1]
    for party in ("PHL", "USA"):
        node = network.nodes[party]
        assert noted(node) == [(FORK, "JPN")]
        (found,) = incident.listing(node)
        proven = verify_fork(incident.proof_files(node, found)[incident.FORK_FILE], pinned=fingerprint)
        assert (proven.party, proven.first.size) == ("JPN", proven.second.size)
        assert node.rules().frozen == {"JPN"}


def test_two_logs_of_different_sizes_are_found_with_the_growth_that_the_owner_must_show(
    network: Network, tmp_path: Path
) -> None:
    two_logs(network, tmp_path, second=(13, 14))
    network.refresh("PHL", "USA")
    assert noted(network.nodes["PHL"]) == []
    network.refresh("PHL", "JPN")
    (found,) = incident.listing(network.nodes["PHL"])
    assert found.kind == FORK
    proven = verify_fork(incident.proof_files(network.nodes["PHL"], found)[incident.FORK_FILE])
    assert proven.first.size < proven.second.size


def test_a_forked_party_is_frozen_told_and_halts_and_still_gets_what_it_is_due(
    network: Network, tmp_path: Path
) -> None:
    two_logs(network, tmp_path)
    jpn, phl = network.nodes["JPN"], network.nodes["PHL"]
    held = held_from(phl, "JPN")[0]
    assert "QUARANTINED" not in withheld(phl, held)
    network.refresh("PHL", "USA")
    network.refresh("PHL", "JPN")
    assert halt_of(jpn).startswith("FORK: ")
    assert noted(jpn) == [(ACCUSED, "PHL"), (FORK, "JPN")]
    assert incident.listing(phl)[0].told_ms > 0
    publish(jpn, 15)
    assert share(jpn) == 0
    assert network.pull("PHL", "JPN") == 0
    with pytest.raises(FrozenError):
        phl.run(receive.accept(phl.core, "JPN", b"a page that was carried"))
    assert "QUARANTINED" in withheld(phl, held)
    publish(phl, 16)
    share(phl)
    assert network.pull("JPN", "PHL") == 1
    incident.close(phl, 1, "JPN has explained it")
    assert "QUARANTINED" not in withheld(phl, held)


def held_from(node: Node, by: str) -> list[Any]:
    with node.store.read() as books:
        return books.listing(Selection(by=by), node.reading())


def withheld(node: Node, stored: Any) -> tuple[str, ...]:
    return rendition_of(node.core, node.rules().table, stored, "USA").decision.reasons


def test_a_party_is_told_of_the_heads_of_nobody_that_no_common_agreement_names(
    make_network: MakeNetwork,
) -> None:
    network = make_network((*PARTIES, "VNM"), (), START)
    network.conclude([("pair.toml", agreement("PAIR", ("PHL", "VNM")))])
    settled(network)
    for party in ("USA", "VNM"):
        network.refresh(party, "PHL")
    with network.nodes["VNM"].store.read() as books:
        assert {each.party for each in (*books.seen_heads(), *books.told_heads())} <= {"PHL"}
    with network.nodes["USA"].store.read() as books:
        assert {each.party for each in (*books.seen_heads(), *books.told_heads())} == {"PHL", "JPN"}
    phl = network.nodes["PHL"]
    with phl.store.read() as books:
        assert len(heads.heads_for(phl.core, books, "USA")) == 2
    phl.store.write(lambda books: books.set_quarantined(frozenset({"USA"})))
    with phl.store.read() as books:
        assert heads.heads_for(phl.core, books, "USA") == ()


def test_honest_nodes_have_no_incidents_and_witness_each_other(network: Network) -> None:
    for round in range(2):
        for party in PARTIES:
            publish(network.nodes[party], 20 + 10 * round + PARTIES.index(party))
        network.settle()
        for party in PARTIES:
            for peer in PARTIES:
                if peer != party:
                    network.refresh(party, peer)
    for party in PARTIES:
        node = network.nodes[party]
        assert noted(node) == []
        assert {each.party for each in incident.witnesses(node)} == {*PARTIES} - {party}
        with node.store.read() as books:
            known: dict[str, SeenHead] = {each.party: each for each in books.seen_heads()}
        for peer in {*PARTIES} - {party}:
            with network.nodes[peer].store.read() as books:
                assert (known[peer].size, known[peer].root) == (books.head().size, books.head().root)


# --- rollback ---


def put_back(network: Network, party: str, *numbers: int) -> None:
    """The operator restores an older copy of a node's store, after it has released more."""
    home = network.places[party].home
    network.stop(party)
    shutil.copy(home / DATABASE, home / "older")
    network.start(party)
    publish(network.nodes[party], *numbers)
    network.settle()
    audit.publish_log(network.nodes[party])
    network.stop(party)
    for left in home.glob(f"{DATABASE}-*"):
        left.unlink()
    (home / "older").replace(home / DATABASE)
    network.start(party)


def test_a_store_that_was_put_back_is_noticed_by_whoever_asks_first_and_the_node_halts(network: Network) -> None:
    put_back(network, "JPN", 31, 32)
    network.refresh("PHL", "JPN")
    assert noted(network.nodes["PHL"]) == [(ROLLBACK, "JPN")]
    assert halt_of(network.nodes["JPN"]).startswith("ROLLBACK: ")
    publish(network.nodes["JPN"], 33)
    assert share(network.nodes["JPN"]) == 0


def test_a_node_notices_itself_that_its_store_was_put_back(network: Network) -> None:
    put_back(network, "JPN", 31)
    network.refresh("JPN", "USA")
    assert halt_of(network.nodes["JPN"]).startswith("ROLLBACK: ")
    assert noted(network.nodes["JPN"]) == [(ROLLBACK, "JPN")]


def test_a_node_notices_by_what_it_had_published_before_it_speaks_with_anybody(network: Network) -> None:
    audit.publish_log(network.nodes["JPN"])
    audit.check_published(network.nodes["JPN"])
    assert halt_of(network.nodes["JPN"]) == ""
    put_back(network, "JPN", 31)
    before = (network.places["JPN"].home / "log" / "checkpoint").read_bytes()
    audit.check_published(network.nodes["JPN"])
    assert halt_of(network.nodes["JPN"]).startswith("ROLLBACK: ")
    audit.publish_log(network.nodes["JPN"])
    assert (network.places["JPN"].home / "log" / "checkpoint").read_bytes() == before


def test_a_recipient_whose_store_was_put_back_is_noticed_and_gets_again_what_it_lost(network: Network) -> None:
    home = network.places["PHL"].home
    network.stop("PHL")
    shutil.copy(home / DATABASE, home / "older")
    network.start("PHL")
    publish(network.nodes["JPN"], 31)
    share(network.nodes["JPN"])
    assert network.pull("PHL", "JPN") == 1
    network.stop("PHL")
    (home / "older").replace(home / DATABASE)
    network.start("PHL")
    assert network.pull("PHL", "JPN") == 1
    assert noted(network.nodes["JPN"]) == [(ROLLBACK, "PHL")]
    assert network.pull("PHL", "JPN") == 0
    assert noted(network.nodes["PHL"]) == []


# --- equivocation ---


def equivocate(node: Node, number: int) -> None:
    """Make a node release one version of an item a second time, with another content."""
    with node.store.read() as books:
        stored = books.listing(Selection(by=""), node.reading())[0]
    old = parse_item(stored.header, stored.content)
    content = stored.content.replace(b"contact", b"changed %d" % number)
    fields = {name: getattr(old.header, name) for name in ("id", "version", "kind", "origin", "observed_ms", "label")}
    changed = new_item(**fields, content=content, media_type=old.header.media_type, place=old.header.place)

    def job(connection: Any) -> None:
        row = update(items).where(items.c.seq == stored.seq)
        connection.execute(row.values(header=changed.header_bytes, content=changed.content))
        connection.execute(delete(releases))
        connection.execute(update(streams).values(scanned_seq=stored.seq - 1))

    node.store.database.write(job)


def test_an_item_released_with_two_contents_is_frozen_and_both_are_proven(network: Network) -> None:
    jpn, phl = network.nodes["JPN"], network.nodes["PHL"]
    (held,) = held_from(phl, "JPN")
    equivocate(jpn, 1)
    share(jpn)
    assert network.pull("PHL", "JPN") == 1
    assert noted(phl) == [(EQUIVOCATION, "JPN")]
    assert held_from(phl, "JPN") == []
    assert "QUARANTINED" in withheld(phl, held)
    (found,) = incident.listing(phl)
    proofs = [content for name, content in incident.proof_files(phl, found).items() if name.endswith(".relto.json")]
    verified = [audit.verify(each) for each in proofs]
    assert len({each.header.sha256 for each in verified}) == 2
    assert {(each.header.id, each.header.version, each.by) for each in verified} == {
        (parse_item(held.header, held.content).header.id, 1, "JPN")
    }
    network.refresh("PHL", "JPN")
    assert noted(jpn) == [(ACCUSED, "PHL")]
    assert halt_of(jpn) == ""
    incident.close(phl, found.id, "JPN withdrew it")
    assert len(held_from(phl, "JPN")) == 2


def test_two_cards_of_one_version_are_kept_and_the_second_is_not_taken(network: Network) -> None:
    phl, jpn = network.nodes["PHL"], network.nodes["JPN"]
    card = phl.partner("JPN")
    twin = msgspec.structs.replace(card, name="Another")
    envelope = sign_card(twin, jpn.keyring.authority(None))
    with pytest.raises(PeerError):
        pair.accept(phl, envelope, pair.invite(jpn, card.url)[1])
    assert noted(phl) == [(TWO_CARDS, "JPN")]
    assert phl.partner("JPN") == card


# --- floors ---


def test_version_floors_survive_a_restart(network: Network) -> None:
    jpn = network.nodes["JPN"]
    old, spoken = pair.invite(jpn, network.places["JPN"].url)
    new, _ = pair.invite(jpn, network.places["JPN"].url)
    pair.accept(network.nodes["PHL"], new, spoken)
    (held,) = held_from(network.nodes["PHL"], "JPN")
    item = parse_item(held.header, held.content)
    newer = Floor("JPN", item.header.id, 5, dead=True)
    network.nodes["PHL"].store.write(lambda books: books.raise_floors([newer]))
    network.stop("PHL")
    phl = network.start("PHL")
    with pytest.raises(ExpiredError):
        pair.accept(phl, old, spoken)
    late = Filed(item, "late", by="JPN", edition=2)
    assert phl.store.write(lambda books: filing.file(books, [late])).new == 0
    phl.store.write(lambda books: books.raise_floors([Floor("JPN", item.header.id, 2)]))
    with phl.store.read() as books:
        assert books.floors([item.header.id])["JPN", item.header.id] == newer


# --- the command line ---


def relto(network: Network, party: str, *words: str) -> tuple[int, Any]:
    found = CliRunner().invoke(main, ["--home", str(network.places[party].home), "--json", *words])
    return found.exit_code, json.loads(found.output)


def test_the_operator_sees_the_incident_writes_its_proof_and_closes_it(network: Network, tmp_path: Path) -> None:
    two_logs(network, tmp_path)
    network.refresh("PHL", "USA")
    _, listed = relto(network, "PHL", "incident", "ls")
    assert [(each["id"], each["kind"], each["party"], each["open"]) for each in listed] == [(1, FORK, "JPN", True)]
    assert relto(network, "PHL", "status")[1]["incidents"] == 1
    target = tmp_path / "proof"
    code, shown = relto(network, "PHL", "incident", "show", "1", "--evidence", str(target))
    assert code == 0
    assert {each["name"] for each in shown["evidence"]} == {"first", "second", "card"}
    assert "relto.release/JPN" in shown["evidence"][0]["text"]
    assert {each.name for each in target.iterdir()} == {*shown["files"]}
    words = CliRunner().invoke(main, ["--home", str(network.places["PHL"].home), "incident", "show", "1"]).output
    assert "JPN signed two logs" in words
    code, verified = relto(network, "USA", "verify", str(target / incident.FORK_FILE))
    assert (code, verified["fork_of"], verified["fingerprint_checked"]) == (0, "JPN", False)
    assert relto(network, "PHL", "incident", "close", "1", "--reason", " ")[0] == 3
    assert relto(network, "PHL", "incident", "close", "1", "--reason", "explained")[0] == 0
    assert relto(network, "PHL", "incident", "ls")[1] == []
    assert relto(network, "PHL", "incident", "ls", "--closed")[1][0]["closed"].endswith("explained")
    assert relto(network, "PHL", "incident", "show", "7")[0] == 3


def test_the_log_check_says_who_has_witnessed_the_log(network: Network) -> None:
    code, found = relto(network, "JPN", "log", "check")
    assert code == 0
    assert {each["party"] for each in found["witnesses"]} == {"PHL", "USA"}
