"""The database itself: durable when it returns, one order of writers, claims, what it says when the engine is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select, text

from relto.errors import OurError
from relto.store.books import SqlStore
from relto.store.database import Database
from relto.store.dialect import dialect_of
from relto.store.schema import settings
from tests.postgres import Server, running
from tests.store.conftest import filed


def _put(name: str) -> Callable[[Connection], None]:
    def job(connection: Connection) -> None:
        connection.execute(settings.insert().values(name=name, value=b""))

    return job


def _names(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(settings.c.name)).scalars()) - {"schema"}


def test_jobs_that_wait_share_a_commit_and_a_failing_one_is_rolled_back_alone(database: Database) -> None:
    commits: list[object] = []
    event.listen(database._engine, "commit", commits.append)
    begun, go_on = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        begun.set()
        go_on.wait()

    outcomes: dict[str, BaseException | None] = {}

    def call(name: str, job: Callable[[Connection], Any]) -> None:
        try:
            database.write(job)
            outcomes[name] = None
        except BaseException as error:
            outcomes[name] = error

    def fails(connection: Connection) -> None:
        _put("lost")(connection)
        raise ValueError("no")

    jobs = {"hold": hold, "one": _put("one"), "fails": fails, "twice": _put("one"), "two": _put("two")}
    threads = []
    for name, job in jobs.items():
        threads.append(threading.Thread(target=call, args=(name, job)))
        threads[-1].start()
        if name == "hold":
            begun.wait()
        while name != "hold" and database._jobs.qsize() < len(threads) - 1:
            pass
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(commits) == 2  # the job that held the writer, and all others together
    assert _names(database) == {"one", "two"}
    assert isinstance(outcomes.pop("fails"), ValueError)
    assert "unique" in str(outcomes.pop("twice")).lower()
    assert set(outcomes.values()) == {None}


def test_what_was_written_is_there_for_who_opens_it_next(where: Path | str) -> None:
    first = Database(where)
    first.write(_put("kept"))
    first.close()
    second = Database(where)
    assert _names(second) == {"kept"}
    second.close()


def test_an_error_does_not_tell_the_values_that_were_written(database: Database) -> None:
    def job(connection: Connection) -> None:
        connection.execute(settings.insert().values(name="schema", value=b"hush"))

    with pytest.raises(Exception, match=r"(?i)unique") as found:
        database.write(job)
    assert "hush" not in str(found.value)


def test_who_reads_cannot_write(database: Database) -> None:
    if "postgresql" not in database.dialect.place:
        pytest.skip("SQLite's reader is held back by its lock only")
    with pytest.raises(Exception, match="read-only"), database.read() as connection:
        _put("no")(connection)


def test_two_workers_never_hold_the_same_claim(database: Database) -> None:
    with database.claim("PHL") as one, database.claim("PHL") as two, database.claim("AUS") as other:
        assert (one, two, other) == (True, False, True)
        database.write(_put("a claim hinders no commit"))
    with database.claim("PHL") as again:
        assert again


def test_a_claim_ends_with_a_failing_worker(database: Database) -> None:
    with pytest.raises(ValueError, match="no"), database.claim("PHL"):
        raise ValueError("no")
    with database.claim("PHL") as again:
        assert again


def test_two_openings_of_one_database_take_turns(make_where: Callable[[str], Path | str]) -> None:
    where = make_where("postgresql")
    one, two = Database(where), Database(where)

    def count(connection: Connection) -> None:
        found = connection.execute(select(settings.c.value).where(settings.c.name == "n")).scalar() or b"0"
        connection.execute(text("DELETE FROM settings WHERE name = 'n'"))
        connection.execute(settings.insert().values(name="n", value=b"%d" % (int(found) + 1)))

    threads = [
        threading.Thread(target=lambda database=database: [database.write(count) for _ in range(25)])
        for database in (one, two, one, two)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with one.read() as connection:
        assert connection.execute(select(settings.c.value).where(settings.c.name == "n")).scalar() == b"100"
    with one.claim("PHL") as first, two.claim("PHL") as second:
        assert (first, second) == (True, False)
    one.close()
    two.close()


# --- when the server is gone ---


def test_a_lost_connection_is_told_and_the_next_call_connects_anew(server: Server) -> None:
    database = Database(server.new())
    SqlStore(database).write(lambda books: books.insert_items([filed(1)]))

    def cut(connection: Connection) -> None:
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        server.execute(f"SELECT pg_terminate_backend({own})")
        _put("lost")(connection)

    with pytest.raises(OurError, match=r"terminat\w+ connection.*connect anew"):
        database.write(cut)
    with pytest.raises(OurError, match="connect anew"), database.read() as connection:
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        server.execute(f"SELECT pg_terminate_backend({own})")
        connection.exec_driver_sql("SELECT 1")
    database.write(_put("kept"))
    assert _names(database) == {"kept"}
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(text("item"))).scalar() == 1
    database.close()


def test_a_connection_that_died_while_nobody_used_it_is_not_noticed(server: Server) -> None:
    database = Database(server.new())
    assert _names(database) == set()
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relto'")
    database.write(_put("kept"))
    assert _names(database) == {"kept"}
    database.close()


def test_a_crash_of_the_server_loses_nothing_that_was_acknowledged() -> None:
    with running() as server:
        database = Database(server.new())
        for number in range(5):
            database.write(_put(f"n{number}"))
        server.stop("immediate")
        with pytest.raises(OurError, match="connect anew"):
            database.write(_put("not there"))
        with pytest.raises(OurError, match="connect anew"), database.read():
            pass
        server.start()
        database.write(_put("after"))
        assert _names(database) == {f"n{number}" for number in range(5)} | {"after"}
        database.close()


def test_who_loses_the_claims_connection_has_lost_the_claim(server: Server) -> None:
    where = server.new()
    one, two = Database(where), Database(where)
    with pytest.raises(OurError, match="connect anew"), one.claim("PHL") as held:
        assert held
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT claim'")
        with two.claim("PHL") as taken:
            assert taken
        with one.read() as connection:  # the rest of the process goes on
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
        raise OurError("the work was lost.", remedy="the next round will connect anew")
    one.close()
    two.close()


def test_commits_are_durable_even_where_the_server_is_set_to_be_quick(server: Server) -> None:
    where = server.new()
    name = where.partition("?")[0].rpartition("/")[2]
    server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    database = Database(where)
    shown = database.write(lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar())
    assert shown == "on"
    database.close()


def test_all_text_is_compared_byte_by_byte_whatever_the_server_was_made_for(server: Server) -> None:
    database = Database(server.new())
    others = text(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C'"
    )
    with database.read() as connection:
        assert connection.execute(others).all() == []
    database.close()


def test_a_database_in_another_encoding_is_refused(server: Server) -> None:
    server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(OurError, match=r"is in LATIN1.*UTF8"):
        Database(server.url("latin"))


# --- where it is ---


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hush@localhost:1/store",
        "postgresql://me@localhost:1/store?password=hush",
        "postgresql+psycopg://me:hush@/store?host=/nowhere",
    ],
)
def test_a_password_is_in_no_message(url: str) -> None:
    with pytest.raises(OurError) as found:
        Database(url)
    assert "hush" not in str(found.value) + repr(found.value.__cause__) + dialect_of(url).place
    assert "store" in found.value.field


@pytest.mark.parametrize("url", ["mysql://me:hush@localhost/store", "postgres//hush", "sqlite:///x.db"])
def test_what_is_no_place_for_a_store_is_refused(url: str) -> None:
    with pytest.raises(OurError, match="Write a path, or postgresql") as found:
        Database(url)
    assert "hush" not in str(found.value)


def test_a_database_with_other_contents_is_left_alone(where: Path | str) -> None:
    engine = dialect_of(where).open()
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE item (name text)")
        connection.commit()
    engine.dispose()
    with pytest.raises(OurError, match="not Relto's: item"):
        Database(where)


def test_the_engine_tells_its_version_its_size_and_no_fault(database: Database) -> None:
    with database.read() as connection:
        assert database.dialect.version(connection).split()[0] in ("SQLite", "PostgreSQL")
        assert database.dialect.size_bytes(connection) > 16384
        assert database.dialect.fault(connection) == ""
