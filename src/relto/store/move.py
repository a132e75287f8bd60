"""Moving a store: everything from one database into another, empty one, of whatever engine.

The target is filled in one transaction and the source is locked meanwhile, so nothing is written that the copy lacks.
Before the target commits, each table is read back and compared. Then the source is closed for good: no process goes on
writing in a store that others have left, which would fork the release log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, delete, func, select

from relto.errors import InvariantError, OurError
from relto.store.database import Database
from relto.store.migrate import mark_moved
from relto.store.schema import metadata, settings

_BATCH_ROWS = 500
_BATCH_BYTES = 4 * 1024 * 1024
_FETCHED_ROWS = 32  # a row may be a page of many megabytes

_encoder = msgspec.msgpack.Encoder()


class Copied(msgspec.Struct, frozen=True):
    """One table as it is on both sides: its rows, and the SHA-256 over them in the order of their key."""

    table: str
    rows: int
    sha256: str


def move(source: Database, target: Database, step: Callable[[int, int], None]) -> tuple[Copied, ...]:
    """Copy a store into an empty one, compare, and close the source; ``step(rows done, rows in all)`` as it goes on.

    Memory is bounded by a batch: 500 rows or 4 MiB, or the 32 largest rows if those are more.

    Raises:
        OurError: the target is not empty, or one of the two cannot be reached. The source is as it was.
    """

    def fill(held: Connection) -> tuple[Copied, ...]:
        copied = target.write(lambda connection: _fill(held, connection, source, target, step))
        mark_moved(held, target.dialect.place)
        return copied

    return source.write(fill)


def copy(source: Database, target: Database) -> tuple[Copied, ...]:
    """Copy one consistent state of a store into an empty one and compare; the source goes on.

    Raises:
        OurError: the target is not empty, or one of the two cannot be reached.
    """
    with source.read() as held:
        return target.write(lambda connection: _fill(held, connection, source, target, lambda *_: None))


def rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {
        str(name): connection.execute(select(func.count()).select_from(table)).scalar() or 0
        for name, table in sorted(metadata.tables.items())
    }


def _fill(
    source: Connection, target: Connection, source_of: Database, target_of: Database, step: Callable[[int, int], None]
) -> tuple[Copied, ...]:
    _check_empty(target, target_of.dialect.place)
    target.execute(delete(settings))
    total = sum(rows(source).values())
    copied: list[Copied] = []
    for table in metadata.sorted_tables:
        done = sum(each.rows for each in copied)
        copied.append(_copy(source, target, table, partial(_step, step, done, total)))
        numbered = table.autoincrement_column
        if numbered is not None:
            last = source_of.dialect.last_number(source, numbered)
            target_of.dialect.go_on_from(target, numbered, last)
    target_of.dialect.survey(target, metadata.sorted_tables)
    return tuple(copied)


def _step(step: Callable[[int, int], None], done: int, total: int, at: int) -> None:
    step(done + at, total)


def _check_empty(target: Connection, place: str) -> None:
    """A store that nobody has used holds its schema version and nothing else."""
    used = [name for name, number in rows(target).items() if number > (name == settings.name)]
    if used:
        raise OurError(f"is not empty: {', '.join(used)}.", field=place, remedy="Give a new, empty database.")


def _copy(source: Connection, target: Connection, table: Table, step: Callable[[int], None]) -> Copied:
    names, digest, number = table.columns.keys(), hashlib.sha256(), 0
    for batch in _batches(source, table):
        _digest(digest, batch)
        target.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in batch])
        number += len(batch)
        step(number)
    found = _read_back(target, table)
    if found != Copied(str(table.name), number, digest.hexdigest()):
        raise InvariantError(f"{table.name}: {found.rows} of {number} rows arrived as they were.")
    return found


def _read_back(connection: Connection, table: Table) -> Copied:
    digest, number = hashlib.sha256(), 0
    for batch in _batches(connection, table):
        _digest(digest, batch)
        number += len(batch)
    return Copied(str(table.name), number, digest.hexdigest())


def _digest(digest: Any, batch: list[Row[Any]]) -> None:
    for row in batch:
        digest.update(_encoder.encode(tuple(row)))


def _batches(connection: Connection, table: Table) -> Iterator[list[Row[Any]]]:
    """A table's rows in the order of its key, a bounded number at a time."""
    query = select(table).order_by(*table.primary_key)
    batch: list[Row[Any]] = []
    size_bytes = 0
    for row in connection.execute(query, execution_options={"yield_per": _FETCHED_ROWS}):
        batch.append(row)
        size_bytes += sum(len(value) for value in row if isinstance(value, bytes | str))
        if len(batch) == _BATCH_ROWS or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
