"""Moving a store loses nothing, and leaves nobody writing behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from relto.errors import InvariantError, OurError
from relto.store import move as moving
from relto.store.books import SqlStore
from relto.store.database import Database
from relto.store.move import Copied, move, rows
from relto.store.schema import items, metadata
from tests.store.conftest import filed, leaf, release, stream
from tests.store.test_migrate import FIRST

WAYS = [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite")]


@pytest.fixture(params=WAYS, ids=" to ".join)
def ends(request: pytest.FixtureRequest, make_where: Callable[[str], Path | str]) -> Any:
    source, target = (make_where(engine) for engine in request.param)
    databases = Database(source), Database(target)
    _fill(SqlStore(databases[0]))
    yield *databases, target
    for each in databases:
        each.close()


def _fill(store: SqlStore) -> None:
    """Rows in every kind of column, and numbers of which the last are gone again."""
    store.write(lambda books: books.insert_items([filed(n, title="é" * n, text="x" * 5000) for n in range(1, 40)]))
    store.write(lambda books: books.insert_items([filed(50, expires_ms=5), filed(51, expires_ms=5)]))
    store.write(lambda books: books.purge(5))
    store.write(lambda books: books.open_stream(stream("PHL", scanned_seq=41)))
    store.write(lambda books: books.add_releases([release("PHL", 1, 1), release("PHL", 2, 2, expires_ms=9)]))
    store.write(lambda books: books.append(0, [leaf(n) for n in range(300)]))
    store.write(lambda books: books.add_page("PHL", 1, 2, "c", bytes(range(256)) * 20_000, 5))


def _all(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


def test_everything_arrives_and_the_source_is_closed_for_good(ends: Any) -> None:
    source, target, _ = ends
    before = _all(source)
    steps: list[tuple[int, int]] = []
    copied = move(source, target, lambda done, total: steps.append((done, total)))
    assert _all(target) == before
    assert {each.table: each.rows for each in copied} == {name: len(found) for name, found in before.items()}
    total = sum(map(len, before.values()))
    assert steps[-1] == (total, total)
    assert steps == sorted(steps)
    with pytest.raises(OurError, match=r"was moved to .*relto\.toml"):
        source.write(lambda _: None)
    with pytest.raises(OurError, match="was moved to"), source.read():
        pass


def test_numbers_go_on_above_those_that_were_ever_given(ends: Any) -> None:
    source, target, _ = ends
    move(source, target, lambda *_: None)
    store = SqlStore(target)
    store.write(lambda books: books.insert_items([filed(60)]))
    with store.read() as books:
        (newest,) = books.after(40, 9)
        assert newest.seq > 41  # a stream that has looked as far as 41 would never see a smaller one


def test_an_empty_table_gives_its_first_number_after_the_move(make_where: Callable[[str], Path | str]) -> None:
    source, target = Database(make_where("sqlite")), Database(make_where("postgresql"))
    move(source, target, lambda *_: None)
    SqlStore(target).write(lambda books: books.insert_items([filed(1)]))
    with SqlStore(target).read() as books:
        assert books.last_seq() == 1
    source.close()
    target.close()


def test_a_target_that_is_not_empty_is_refused_and_the_source_goes_on(ends: Any) -> None:
    source, target, _ = ends
    SqlStore(target).write(lambda books: books.put_setting("a", b""))
    with pytest.raises(OurError, match="is not empty: settings"):
        move(source, target, lambda *_: None)
    SqlStore(source).write(lambda books: books.put_setting("goes", b"on"))
    SqlStore(target).write(lambda books: books.put_setting("goes", b"on"))


def test_a_row_that_arrives_as_another_stops_the_move(ends: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target, _ = ends
    whole = moving._read_back

    def altered(connection: Connection, table: Any) -> Copied:
        if table is items:
            connection.execute(update(items).where(items.c.seq == 7).values(title="other"))
        return whole(connection, table)

    monkeypatch.setattr(moving, "_read_back", altered)
    with pytest.raises(InvariantError, match="item"):
        move(source, target, lambda *_: None)
    monkeypatch.undo()
    with target.read() as connection:
        assert sum(rows(connection).values()) == 1  # nothing but its version
    move(source, target, lambda *_: None)


def test_batches_are_bounded_in_rows_and_bytes(ends: Any) -> None:
    source, _, _ = ends
    with source.read() as connection:
        for table in metadata.sorted_tables:
            for batch in moving._batches(connection, table):
                assert len(batch) <= 500
        assert len(list(moving._batches(connection, metadata.tables["page"]))) == 1


def test_a_store_of_an_older_program_can_be_moved_at_once(
    tmp_path: Path, make_where: Callable[[str], Path | str]
) -> None:
    path = tmp_path / "first.db"
    sqlite3.connect(path).executescript(FIRST.read_text())
    source, target = Database(path), Database(make_where("postgresql"))
    before = _all(source)
    move(source, target, lambda *_: None)
    assert _all(target) == before
    source.close()
    target.close()
