"""Bundles on a stick between real nodes: the same store as over the wire, and nothing of a hostile file is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from relto.cli import main
from relto.envelope.seal import Sealed, seal, unseal
from relto.exchange.bundle import BundleHeader, BundleReader, Frame, Kind, Volume, write_bundle
from relto.exchange.carry import page_at
from relto.exchange.link import set_link, thin
from relto.exchange.page import MAGIC as PAGE_MAGIC
from relto.exercise.network import Network
from relto.node import agree, pair
from relto.node.node import Node
from relto.node.run import share
from relto.store.schema import incidents, items
from tests.node.conftest import START, agreement, publish

MakeNetwork = Callable[..., Network]
PARTIES = ("USA", "JPN")


@pytest.fixture
def network(make_network: MakeNetwork) -> Network:
    made = make_network(PARTIES, (), START)
    made.conclude([("ALL.toml", agreement("ALL", PARTIES))])
    made.settle()
    return made


@pytest.fixture(autouse=True)
def exercise_clock(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line opens nodes by itself; their clock is the exercise's."""
    opened = Node.open
    monkeypatch.setattr(Node, "open", lambda home, **kw: opened(home, **(kw | {"clock": network.clock})))


def relto(network: Network, party: str, *words: object) -> Result:
    return CliRunner().invoke(main, ["--home", str(network.places[party].home), "--json", *map(str, words)])


