"""Tiles: the paths and bytes of C2SP tlog-tiles, proofs from them, and an auditor who names the wrong one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.envelope import merkle
from relto.errors import MalformedError, ProofError, TooLargeError
from relto.log import tiles
from relto.log.tiles import ENTRIES, Tile

pytestmark = pytest.mark.pure

Files = dict[str, bytes]


def entry(place: int) -> bytes:
    return hashlib.sha256(b"commitment %d" % place).digest()


LEAVES = [merkle.leaf_hash(entry(place)) for place in range(70_000)]
READ = merkle.reader(LEAVES)


def log_of(size: int) -> tuple[Files, Files]:
    return (
        dict(tiles.tiles_to_write(0, size, READ)),
        dict(tiles.bundles_to_write(0, size, entry)),
    )


def counted(files: Files) -> tuple[Callable[[str], bytes | None], list[str]]:
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return files.get(path)

    return read, asked


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),  # the example of the specification
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(3, 999, 255), "tile/3/999.p/255"),
        (Tile(63, 1000), "tile/63/x001/000"),
        (Tile(ENTRIES, 1_000_000, 7), "tile/entries/x001/x000/000.p/7"),
        (Tile(ENTRIES, 1), "tile/entries/001"),
    ],
)
def test_paths_are_those_of_tlog_tiles(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tiles.parse_path(path) == tile


@settings(deadline=None)
@given(st.integers(-1, 63), st.integers(0, 2**45 - 1), st.integers(1, 256))
def test_every_path_is_read_back(level: int, index: int, width: int) -> None:
    assert tiles.parse_path(Tile(level, index, width).path) == Tile(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/0/../../000",
        "tile/entry/000",
        "tile/0/" + "x999/" * 8 + "999",
        "tile/0/" + "x999/" * 100_000 + "999",
    ],
)
def test_another_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        tiles.parse_path(path)


def test_a_log_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    files = dict(tiles.tiles_to_write(0, 70_000, READ))
    assert len([path for path in files if path.startswith("tile/0/") and ".p/" not in path]) == 273
    assert [path for path in files if not path.startswith("tile/0/") or ".p/" in path] == [
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert all(len(content) == 32 * tiles.parse_path(path).width for path, content in files.items())
    assert files["tile/2/000.p/1"] == merkle.root(LEAVES[:65536])
    assert files["tile/1/001.p/17"][:32] == merkle.root(LEAVES[65536 : 65536 + 256])


def test_a_log_of_256_has_a_full_tile_and_one_hash_above() -> None:
    assert list(dict(tiles.tiles_to_write(0, 256, READ))) == ["tile/0/000", "tile/1/000.p/1"]
    assert list(dict(tiles.tiles_to_write(0, 255, READ))) == ["tile/0/000.p/255"]
    assert list(dict(tiles.tiles_to_write(256, 257, READ))) == ["tile/0/001.p/1"]
    assert list(dict(tiles.tiles_to_write(0, 0, READ))) == []
    assert list(dict(tiles.tiles_to_write(300, 300, READ))) == []


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 300, 511, 512, 513, 1000])
def test_proofs_from_tiles_are_the_proofs_from_the_leaves(size: int) -> None:
    files, _ = log_of(size)
    read = tiles.node_reader(size, files.get)
    root = merkle.root_nodes(read, size)
    assert root == merkle.root(LEAVES[:size])
    for index in {0, 1, size // 2, size - 1} & set(range(size)):
        proof = merkle.inclusion_nodes(read, index, size)
        assert proof == merkle.inclusion_nodes(READ, index, size)
        merkle.verify_inclusion(LEAVES[index], index, size, proof, root)
        assert merkle.consistency_nodes(read, index + 1, size) == merkle.consistency_nodes(READ, index + 1, size)
        assert merkle.range_nodes(read, index // 2, index + 1, size) == merkle.range_nodes(
            READ, index // 2, index + 1, size
        )


def test_a_proof_in_a_large_log_reads_few_tiles_and_each_once() -> None:
    size = 70_000
    files, _ = log_of(size)
    read_tile, asked = counted(files)
    read = tiles.node_reader(size, read_tile)
    proof = merkle.inclusion_nodes(read, 33_333, size)
    merkle.verify_inclusion(LEAVES[33_333], 33_333, size, proof, merkle.root_nodes(READ, size))
    assert len(asked) == len(set(asked)) <= 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([1, 3, 100, 255, 256, 257, 511, 600]), max_size=6))
def test_a_log_grown_in_steps_from_its_own_tiles_holds_the_same_tiles(steps: list[int]) -> None:
    """Each step reads only the tiles already written and the new leaves, as a node without a node table does."""
    files: Files = {}
    bundles: Files = {}
    size = 0
    for step in steps:
        read = tiles.grown(tiles.node_reader(size, files.get), size, LEAVES[size : size + step])
        files |= tiles.tiles_to_write(size, size + step, read)
        bundles |= tiles.bundles_to_write(size, size + step, entry)
        size += step
        tiles.check(size, merkle.root(LEAVES[:size]), files.get, bundles.get)
    at_once, bundles_at_once = log_of(size)
    assert at_once.items() <= files.items()
    assert bundles_at_once.items() <= bundles.items()


def test_growth_across_a_level_two_tile_needs_no_old_leaves() -> None:
    old, new = 65_500, 65_600
    files, _ = log_of(old)
    read_tile, asked = counted(files)
    read = tiles.grown(tiles.node_reader(old, read_tile), old, LEAVES[old:new])
    files |= tiles.tiles_to_write(old, new, read)
    assert set(asked) == {"tile/0/255.p/220", "tile/1/000.p/255"}
    tiles.check(new, merkle.root_nodes(READ, new), files.get)


def test_growth_writes_nothing_that_was_there() -> None:
    before, _ = log_of(600)
    after = dict(tiles.tiles_to_write(600, 1300, READ))
    assert not before.keys() & after.keys()


def test_a_grown_log_proves_to_old_checkpoints_from_its_present_tiles() -> None:
    old, new = 300, 600
    read = tiles.node_reader(new, log_of(new)[0].get)
    assert merkle.root_nodes(read, old) == merkle.root(LEAVES[:old])
    assert merkle.inclusion_nodes(read, 299, old) == merkle.inclusion_nodes(READ, 299, old)


def test_a_partial_tile_may_go_once_the_full_one_is_there() -> None:
    (files, bundles), (later_files, later_bundles) = log_of(300), log_of(600)
    del files["tile/0/001.p/44"], bundles["tile/entries/001.p/44"]
    files, bundles = {**files, **later_files}, {**bundles, **later_bundles}
    tiles.check(300, merkle.root(LEAVES[:300]), files.get, bundles.get)
    read = tiles.node_reader(300, files.get)
    assert merkle.inclusion_nodes(read, 299, 300) == merkle.inclusion_nodes(READ, 299, 300)


def test_a_node_that_the_log_does_not_have_is_refused_unread() -> None:
    read_tile, asked = counted(log_of(300)[0])
    read = tiles.node_reader(300, read_tile)
    for level, index in ((0, 300), (8, 1), (9, 0), (50, 0), (0, 10**30)):
        with pytest.raises(ProofError, match="not complete"):
            read(level, index)
    assert asked == []


def test_a_log_cannot_shrink_or_outgrow_its_bound() -> None:
    for old, new in ((2, 1), (-1, 5), (0, 2**53)):
        with pytest.raises(ProofError):
            list(tiles.tiles_to_write(old, new, READ))
        with pytest.raises(ProofError):
            list(tiles.bundles_to_write(old, new, entry))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 520])
def test_a_sound_log_is_found_sound_with_and_without_its_entries(size: int) -> None:
    files, bundles = log_of(size)
    tiles.check(size, merkle.root(LEAVES[:size]), files.get, bundles.get)
    tiles.check(size, merkle.root(LEAVES[:size]), files.get)


def test_a_sound_log_of_65536_and_one_more_is_found_sound_reading_each_tile_once() -> None:
    for size in (65_536, 65_537):
        files, _ = log_of(size)
        read_tile, asked = counted(files)
        tiles.check(size, merkle.root_nodes(READ, size), read_tile)
        assert sorted(asked) == sorted(files)


@pytest.mark.parametrize("size", [5, 256, 300, 600])
def test_every_changed_tile_and_bundle_is_found_and_named(size: int) -> None:
    files, bundles = log_of(size)
    for path in [*files, *bundles]:
        changed_files, changed_bundles = dict(files), dict(bundles)
        store = changed_files if path in files else changed_bundles
        store[path] = store[path][:-1] + bytes([store[path][-1] ^ 1])
        with pytest.raises(ProofError) as caught:
            tiles.check(size, merkle.root(LEAVES[:size]), changed_files.get, changed_bundles.get)
        assert caught.value.field == path


def test_a_changed_leaf_hash_is_found_without_the_entries_too() -> None:
    files, _ = log_of(600)
    for path in files:
        content = bytes([files[path][0] ^ 1]) + files[path][1:]
        with pytest.raises(ProofError) as caught:
            tiles.check(600, merkle.root(LEAVES[:600]), {**files, path: content}.get)
        assert caught.value.field in {"tile/1/000.p/2", "root"}


@pytest.mark.parametrize("wrong", [None, b"", b"x", "short", "long"])
def test_a_missing_or_misshapen_tile_is_named(wrong: bytes | str | None) -> None:
    files, bundles = log_of(600)
    root = merkle.root(LEAVES[:600])
    for path in [*files, *bundles]:
        store = files if path in files else bundles
        content = {"short": store[path][:-1], "long": store[path] + b"\0"}.get(str(wrong))
        changed: dict[str, bytes] = {name: held for name, held in store.items() if name != path}
        if wrong is not None:
            changed[path] = wrong if isinstance(wrong, bytes) else content or b""
        readers = (changed.get, bundles.get) if store is files else (files.get, changed.get)
        with pytest.raises(ProofError) as caught:
            tiles.check(600, root, *readers)
        assert caught.value.field == path


def test_a_log_rewritten_throughout_leads_to_another_root() -> None:
    """Every file agrees with every other, and only the signed root tells."""
    forged = [merkle.leaf_hash(b"forged"), *LEAVES[1:300]]
    files = dict(tiles.tiles_to_write(0, 300, merkle.reader(forged)))
    bundles = dict(tiles.bundles_to_write(0, 300, lambda place: entry(place) if place else b"forged"))
    tiles.check(300, merkle.root(forged), files.get, bundles.get)
    with pytest.raises(ProofError) as caught:
        tiles.check(300, merkle.root(LEAVES[:300]), files.get, bundles.get)
    assert caught.value.field == "root"


def test_the_reader_names_a_missing_tile() -> None:
    files, _ = log_of(300)
    del files["tile/0/000"]
    with pytest.raises(ProofError) as caught:
        merkle.inclusion_nodes(tiles.node_reader(300, files.get), 5, 300)
    assert caught.value.field == "tile/0/000"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=12))
def test_bundles_come_back(entries: list[bytes]) -> None:
    assert tiles.parse_bundle(tiles.encode_bundle(entries), len(entries)) == tuple(entries)


def test_a_bundle_is_lengths_and_entries() -> None:
    assert tiles.encode_bundle([b"ab", b"", bytes(300)]) == b"\x00\x02ab\x00\x00\x01\x2c" + bytes(300)


@pytest.mark.parametrize(
    ("content", "width"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x02a", 1),
        (b"\x00\x01a\x00", 1),
        (b"\x00\x01a\x00", 2),
        (b"\x00\x01a\x00\x01b", 1),
        (b"\x00\x01a", 2),
        (b"\xff\xff", 1),
        (b"\x00", 0),
        (b"\x00\x00" * 257, 256),
    ],
)
def test_a_bundle_with_other_entries_than_its_width_is_refused(content: bytes, width: int) -> None:
    with pytest.raises(MalformedError):
        tiles.parse_bundle(content, width)


def test_entries_and_bundles_are_bounded() -> None:
    tiles.encode_bundle([bytes(65_535)] * 256)
    for entries in ([bytes(65_536)], [b""] * 257):
        with pytest.raises(TooLargeError):
            tiles.encode_bundle(entries)


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 256))
def test_random_bundles_are_refused_or_read_whole(content: bytes, width: int) -> None:
    try:
        entries = tiles.parse_bundle(content, width)
    except MalformedError:
        return
    assert tiles.encode_bundle(entries) == content
