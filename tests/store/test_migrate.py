"""An older store is brought up to this program, with every row; ``version-1.sql`` is one that version 0.1.0 wrote."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Inspector, MetaData, inspect, select, text, update

from relto.envelope.merkle import leaf_hash, root
from relto.errors import OurError
from relto.exchange.books import Floor
from relto.item import parse_item
from relto.log.leaf import open_leaf
from relto.store import migrate
from relto.store.books import SqlStore
from relto.store.database import Database
from relto.store.dialect import dialect_of
from relto.store.schema import SCHEMA_VERSION, metadata, settings
from tests.store.conftest import filed

FIRST = Path(__file__).parent / "version-1.sql"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A store as version 0.1.0 wrote it: three own items released and receipted, a fourth, and two received."""
    path = tmp_path / "first.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST.read_text())
    connection.close()
    return path


def _rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    engine, found = dialect_of(path).open(), MetaData()
    with engine.connect() as connection:
        found.reflect(connection)
        rows = {
            name: [dict(row._mapping) for row in connection.execute(select(found.tables[name]))]
            for name in found.tables
        }
    engine.dispose()
    return rows


def _expected(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of the first version as it must be now, apart from what is new in it."""
    if table == "floor":  # who spoke of an item was its originator
        return {"party": row["origin"], "id": row["id"], "version": row["version"]}
    return row | {"value": b"%d" % SCHEMA_VERSION} if row.get("name") == "schema" else row


def test_every_row_of_a_first_store_is_there_after(first: Path) -> None:
    before = _rows(first)
    Database(first).close()
    after = _rows(first)
    assert sum(map(len, before.values())) > 30
    for table, rows in before.items():
        assert len(after[table]) == len(rows), table
        for row in rows:
            assert any(_expected(table, row).items() <= found.items() for found in after[table]), (table, row)


def test_a_first_store_works_on(first: Path) -> None:
    store = SqlStore(Database(first))
    with store.read() as books:
        items = books.after(0, 9)
        assert [each.by for each in items] == ["", "", "", "PHL", "PHL", ""]
        assert all(parse_item(each.header, each.content) for each in items)
        assert {(each.standing, each.urgency, each.hops) for each in items} == {("current", 0, b"")}
        opened = books.opened(0, 9)
        for at, item in enumerate(each for each in items if not each.by):
            header = parse_item(item.header, item.content).header
            (told,) = books.releases_of(header.id)
            record = open_leaf(opened[told.leaf][2].record, opened[told.leaf][2].salt, opened[told.leaf][1])
            assert (told.n, told.item, told.version, told.view) == (at + 1, item.seq, 1, record.view)
            assert (told.released_ms, told.expires_ms, record.item) == (record.time_ms, None, header.id)
            assert books.floors([header.id]) == {("JPN", header.id): Floor("JPN", header.id, 1)}
        assert root([leaf_hash(entry) for _, entry, _ in opened]) == books.head().root
        stream = books.stream("PHL")
        assert stream is not None
        assert (stream.scanned_seq, stream.urgent_seq) == (6, 6)
        assert books.inbound("PHL").log == 1
    store.write(lambda books: books.insert_items([filed(9)]))
    with store.read() as books:
        assert [each.seq for each in books.after(6, 9)] == [7]
    store.database.close()


def _schema(engine: Engine) -> dict[str, Any]:
    """What a database says of its tables; only the order of columns is left out."""
    found = inspect(engine)
    return {name: _table(found, name) for name in sorted(found.get_table_names())}


def _table(found: Inspector, name: str) -> dict[str, Any]:
    columns = {each["name"]: (str(each["type"]), each["nullable"], each["default"]) for each in found.get_columns(name)}
    indexes = {
        each["name"]: (each["column_names"], each["unique"], str(sorted(_where(each).values(), key=str)))
        for each in found.get_indexes(name)
    }
    unique = {each["name"]: each["column_names"] for each in found.get_unique_constraints(name)}
    return {"columns": columns, "key": found.get_pk_constraint(name), "indexes": indexes, "unique": unique}


def _where(index: Any) -> dict[str, str]:
    return {name: str(option) for name, option in index.get("dialect_options", {}).items()}


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_migrated_store_has_the_very_tables_of_a_new_one(
    make_where: Callable[[str], Path | str], engine: str
) -> None:
    new, migrated = (dialect_of(make_where(engine)).open() for _ in range(2))
    with new.begin() as connection:
        metadata.create_all(connection)
    with migrated.begin() as connection:
        migrate.upgrade(connection, 0, SCHEMA_VERSION)
    assert _schema(migrated) == _schema(new)
    new.dispose()
    migrated.dispose()


def test_a_migration_that_fails_changes_nothing(first: Path) -> None:
    with sqlite3.connect(first) as connection:
        connection.execute("UPDATE leaf SET record = x'00' WHERE \"index\" = 3")
    connection.close()
    before = _rows(first)
    with pytest.raises(OurError, match=r"from schema 1 to 2 .*; nothing was changed.*copy"):
        Database(first)
    assert _rows(first) == before


def test_a_newer_store_is_refused(where: Path | str) -> None:
    database = Database(where)
    database.write(lambda connection: _set_schema(connection, b"99"))
    with pytest.raises(OurError, match="another program version"):
        database.write(lambda _: None)  # nor does this process write in it any more
    with pytest.raises(OurError, match="another program version"), database.read():
        pass
    database.close()
    with pytest.raises(OurError, match="has schema 99, this program knows"):
        Database(where)


def _set_schema(connection: Connection, version: bytes) -> None:
    connection.execute(update(settings).where(settings.c.name == "schema").values(value=version))


def test_two_processes_may_open_a_new_store_at_once(make_where: Callable[[str], Path | str]) -> None:
    where = make_where("postgresql")
    other = dialect_of(where).open()
    with other.connect().execution_options(relto_writes=True) as connection, connection.begin():
        opened: list[Database] = []
        thread = Thread(target=lambda: opened.append(Database(where)))
        thread.start()
        while not connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar():
            pass  # it waits for us, having seen no tables
        metadata.create_all(connection)
        connection.execute(settings.insert().values(name="schema", value=b"%d" % SCHEMA_VERSION))
    thread.join()
    opened[0].close()
    other.dispose()