def told(result: Result, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def carry(network: Network, path: Path, *words: object, to: str = "JPN", by: str = "USA") -> Path:
    told(relto(network, by, "bundle", "write", "--to", to, *words, path))
    return path


def remarks(network: Network, party: str) -> list[str]:
    with network.nodes[party].store.database.read() as connection:
        rows = connection.execute(select(items.c.content).where(items.c.by != "").order_by(items.c.seq)).scalars()
        return [json.loads(content)["properties"]["remarks"] for content in rows]


def contacts(*numbers: int) -> list[str]:
    return [f"contact {number}" for number in numbers]


def pages(network: Network, numbers: range, to: str = "JPN") -> None:
    """Publish items and make a page of each."""
    for number in numbers:
        publish(network.nodes["USA"], number)
        while share(network.nodes["USA"]):
            pass


def frames(path: Path) -> tuple[BundleHeader, list[Frame]]:
    reader = BundleReader()
    found = reader.feed(path.read_bytes())
    reader.finish()
    assert reader.header is not None
    return reader.header, found


def rewrite(path: Path, header: BundleHeader, held: list[Frame]) -> None:
    path.write_bytes(b"".join(write_bundle(header, held)))


def incident_count(network: Network, party: str) -> int:
    with network.nodes[party].store.database.read() as connection:
        return len(connection.execute(select(incidents)).all())


# --- as a user has it ---


def test_a_stick_carries_what_the_wire_would_and_its_receipt_comes_back(network: Network, tmp_path: Path) -> None:
    pages(network, range(12))  # more than the window of the stream
    written = told(relto(network, "USA", "bundle", "write", "--to", "JPN", tmp_path / "out"))
    (file,) = written["files"]
    assert (written["card"], file["first_n"], file["last_n"]) == (True, 1, 12)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert file["bytes"] == (tmp_path / "out").stat().st_size
    read = told(relto(network, "JPN", "bundle", "read", tmp_path / "out", "--receipt", tmp_path / "back"))
    assert (read["files"][0]["releases"], read["files"][0]["refused"]) == (12, [])
    assert remarks(network, "JPN") == contacts(*range(12))
    back = told(relto(network, "USA", "bundle", "read", tmp_path / "back"))
    assert back["files"][0]["receipts"] == 1
    with network.nodes["USA"].store.read() as books:
        stream = books.stream("JPN")
        assert stream is not None and stream.receipted_n == 12
    again = told(relto(network, "USA", "bundle", "write", "--to", "JPN", tmp_path / "empty"))
    assert again["files"][0]["pages"] == 0
    assert network.settle() == 0


def test_a_first_contact_needs_no_network(network: Network, tmp_path: Path) -> None:
    fresh = Network(tmp_path / "apart", ("CAN", "PHL"), network.clock)
    try:
        for text in (("two.toml", agreement("TWO", ("CAN", "PHL"))),):
            held = agree.propose(fresh.nodes["CAN"], text[1], text[0])
            assert held.state.phase == "proposed"
        carry(fresh, tmp_path / "offer", to="PHL", by="CAN")
        assert told(relto(fresh, "PHL", "bundle", "read", tmp_path / "offer"))["files"][0]["agreements"] == 1
        agree.countersign(fresh.nodes["PHL"], "TWO", 1)
        carry(fresh, tmp_path / "signed", to="CAN", by="PHL")
        assert told(relto(fresh, "CAN", "bundle", "read", tmp_path / "signed"))["files"][0]["refused"] == []
        share(fresh.nodes["CAN"])
        publish(fresh.nodes["CAN"], 7)
        carry(fresh, tmp_path / "first", to="PHL", by="CAN")
        assert told(relto(fresh, "PHL", "bundle", "read", tmp_path / "first"))["files"][0]["releases"] == 1
        assert remarks(fresh, "PHL") == contacts(7)
    finally:
        fresh.close()


def test_volumes_are_read_in_any_order_and_hold_whole_pages(network: Network, tmp_path: Path) -> None:
    pages(network, range(14))
    carry(network, tmp_path / "v", "--max-bytes", "80KiB")
    volumes = sorted(tmp_path.glob("v.*"), reverse=True)
    assert len(volumes) >= 3 and all(each.stat().st_size <= 80 * 1024 for each in volumes)
    only_last = told(relto(network, "JPN", "bundle", "read", volumes[0]), 3)
    assert "1 is the next here" in only_last["files"][0]["failed"]
    assert remarks(network, "JPN") == []
    read = told(relto(network, "JPN", "bundle", "read", *volumes))
    assert [each["volume"] for each in read["files"]] == [*range(1, len(volumes) + 1)]
    assert remarks(network, "JPN") == contacts(*range(14))


@pytest.mark.parametrize("order", ["wire-stick", "stick-wire-stick", "old-stick-last"])
def test_wire_and_stick_in_any_order_give_the_same_store(network: Network, tmp_path: Path, order: str) -> None:
    pages(network, range(4))
    early = carry(network, tmp_path / "early")
    pages(network, range(4, 8))
    late = carry(network, tmp_path / "late", "--after", 0)
    steps = {
        "wire-stick": ["wire", "wire", late],
        "stick-wire-stick": [early, "wire", late],
        "old-stick-last": [late, early, "wire"],
    }
    for step in steps[order]:
        if isinstance(step, Path):
            told(relto(network, "JPN", "bundle", "read", step))
        else:
            network.pull("JPN", "USA")
    network.settle()
    assert remarks(network, "JPN") == contacts(*range(8))
    with network.nodes["USA"].store.read() as ours, network.nodes["JPN"].store.read() as theirs:
        sent, got = ours.stream("JPN"), theirs.inbound("USA")
        assert sent is not None
        assert (got.next_n, got.chain, got.log_size) == (sent.next_n, sent.chain, sent.log_size)
        assert sent.receipted_n == 8


@pytest.mark.parametrize("seed", [1, 2])
def test_wire_and_stick_mixed_at_random_lose_and_double_nothing(network: Network, tmp_path: Path, seed: int) -> None:
    rng, sticks, published = Random(seed), list[Path](), 0
    for step in range(24):
        deed = rng.choice(("publish", "publish", "wire", "write", "read", "read", "receipt"))
        if deed == "publish":
            pages(network, range(published, published + 1))
            published += 1
        elif deed == "wire":
            network.pull("JPN", "USA")
        elif deed == "write":
            sticks.append(carry(network, tmp_path / f"{step}", *rng.choice(((), ("--after", 0)))))
        elif deed == "read" and sticks:
            relto(network, "JPN", "bundle", "read", rng.choice(sticks))
        elif deed == "receipt" and sticks:
            relto(network, "JPN", "bundle", "read", rng.choice(sticks), "--receipt", tmp_path / f"r{step}")
            if (tmp_path / f"r{step}").exists():
                told(relto(network, "USA", "bundle", "read", tmp_path / f"r{step}"))
    network.settle()
    assert remarks(network, "JPN") == contacts(*range(published))
    with network.nodes["USA"].store.read() as ours, network.nodes["JPN"].store.read() as theirs:
        sent, got = ours.stream("JPN"), theirs.inbound("USA")
        assert sent is not None and sent.receipted_n == published
        assert (got.next_n, got.chain, got.log_size) == (sent.next_n, sent.chain, sent.log_size)
    assert incident_count(network, "JPN") == incident_count(network, "USA") == 0


def test_a_newer_card_on_a_stick_replaces_the_old_one_and_never_the_other_way(network: Network, tmp_path: Path) -> None:
    old = carry(network, tmp_path / "old")
    card, _ = pair.invite(network.nodes["USA"], network.places["USA"].url)
    new = carry(network, tmp_path / "new")
    assert told(relto(network, "JPN", "bundle", "read", new))["files"][0]["cards"] == 1
    assert told(relto(network, "JPN", "bundle", "read", old))["files"][0]["cards"] == 0
    with network.nodes["JPN"].store.read() as books:
        kept = books.partner("USA")
        assert kept is not None and kept.card == card


# --- breaks and hostile files ---


def test_a_file_cut_anywhere_is_read_up_to_there_and_then_on(network: Network, tmp_path: Path) -> None:
    pages(network, range(3))
    whole = carry(network, tmp_path / "whole")
    content = whole.read_bytes()
    first = content.index(PAGE_MAGIC.encode())
    second = content.index(PAGE_MAGIC.encode(), first + 1)
    cut = tmp_path / "cut"
    cut.write_bytes(content[: second + 500])
    read = told(relto(network, "JPN", "bundle", "read", cut), 4)
    assert read["files"][0]["releases"] == 1 and "breaks off" in read["files"][0]["failed"]
    assert remarks(network, "JPN") == contacts(0)
    read = told(relto(network, "JPN", "bundle", "read", whole))
    assert (read["files"][0]["known_pages"], read["files"][0]["releases"]) == (1, 2)
    assert remarks(network, "JPN") == contacts(0, 1, 2)
    told(relto(network, "JPN", "bundle", "read", whole))
    assert remarks(network, "JPN") == contacts(0, 1, 2)


def test_one_flipped_bit_stops_before_its_frame(network: Network, tmp_path: Path) -> None:
    pages(network, range(2))
    path = carry(network, tmp_path / "flipped")
    content = bytearray(path.read_bytes())
    content[content.rindex(PAGE_MAGIC.encode()) + 3000] ^= 1
    path.write_bytes(content)
    read = told(relto(network, "JPN", "bundle", "read", path), 4)
    assert "does not fit" in read["files"][0]["failed"]
    assert remarks(network, "JPN") == contacts(0)


def test_a_bundle_for_or_of_somebody_else_is_refused_whole(network: Network, tmp_path: Path) -> None:
    pages(network, range(1))
    path = carry(network, tmp_path / "theirs")
    assert told(relto(network, "USA", "bundle", "read", path), 4)["error"] == "NotForUsError"
    header, held = frames(path)
    for changed, error in (
        (BundleHeader(1, "XXX", "JPN", header.created_ms, 1, Volume(1, 1)), "UnknownPartyError"),
        (BundleHeader(1, "USA", "JPN", header.created_ms + 3_600_000, 1, Volume(1, 1)), "MalformedError"),
    ):
        rewrite(path, changed, held)
        assert told(relto(network, "JPN", "bundle", "read", path), 4)["error"] == error
    assert remarks(network, "JPN") == []


def test_what_a_carrier_put_together_is_refused_and_held_against_nobody(network: Network, tmp_path: Path) -> None:
    """Anybody can seal for JPN: a true statement of USA with other releases, and pages of JPN's own in between."""
    pages(network, range(2))
    path = carry(network, tmp_path / "mixed")
    header, held = frames(path)
    good = [frame for frame in held if frame.kind is Kind.PAGE]
    jpn = network.nodes["JPN"]
    magic, to, batch, enc, parts = opened(good[0].content)
    context = f"{magic}\n{to}\n{batch}".encode()
    inside = list(unseal(Sealed(enc, parts), key=jpn.core.sealing, context=context))
    _, _, other, other_enc, other_parts = opened(good[1].content)
    stolen = unseal(Sealed(other_enc, other_parts), key=jpn.core.sealing, context=f"{magic}\n{to}\n{other}".encode())
    inside[1] = stolen[1]
    sealed = seal(inside, recipient=jpn.core.sealing.public_bytes(), context=context, content_key=bytes(32))
    forged = Frame(Kind.PAGE, msgspec.msgpack.encode([magic, to, batch, sealed.enc, sealed.parts]))
    rewrite(path, header, [forged])
    assert told(relto(network, "JPN", "bundle", "read", path), 4)["files"][0]["fault"] == "theirs"
    assert remarks(network, "JPN") == [] and incident_count(network, "JPN") == 0
    publish(jpn, 50)
    share(jpn)
    own = jpn.run(page_at("USA", 1))
    rewrite(path, header, [good[0], Frame(Kind.PAGE, own), good[1]])
    read = told(relto(network, "JPN", "bundle", "read", path), 4)
    assert read["files"][0]["releases"] == 1 and remarks(network, "JPN") == contacts(0)
    assert incident_count(network, "JPN") == 0


def opened(page: bytes) -> tuple[str, str, str, bytes, tuple[bytes, ...]]:
    magic, to, batch, enc, parts = msgspec.msgpack.decode(page)
    return magic, to, batch, enc, tuple(parts)


def test_a_length_field_that_would_fill_the_memory_is_refused_unread(network: Network, tmp_path: Path) -> None:
    pages(network, range(1))
    path = carry(network, tmp_path / "bomb")
    content = path.read_bytes()
    at = content.index(PAGE_MAGIC.encode())
    prefix = content.rindex(b"P", 0, at - 1)
    path.write_bytes(content[:prefix] + b"P" + (2**62).to_bytes(8, "big") + content[prefix + 9 :])
    read = told(relto(network, "JPN", "bundle", "read", path), 4)
    assert "at most" in read["files"][0]["failed"]


@pytest.mark.parametrize(
    ("content", "named"), [(b"PK\x03\x04", "ZIP"), (b"", "empty"), (bytes(600), "zeros"), (b"relto-bund", "breaks off")]
)
def test_what_is_no_bundle_is_told_by_its_name(network: Network, tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "it").write_bytes(content)
    assert named in told(relto(network, "JPN", "bundle", "read", tmp_path / "it"), 4)["reason"]


@pytest.mark.parametrize("form", ["directory", "fifo", "device", "symlink", "missing"])
def test_only_a_plain_file_is_opened(network: Network, tmp_path: Path, form: str) -> None:
    pages(network, range(1))
    path = tmp_path / "it"
    if form == "directory":
        path.mkdir()
    elif form == "fifo":
        os.mkfifo(path)
    elif form == "symlink":
        path.symlink_to(carry(network, tmp_path / "good"))
    told(relto(network, "JPN", "bundle", "read", "/dev/zero" if form == "device" else path), 3)
    assert remarks(network, "JPN") == []


def test_nothing_is_written_through_a_link_or_over_a_file_and_no_half_stays(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages(network, range(1))
    victim = tmp_path / "victim"
    victim.write_bytes(b"kept")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "fresh.part").symlink_to(victim)
    for name in ("link", "victim"):
        told(relto(network, "USA", "bundle", "write", "--to", "JPN", tmp_path / name), 3)
    carry(network, tmp_path / "fresh")
    assert victim.read_bytes() == b"kept"

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "no room" in told(relto(network, "USA", "bundle", "write", "--to", "JPN", tmp_path / "big"), 3)["reason"]
    assert not [each for each in tmp_path.iterdir() if each.name.startswith("big")]


def test_a_quarantined_or_unknown_party_gets_no_bundle(network: Network, tmp_path: Path) -> None:
    told(relto(network, "USA", "bundle", "write", "--to", "ZZZ", tmp_path / "z"), 4)
    network.nodes["USA"].store.write(lambda books: books.set_quarantined(frozenset({"JPN"})))
    told(relto(network, "USA", "bundle", "write", "--to", "JPN", tmp_path / "q"), 3)
    assert list(tmp_path.glob("[zq]")) == []


def test_what_waits_for_a_wide_link_goes_on_the_stick(network: Network, tmp_path: Path) -> None:
    usa = network.nodes["USA"]
    usa.store.write(lambda books: set_link(books, "JPN", thin(), network.clock.now_ms()))
    publish(usa, *range(40))
    while share(usa):
        pass
    with usa.store.read() as books:
        assert len(books.page_sizes("JPN", 0, 100)) == 1  # the window
    carry(network, tmp_path / "few")
    assert told(relto(network, "JPN", "bundle", "read", tmp_path / "few"))["files"][0]["pages"] == 1
    carry(network, tmp_path / "all", "--all")
    told(relto(network, "JPN", "bundle", "read", tmp_path / "all"))
    assert remarks(network, "JPN") == contacts(*range(40))
