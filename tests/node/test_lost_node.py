"""A node that is lost: backups that tell when they were touched, restores that fork and repeat nothing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from relto.clock import FixedClock, parse_utc
from relto.errors import MalformedError, OurError, PeerError
from relto.exchange.books import Stored
from relto.exchange.core import halted, log_number
from relto.exchange.recover import counted
from relto.exchange.resuming import awaited
from relto.exchange.share import share
from relto.exchange.withdraw import withdraw
from relto.exercise.network import HOST, Network
from relto.keyring.files import FILES
from relto.node import audit, pair
from relto.node.backup import MAGIC, Backup, restore, write_backup
from relto.node.home import KEYS
from relto.node.node import Node
from relto.store.schema import items
from tests.node.conftest import START, agreement, publish

PARTIES = ("JPN", "PHL", "USA")
PASSPHRASE = b"correct horse battery staple"
_COLUMNS = [items.c[name] for name in Stored.__struct_fields__]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    made = Network(tmp_path / "network", PARTIES, FixedClock(parse_utc(START)))
    made.conclude([("a", agreement("LOSS-1", PARTIES))])
    made.serve()
    made.settle()
    yield made
    made.close()


def held(node: Node, origin: str) -> dict[str, tuple[bytes, bytes]]:
    """The contents of a party that a node holds: id -> (header, content); none is there twice."""
    query = select(items.c.id, *_COLUMNS).where(items.c.origin == origin, items.c.standing == "current")
    with node.store.database.read() as connection:
        rows = list(connection.execute(query.where(items.c.view != "nothing")))
    found = {row.id.hex(): (row.header, row.content) for row in rows}
    assert len(found) == len(rows)
    return found


def wipe(network: Network, party: str) -> None:
    network.stop(party)
    shutil.rmtree(network.places[party].home)


def deliver(network: Network, sender: str, recipient: str) -> int:
    node = network.nodes[sender]
    while node.run(share(node.core, recipient)):
        pass
    found = 0
    while arrived := network.pull(recipient, sender):
        found += arrived
    return found


def read_into(file: Path, home: Path, passphrase: bytes | None = PASSPHRASE) -> Backup:
    return restore(file, home, passphrase=passphrase)


class TestBackup:
    def test_what_is_written_comes_back(self, network: Network, tmp_path: Path) -> None:
        node = network.nodes["JPN"]
        publish(node, 1, 2, 3)
        written = write_backup(node, tmp_path / "b", passphrase=PASSPHRASE)
        assert written.encrypted and "keys/authority.key" not in {part.name for part in written.parts}
        assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "network"]
        found = read_into(tmp_path / "b", tmp_path / "home")
        assert found == written
        keys = {path.name for path in (tmp_path / "home" / KEYS).iterdir()}
        assert keys == set(FILES) - {"authority.key"}
        again = Node.open(tmp_path / "home", clock=network.clock)
        assert held(again, "JPN") == held(node, "JPN") and len(held(node, "JPN")) == 3
        assert audit.check_log(again) == audit.check_log(node)
        again.close()

    def test_it_is_one_state_of_a_node_that_goes_on_writing(self, network: Network, tmp_path: Path) -> None:
        node = network.nodes["JPN"]
        stop = threading.Event()

        def work() -> None:
            number = 0
            while not stop.is_set():
                publish(node, number := number + 1)
                node.run(share(node.core, "PHL"))

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for name in "abc":
                write_backup(node, tmp_path / name, passphrase=PASSPHRASE)
        finally:
            stop.set()
            worker.join()
        for name in "abc":
            read_into(tmp_path / name, tmp_path / f"home-{name}")
            again = Node.open(tmp_path / f"home-{name}", clock=network.clock)
            log = audit.check_log(again)
            with again.store.read() as books:
                stream = books.stream("PHL")
                assert stream is not None and stream.next_n - 1 == log.size
            again.close()

    def test_the_authority_goes_along_only_when_it_is_told_to(self, network: Network, tmp_path: Path) -> None:
        written = write_backup(network.nodes["JPN"], tmp_path / "b", passphrase=PASSPHRASE, authority=True)
        assert "keys/authority.key" in {part.name for part in written.parts}

    def test_no_key_is_written_in_the_clear(self, network: Network, tmp_path: Path) -> None:
        node = network.nodes["JPN"]
        with pytest.raises(OurError, match="in the clear"):
            write_backup(node, tmp_path / "b")
        with pytest.raises(OurError, match="needs 12"):
            write_backup(node, tmp_path / "b", passphrase=b"short")
        assert not (tmp_path / "b").exists()
        write_backup(node, tmp_path / "c", keys=False)
        content = (tmp_path / "c").read_bytes()
        for name in FILES:
            assert (node.home / KEYS / name).read_bytes() not in content
        read_into(tmp_path / "c", tmp_path / "home", None)
        assert not (tmp_path / "home" / KEYS).exists()

    def test_nothing_of_an_encrypted_one_can_be_read(self, network: Network, tmp_path: Path) -> None:
        publish(network.nodes["JPN"], 1)
        write_backup(network.nodes["JPN"], tmp_path / "b", passphrase=PASSPHRASE)
        content = (tmp_path / "b").read_bytes()
        assert b"SQLite format" not in content and b"contact 1" not in content and b"relto.db" not in content

    def test_another_passphrase(self, network: Network, tmp_path: Path) -> None:
        write_backup(network.nodes["JPN"], tmp_path / "b", passphrase=PASSPHRASE)
        for wrong in (PASSPHRASE + b"!", b"x" * 20):
            with pytest.raises(MalformedError, match="another passphrase"):
                read_into(tmp_path / "b", tmp_path / "home", wrong)
        with pytest.raises(OurError, match="is encrypted"):
            read_into(tmp_path / "b", tmp_path / "home", None)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "network"]

    def test_a_file_that_is_there_is_not_overwritten(self, network: Network, tmp_path: Path) -> None:
        (tmp_path / "b").write_bytes(b"the backup of last week")
        with pytest.raises(OurError, match="is there already"):
            write_backup(network.nodes["JPN"], tmp_path / "b", passphrase=PASSPHRASE)
        assert (tmp_path / "b").read_bytes() == b"the backup of last week"

    def test_a_home_that_is_not_empty_is_left_alone(self, network: Network, tmp_path: Path) -> None:
        write_backup(network.nodes["JPN"], tmp_path / "b", keys=False)
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "relto.db").write_bytes(b"mine")
        with pytest.raises(OurError, match="is not empty"):
            read_into(tmp_path / "b", tmp_path / "home", None)
        assert [path.name for path in (tmp_path / "home").iterdir()] == ["relto.db"]


def _flip(at: float) -> Callable[[bytes], bytes]:
    def flipped(content: bytes) -> bytes:
        place = int(at * (len(content) - 1))
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return flipped


@pytest.mark.parametrize("keys", [True, False], ids=["encrypted", "plain"])
@pytest.mark.parametrize(
    "damage",
    [
        *(_flip(at) for at in (0.0, 0.0001, 0.3, 0.6, 1.0)),
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content + b"\0",
        lambda content: content[: len(MAGIC)],
        lambda content: content[:0],
        lambda content: b"PK\3\4" + content,
    ],
)
def test_a_touched_backup_is_refused_and_leaves_nothing(
    backups: dict[bool, bytes], tmp_path: Path, keys: bool, damage: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "b").write_bytes(damage(backups[keys]))
    with pytest.raises(PeerError):
        read_into(tmp_path / "b", tmp_path / "home", PASSPHRASE if keys else None)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, bytes]]:
    root = tmp_path_factory.mktemp("backups")
    network = Network(root / "network", ("JPN",), FixedClock(parse_utc(START)))
    for keys in (True, False):
        write_backup(network.nodes["JPN"], root / str(keys), passphrase=PASSPHRASE if keys else None, keys=keys)
    yield {keys: (root / str(keys)).read_bytes() for keys in (True, False)}
    network.close()


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "keys/../../evil", "keys/other", "relto.db-wal", ""])
def test_names_that_a_backup_does_not_have(backups: dict[bool, bytes], tmp_path: Path, name: str) -> None:
    content = backups[False]
    old = b'"name":"relto.toml"'
    new = b'"name":"%s"' % name.encode()
    at = content.index(old)
    body = content.index(b'{"parts"') - 4
    changed = bytearray(content[:at] + new + content[at + len(old) :])
    grown = len(new) - len(old)
    for place in (body, body - 8):  # the manifest's length, and the chunk's before its mark
        size = int.from_bytes(changed[place : place + 4], "big") + grown
        changed[place : place + 4] = size.to_bytes(4, "big")
    (tmp_path / "b").write_bytes(bytes(changed))
    with pytest.raises(MalformedError, match="other files than a node has"):
        read_into(tmp_path / "b", tmp_path / "home", None)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


class TestDrill:
    def test_a_wiped_node_is_restored_and_goes_on_exactly_once(self, network: Network, tmp_path: Path) -> None:
        jpn = network.nodes["JPN"]
        publish(jpn, 1, 2)
        publish(network.nodes["USA"], 50)
        network.settle()
        publish(jpn, 3)  # waits for nobody yet
        log = audit.check_log(jpn)
        write_backup(jpn, tmp_path / "b", passphrase=PASSPHRASE)
        wipe(network, "JPN")
        publish(network.nodes["USA"], 51)
        assert deliver(network, "USA", "PHL") == 1
        read_into(tmp_path / "b", network.places["JPN"].home)
        again = network.start("JPN")
        assert audit.check_log(again) == log
        with again.store.read() as books:
            assert halted(books).startswith("restored")
        assert deliver(network, "JPN", "PHL") == 0
        network.refresh("JPN", "PHL")
        assert deliver(network, "JPN", "PHL") == 0  # the USA may have seen more
        network.refresh("JPN", "USA")
        with again.store.read() as books:
            assert halted(books) == "" and log_number(books) == 1
        assert (deliver(network, "JPN", "PHL"), deliver(network, "JPN", "USA")) == (1, 1)
        assert deliver(network, "USA", "JPN") == 1
        assert held(network.nodes["PHL"], "JPN").keys() == held(again, "JPN").keys()
        assert len(held(again, "USA")) == 2
        assert network.settle() == 0

    def test_an_old_backup_forks_nothing_repeats_nothing_and_gets_back_what_came_after(
        self, network: Network, tmp_path: Path
    ) -> None:
        jpn, phl, usa = (network.nodes[party] for party in PARTIES)
        publish(jpn, 1)
        publish(usa, 50)
        network.settle()
        (first,) = held(jpn, "JPN")
        write_backup(jpn, tmp_path / "old", passphrase=PASSPHRASE, authority=True)
        publish(jpn, 2, 3)
        publish(usa, 51)
        jpn.run(withdraw(jpn.core, first, "wrong"))
        assert deliver(network, "JPN", "PHL") == 3
        assert deliver(network, "USA", "JPN") == 1
        before = held(jpn, "JPN")
        wipe(network, "JPN")

        read_into(tmp_path / "old", network.places["JPN"].home)
        again = network.start("JPN")
        assert held(again, "JPN") != before
        network.refresh("JPN", "USA")
        network.refresh("JPN", "PHL")
        with again.store.read() as books:
            assert "PHL has seen release log 1" in halted(books) and "--new-log" in halted(books)
        assert held(again, "JPN") == before
        assert [deliver(network, "JPN", party) for party in ("PHL", "USA")] == [0, 0]

        card, found = pair.invite(again, network.places["JPN"].url, change=pair.Change(new_log=True))
        pair.accept(phl, card, found)
        network.refresh("USA", "PHL")
        for party in ("PHL", "USA"):
            network.refresh("JPN", party)
        with again.store.read() as books:
            assert halted(books) == "" and log_number(books) == 2
            assert not awaited(books, "PHL") and not awaited(books, "USA")
            assert counted(books, "PHL").originals == 2 and counted(books, "PHL").withdrawals == 1
        # PHL has all of it; to the USA goes, once, what it never got
        assert deliver(network, "JPN", "PHL") == 0
        deliver(network, "JPN", "USA")
        assert deliver(network, "USA", "JPN") == 1  # what the backup did not hold yet comes again
        assert held(usa, "JPN").keys() == held(phl, "JPN").keys() == before.keys()
        assert held(again, "USA").keys() == held(usa, "USA").keys()
        publish(again, 4)
        network.settle()
        assert len(held(usa, "JPN")) == len(held(phl, "JPN")) == len(before) + 1
        assert network.settle() == 0
        assert audit.check_log(again).size > 0
        with phl.store.read() as books:
            assert [each.kind for each in books.incidents()] == []


class TestNewKeys:
    def test_new_keys_under_load_lose_nothing_and_repeat_nothing(self, network: Network) -> None:
        """A planned change of keys: what waited in either direction arrives once, under the new keys."""
        jpn, phl = network.nodes["JPN"], network.nodes["PHL"]
        publish(jpn, 1)
        publish(phl, 50)
        network.settle()
        publish(jpn, 2, 3)
        publish(phl, 51)
        jpn.run(share(jpn.core, "PHL"))  # signed by the old keys, and not fetched
        phl.run(share(phl.core, "JPN"))  # sealed for the old keys, and not fetched
        network.stop("JPN")
        keyring = jpn.keyring
        keyring.renew(now_ms=parse_utc(START), hostnames=(HOST,), leaf_lifetime_s=10**8, ca_lifetime_s=10**8)
        jpn = network.start("JPN")
        card, found = pair.invite(jpn, network.places["JPN"].url)
        pair.accept(phl, card, found)
        network.refresh("USA", "PHL")
        for party in ("PHL", "USA"):
            network.refresh("JPN", party)
        assert deliver(network, "PHL", "JPN") == 1
        assert deliver(network, "JPN", "PHL") == 2
        network.settle()
        for party in ("PHL", "USA"):
            assert held(network.nodes[party], "JPN").keys() == held(jpn, "JPN").keys()
            with network.nodes[party].store.read() as books:
                assert books.inbound("JPN").log == 1 and not books.incidents() and "JPN" not in books.quarantined()
        assert len(held(jpn, "PHL")) == 2
