"""The release log in the store: appended inside the transaction that releases, so neither exists without the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from relto.envelope.merkle import EMPTY_ROOT, NodeReader, leaf_hash, root_nodes
from relto.log.leaf import commit
from relto.log.tiles import (
    ENTRIES,
    TILE_LEVELS,
    TILE_WIDTH,
    Tile,
    bundles_to_write,
    grown,
    node_reader,
    tiles_to_write,
)
from relto.store.schema import checkpoints, leaves, releases, tiles


class Leaf(msgspec.Struct, frozen=True):
    """One decision as the log keeps it: the record and the salts that open its commitments."""

    record: bytes
    salt: bytes
    policy_sha256: str
    policy_salt: bytes

    @property
    def entry(self) -> bytes:
        """The log's entry."""
        return commit(self.record, self.salt)


class Head(msgspec.Struct, frozen=True):
    """A signed head of the log."""

    size: int
    root: bytes
    note: bytes


EMPTY = Head(0, EMPTY_ROOT, b"")


def head(connection: Connection) -> Head:
    """The newest head; that of an empty log is not signed."""
    row = connection.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()
    return Head(*row) if row else EMPTY


def append(connection: Connection, start: int, added: Sequence[Leaf]) -> tuple[bytes, NodeReader]:
    """Append leaves after a log of ``start``; returns the new root and the reader of its nodes.

    The caller signs the root and stores it with ``set_head`` in the same transaction.
    """
    size = start + len(added)
    connection.execute(leaves.insert(), [_row(start + at, leaf) for at, leaf in enumerate(added)])
    entries = [leaf.entry for leaf in added]
    hashes = [leaf_hash(each) for each in entries]
    read = grown(node_reader(start, lambda path: tile(connection, path)), start, hashes)

    def entry(index: int) -> bytes:
        return entries[index - start] if index >= start else _entry(connection, index)

    files = [*tiles_to_write(start, size, read), *bundles_to_write(start, size, entry)]
    statement = insert(tiles)
    written = statement.on_conflict_do_update(index_elements=["path"], set_={"content": statement.excluded.content})
    connection.execute(written, [{"path": path, "content": content} for path, content in files])
    outgrown = {edge.path for edge in _edges(start)} - {edge.path for edge in _edges(size)}
    connection.execute(delete(tiles).where(tiles.c.path.in_(outgrown)))
    whole = node_reader(size, lambda path: tile(connection, path))
    return root_nodes(whole, size), whole


def _edges(size: int) -> Iterator[Tile]:
    """The partial tiles and the partial bundle at the right edge of a log."""
    for level in (ENTRIES, *range(size.bit_length() // TILE_LEVELS + 1)):
        hashes = size >> (TILE_LEVELS * max(level, 0))
        if hashes % TILE_WIDTH:
            yield Tile(level, hashes // TILE_WIDTH, hashes % TILE_WIDTH)


def _row(index: int, leaf: Leaf) -> dict[str, int | bytes | str]:
    return {"index": index, "entry": leaf.entry, **msgspec.structs.asdict(leaf)}


def _entry(connection: Connection, index: int) -> bytes:
    entry: bytes = connection.execute(select(leaves.c.entry).where(leaves.c.index == index)).scalar_one()
    return entry


def set_head(connection: Connection, new: Head) -> None:
    """Store a signed head."""
    connection.execute(checkpoints.insert().values(size=new.size, root=new.root, note=new.note))


def tile(connection: Connection, path: str) -> bytes | None:
    """One tile or bundle by its path."""
    return connection.execute(select(tiles.c.content).where(tiles.c.path == path)).scalar()


def tile_paths(connection: Connection) -> list[str]:
    """All paths, in order."""
    return list(connection.execute(select(tiles.c.path).order_by(tiles.c.path)).scalars())


def opened(connection: Connection, start: int, limit: int) -> list[tuple[int, bytes, Leaf]]:
    """Leaves with their openings: (index, entry, leaf)."""
    query = select(leaves).where(leaves.c.index >= start).order_by(leaves.c.index).limit(limit)
    return [(row[0], row[1], Leaf(*row[2:])) for row in connection.execute(query)]


def releases_of(connection: Connection, item_seq: int) -> list[tuple[str, int, int]]:
    """Who ever got an item: (recipient, n, leaf index)."""
    query = select(releases.c.recipient, releases.c.n, releases.c.leaf).where(releases.c.item == item_seq)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(releases.c.recipient))]


def releases_made(connection: Connection) -> dict[str, int]:
    """How many releases went to each recipient."""
    query = select(releases.c.recipient, func.count()).group_by(releases.c.recipient)
    return {row[0]: row[1] for row in connection.execute(query)}
