"""The log as static files: C2SP tlog-tiles, hashes in tiles 256 wide and entries in bundles beside them.

A tile of level L holds up to 256 hashes of complete subtrees over 256^L leaves each. Tiles and bundles never change;
only the partial ones at the right edge are followed by wider ones under another name. Everything here is computed
from readers that are passed in, so the same code serves files, a database and a partner's answers.

A tile is only as true as the checkpoint that its hashes lead to: verify what was read against a signed root
(``relto.envelope.merkle``), or recompute the whole with ``check``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from relto.bounds import BOUNDS
from relto.envelope.merkle import HASH_BYTES, LARGEST_SIZE, NodeReader, leaf_hash, reader, root
from relto.errors import MalformedError, ProofError, TooLargeError

TILE_WIDTH = 256
TILE_LEVELS = 8
HIGHEST_LEVEL = 63
LONGEST_ENTRY_BYTES = 65_535
ENTRIES = -1
"""The ``level`` of a ``Tile`` that is a bundle of entries."""

_PATH = re.compile(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)
_GROUP = 1000
_LENGTH_BYTES = 2
_CACHED_TILES = 64

FileReader = Callable[[str], bytes | None]
"""``read(path)``: the file's bytes, or None if there is none."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of one tile, or of one bundle if ``level`` is ``ENTRIES``: its place and how many hashes it holds."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The path below the log's prefix, as tlog-tiles spells it: ``tile/0/x001/234.p/7``."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        groups, rest = [f"{self.index % _GROUP:03d}"], self.index // _GROUP
        while rest:
            groups.append(f"x{rest % _GROUP:03d}")
            rest //= _GROUP
        partial = f".p/{self.width}" if self.width < TILE_WIDTH else ""
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"

    @property
    def whole(self) -> Tile:
        """The full tile that stands, or will stand, in this place."""
        return Tile(self.level, self.index)


def parse_path(path: str) -> Tile:
    """Read a tile's path as a client asks for it.

    Raises:
        MalformedError: any spelling but the one that ``Tile.path`` writes.
    """
    match = _PATH.fullmatch(path[: BOUNDS.text_chars])
    if match is not None:
        level, groups, width = match.groups()
        index = int(groups.replace("/", "").replace("x", ""))
        tile = Tile(ENTRIES if level == "entries" else int(level), index, int(width or TILE_WIDTH))
        if tile.path == path and tile.level <= HIGHEST_LEVEL and index * TILE_WIDTH <= LARGEST_SIZE:
            return tile
    raise MalformedError(
        f"{path[:80]!r} is no path of a tile.", field="path", remedy="Write it as c2sp.org/tlog-tiles says."
    )


