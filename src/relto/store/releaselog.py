"""The release log in the store: appended inside the transaction that releases, so neither exists without the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, select

from relto.envelope.merkle import EMPTY_ROOT, NodeReader, leaf_hash, root_nodes
from relto.exchange.books import Head, Leaf, SeenHead
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
from relto.store.dialect import insert
from relto.store.schema import checkpoints, heads, leaves, tiles

EMPTY = Head(0, EMPTY_ROOT, b"")


def _edges(size: int) -> Iterator[Tile]:
    """The partial tiles and the partial bundle at the right edge of a log."""
    for level in (ENTRIES, *range(size.bit_length() // TILE_LEVELS + 1)):
        hashes = size >> (TILE_LEVELS * max(level, 0))
        if hashes % TILE_WIDTH:
            yield Tile(level, hashes // TILE_WIDTH, hashes % TILE_WIDTH)


def _row(index: int, leaf: Leaf) -> dict[str, int | bytes | str]:
    return {"index": index, "entry": leaf.entry, **msgspec.structs.asdict(leaf)}


class ReleaseLog:
    """Our release log, and the newest heads of others' logs."""

    _connection: Connection

    def head(self) -> Head:
        """The newest head; that of an empty log is not signed."""
        row = self._connection.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()
        return Head(*row) if row else EMPTY

    def append(self, start: int, added: Sequence[Leaf]) -> tuple[bytes, NodeReader]:
        """Append leaves after a log of ``start``; returns the new root and the reader of its nodes.

        The caller signs the root and stores it with ``set_head`` in the same transaction.
        """
        size = start + len(added)
        self._connection.execute(leaves.insert(), [_row(start + at, leaf) for at, leaf in enumerate(added)])
        entries = [leaf.entry for leaf in added]
        hashes = [leaf_hash(each) for each in entries]
        read = grown(node_reader(start, self.tile), start, hashes)

        def entry(index: int) -> bytes:
            return entries[index - start] if index >= start else self._entry(index)

        files = [*tiles_to_write(start, size, read), *bundles_to_write(start, size, entry)]
        statement = insert(tiles)
        written = statement.on_conflict_do_update(index_elements=["path"], set_={"content": statement.excluded.content})
        self._connection.execute(written, [{"path": path, "content": content} for path, content in files])
        outgrown = {edge.path for edge in _edges(start)} - {edge.path for edge in _edges(size)}
        self._connection.execute(delete(tiles).where(tiles.c.path.in_(outgrown)))
        whole = node_reader(size, self.tile)
        return root_nodes(whole, size), whole

    def _entry(self, index: int) -> bytes:
        entry: bytes = self._connection.execute(select(leaves.c.entry).where(leaves.c.index == index)).scalar_one()
        return entry

    def set_head(self, new: Head) -> None:
        """Store a signed head."""
        self._connection.execute(checkpoints.insert().values(size=new.size, root=new.root, note=new.note))

    def tile(self, path: str) -> bytes | None:
        """One tile or bundle by its path."""
        return self._connection.execute(select(tiles.c.content).where(tiles.c.path == path)).scalar()

    def tile_paths(self) -> list[str]:
        """All paths, in order."""
        return list(self._connection.execute(select(tiles.c.path).order_by(tiles.c.path)).scalars())

    def opened(self, start: int, limit: int) -> list[tuple[int, bytes, Leaf]]:
        """Leaves with their openings: (index, entry, leaf)."""
        query = select(leaves).where(leaves.c.index >= start).order_by(leaves.c.index).limit(limit)
        return [(row[0], row[1], Leaf(*row[2:])) for row in self._connection.execute(query)]

    def log_nodes(self) -> NodeReader:
        """The nodes of the log as it is now."""
        return node_reader(self.head().size, self.tile)

    def seen_heads(self) -> list[SeenHead]:
        """The newest verified head of each party's log."""
        return self._heads(heads.c.source == "")

    def told_heads(self) -> list[SeenHead]:
        """The heads that wait to be compared: of each log the newest from each source."""
        return self._heads(heads.c.source != "")

    def _heads(self, which: ColumnElement[bool]) -> list[SeenHead]:
        columns = [heads.c[name] for name in SeenHead.__struct_fields__]
        query = select(*columns).where(which).order_by(heads.c.party, heads.c.log, heads.c.source)
        return [SeenHead(*row) for row in self._connection.execute(query)]

    def keep_head(self, head: SeenHead) -> None:
        """Remember a newer head of a party's log from its source; an older one changes nothing."""
        statement = insert(heads)
        new = statement.excluded
        moved = {name: new[name] for name in ("size", "root", "note", "seen_ms")}
        written = statement.on_conflict_do_update(
            index_elements=["party", "log", "source"], set_=moved, where=heads.c.size <= new.size
        )
        self._connection.execute(written, msgspec.structs.asdict(head))

    def forget_heads(self, party: str, log: int, source: str | None = None) -> None:
        """Forget the heads of a party's log, or that from one source."""
        gone = (heads.c.party == party) & (heads.c.log == log)
        self._connection.execute(delete(heads).where(gone if source is None else gone & (heads.c.source == source)))