def tiles_of(size: int, *, since: int = 0) -> Iterator[Tile]:
    """Name the hash tiles of a tree that the tree of ``since`` leaves did not have, lower levels first."""
    level = 0
    while size >> (TILE_LEVELS * level):
        old, new = since >> (TILE_LEVELS * level), size >> (TILE_LEVELS * level)
        if new == old:
            return  # nothing new here, so nothing above
        for index in range(old // TILE_WIDTH, -(-new // TILE_WIDTH)):
            yield Tile(level, index, min(TILE_WIDTH, new - index * TILE_WIDTH))
        level += 1


def bundles_of(size: int, *, since: int = 0) -> Iterator[Tile]:
    """Name the entry bundles of a log that the log of ``since`` entries did not have."""
    return (Tile(ENTRIES, tile.index, tile.width) for tile in tiles_of(size, since=since) if tile.level == 0)


def tiles_to_write(old_size: int, new_size: int, read_hash: NodeReader) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each hash tile that the growth from ``old_size`` to ``new_size`` adds.

    ``read_hash(level, index)`` is asked for leaf hashes (level 0) and, at levels 8, 16, ..., only for nodes that the
    old tree had; ``grown`` makes such a reader from the old tiles and the new leaves. Lower levels come first. Write
    all of them, durably, before the checkpoint that needs them.

    Raises:
        ProofError: the log would shrink or is over the largest size.
    """
    _check_growth(old_size, new_size)
    below: dict[int, bytes] = {}
    made: dict[int, bytes] = {}
    level = 0
    for tile in tiles_of(new_size, since=old_size):
        if tile.level != level:
            below, made, level = made, {}, tile.level
        first = tile.index * TILE_WIDTH
        hashes = [
            below[place] if place in below else read_hash(TILE_LEVELS * level, place)
            for place in range(first, first + tile.width)
        ]
        if tile.width == TILE_WIDTH:
            made[tile.index] = root(hashes)
        yield tile.path, b"".join(hashes)


def bundles_to_write(old_size: int, new_size: int, read_entry: Callable[[int], bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each entry bundle that the growth from ``old_size`` to ``new_size`` adds.

    Raises:
        ProofError: the log would shrink or is over the largest size.
        TooLargeError: an entry is over 65,535 bytes.
    """
    _check_growth(old_size, new_size)
    for bundle in bundles_of(new_size, since=old_size):
        first = bundle.index * TILE_WIDTH
        yield bundle.path, encode_bundle([read_entry(at) for at in range(first, first + bundle.width)])


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the entries one after the other, each behind its length as 2 bytes big-endian.

    Raises:
        TooLargeError: more than 256 entries, or one over 65,535 bytes.
    """
    if len(entries) > TILE_WIDTH or any(len(entry) > LONGEST_ENTRY_BYTES for entry in entries):
        raise TooLargeError(
            f"a bundle holds {TILE_WIDTH} entries of {LONGEST_ENTRY_BYTES} bytes at most.",
            field="entries",
            remedy="Log a digest of the entry.",
        )
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries)


def parse_bundle(content: bytes, width: int) -> tuple[bytes, ...]:
    """Read the ``width`` entries of a bundle.

    Raises:
        MalformedError: the bytes do not hold exactly so many.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(content) and len(entries) < width:
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(content[at:start], "big")
        entries.append(content[start:at])
    if at != len(content) or len(entries) != width:
        raise MalformedError(
            f"{len(content)} bytes are not {width} entries.", field="entries", remedy="Fetch the bundle again."
        )
    return tuple(entries)


def node_reader(size: int, read_tile: FileReader) -> NodeReader:
    """Read the complete subtrees of a log of ``size`` leaves from its tiles, for the proofs of ``merkle``.

    Give the present size: the reader serves proofs to every earlier checkpoint as well. A node costs one tile; the
    last tiles read are kept, so a proof reads each of its few tiles once. A partial tile that is gone is taken from
    the full one that followed it.

    The reader raises ProofError if a tile is missing or has the wrong length, naming it.
    """

    @lru_cache(maxsize=_CACHED_TILES)
    def nodes(level: int, index: int) -> NodeReader:
        width = min(TILE_WIDTH, (size >> (TILE_LEVELS * level)) - index * TILE_WIDTH)
        return reader(_hashes(Tile(level, index, width), read_tile))

    def read(level: int, index: int) -> bytes:
        if (index + 1) << level > size:
            raise ProofError(
                f"node {index} of level {level} is not complete in a tree of {size}.",
                field="tiles",
                remedy="Ask for a proof to a checkpoint that the log has.",
            )
        tile_level, height = divmod(level, TILE_LEVELS)
        tile, place = divmod(index << height, TILE_WIDTH)
        return nodes(tile_level, tile)(height, place >> height)

    return read


def grown(read: NodeReader, old_size: int, leaf_hashes: Sequence[bytes]) -> NodeReader:
    """Return the reader of ``tiles_to_write``: leaves from ``old_size`` on from the list, the rest from ``read``."""
    return lambda level, index: (
        leaf_hashes[index - old_size] if level == 0 and index >= old_size else read(level, index)
    )


def check(size: int, expected_root: bytes, read_tile: FileReader, read_entries: FileReader | None = None) -> None:
    """Recompute a whole log of ``size`` entries from its files up to the root.

    Reads every bundle and every tile once, in the order of the leaves, and keeps one tile a level in memory. Whoever
    may not read entries leaves ``read_entries`` out; then the leaf hashes are believed and the tree over them is not.

    Raises:
        ProofError: names the first tile or bundle that is missing or wrong, or ``root``.
    """
    _check_growth(0, size)
    pending: list[list[bytes]] = [[]]
    for bundle in bundles_of(size):
        hashes = _hashes(Tile(0, bundle.index, bundle.width), read_tile)
        if read_entries is not None and _entry_hashes(bundle, read_entries) != hashes:
            raise _blame(bundle, size, expected_root, read_tile)
        pending[0] = hashes
        if bundle.width == TILE_WIDTH:
            _rise(pending, bundle.index, read_tile)
    top: list[bytes] = []
    for level, hashes in enumerate(pending):
        if level and hashes:
            index = size >> (TILE_LEVELS * (level + 1))
            _check_tile(Tile(level, index, len(hashes)), hashes, read_tile)
        above = [*hashes, *top]
        top = [root(above)] if above else []
    if root(top) != expected_root:
        raise ProofError(
            "the tiles are sound but lead to another root.",
            field="root",
            remedy="Compare the checkpoint with those the witnesses signed.",
        )


def _rise(pending: list[list[bytes]], index: int, read_tile: FileReader) -> None:
    """Hand the hash of the full tile ``index`` of level 0 up, checking each upper tile that it fills."""
    level = 0
    while len(pending[level]) == TILE_WIDTH:
        if level:
            _check_tile(Tile(level, index), pending[level], read_tile)
        if level + 1 == len(pending):
            pending.append([])
        pending[level + 1].append(root(pending[level]))
        pending[level] = []
        level, index = level + 1, index // TILE_WIDTH


def _check_tile(tile: Tile, expected: Sequence[bytes], read_tile: FileReader) -> None:
    if _hashes(tile, read_tile) != expected:
        raise _wrong(tile, "does not follow from the tiles below it.")


def _blame(bundle: Tile, size: int, expected_root: bytes, read_tile: FileReader) -> ProofError:
    """Which is wrong if a bundle and its tile disagree: the signed root decides."""
    tile = Tile(0, bundle.index, bundle.width)
    try:
        check(size, expected_root, read_tile)
    except ProofError:
        return _wrong(tile, f"does not follow from {bundle.path}.")
    return _wrong(bundle, f"does not hash to {tile.path}, which the root bears out.")


def _entry_hashes(bundle: Tile, read_entries: FileReader) -> list[bytes]:
    found, content = _load(bundle, read_entries)
    try:
        entries = parse_bundle(content, found.width)[: bundle.width]
    except MalformedError as error:
        raise _wrong(found, error.reason) from None
    return [leaf_hash(entry) for entry in entries]


def _hashes(tile: Tile, read_tile: FileReader) -> list[bytes]:
    found, content = _load(tile, read_tile)
    if len(content) != found.width * HASH_BYTES:
        raise _wrong(found, f"has {len(content)} bytes, needs {found.width * HASH_BYTES}.")
    return [content[at : at + HASH_BYTES] for at in range(0, tile.width * HASH_BYTES, HASH_BYTES)]


def _load(tile: Tile, read: FileReader) -> tuple[Tile, bytes]:
    """A partial tile may be gone once the full one is there (tlog-tiles, "Partial Tiles")."""
    for found in dict.fromkeys((tile, tile.whole)):
        content = read(found.path)
        if content is not None:
            return found, content
    raise _wrong(tile, "is missing.")


def _wrong(tile: Tile, reason: str) -> ProofError:
    return ProofError(reason, field=tile.path, remedy="Restore it from a mirror, and keep the wrong one as evidence.")


def _check_growth(old_size: int, new_size: int) -> None:
    if not 0 <= old_size <= new_size <= LARGEST_SIZE:
        raise ProofError(
            f"a log of {old_size} entries cannot become one of {new_size}.",
            field="size",
            remedy="Compare the log's checkpoints.",
        )
