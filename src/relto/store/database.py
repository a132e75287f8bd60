"""The database and its one writer.

Guarantee: when ``write`` returns, what the job wrote is durable (SQLite WAL, synchronous FULL) and was committed as a
whole or not at all. Jobs of many threads share one commit; a job that fails is rolled back alone and raises in its
caller. Readers see the last commit and never wait for the writer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from relto.errors import OurError
from relto.store.schema import SCHEMA_VERSION, metadata, settings

T = TypeVar("T")
Job = Callable[[Connection], T]

_GROUP = 64  # jobs that share one commit at most
_PAGE_BYTES = 16384


class Database:
    """One SQLite file; opened once per process."""

    def __init__(self, path: Path) -> None:
        self._engine = _engine(path)
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        with self._engine.begin() as connection:
            metadata.create_all(connection)
            _check_version(connection, path)
        self._writer = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._writer.start()

    def write(self, job: Job[T]) -> T:
        """Run a job in the writer's transaction and return its result once it is durable."""
        done: Future[T] = Future()
        self._jobs.put((job, done))
        return done.result()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Finish the queued jobs and close the file."""
        self._jobs.put(None)
        self._writer.join()
        self._engine.dispose()

    def _run(self) -> None:
        last = False
        while not last:
            group, last = self._take()
            self._commit(group)

    def _take(self) -> tuple[list[tuple[Job[Any], Future[Any]]], bool]:
        """Wait for a job, then take whatever else already waits."""
        group = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == _GROUP or self._jobs.empty():
                return group, False
            job = self._jobs.get()
        return group, True

    def _commit(self, group: list[tuple[Job[Any], Future[Any]]]) -> None:
        """One transaction, a savepoint for each job. Nobody is told before the commit is durable."""
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.connect().execution_options(relto_writes=True) as connection, connection.begin():
                for job, done in group:
                    results.append(_attempt(connection, job, done))
        except BaseException as error:  # the commit itself failed: nothing of the group is stored
            results = [(done, None, error) for _, done in group]
        for done, result, failure in results:
            if failure is not None:
                done.set_exception(failure)
            else:
                done.set_result(result)


def _attempt(connection: Connection, job: Job[Any], done: Future[Any]) -> tuple[Future[Any], Any, BaseException | None]:
    savepoint = connection.begin_nested()
    try:
        result = job(connection)
    except BaseException as error:
        savepoint.rollback()
        return done, None, error
    savepoint.commit()
    return done, result, None


def _engine(path: Path) -> Engine:
    try:
        engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": 30})
    except SQLAlchemyError as error:
        raise OurError(str(error), field=str(path), remedy="Check the path.") from None

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun by us, not by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: what it reads cannot change under it, whatever process writes beside us.
        writes = connection.get_execution_options().get("relto_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _check_version(connection: Connection, path: Path) -> None:
    found = connection.execute(select(settings.c.value).where(settings.c.name == "schema")).scalar()
    if found is None:
        connection.execute(settings.insert().values(name="schema", value=str(SCHEMA_VERSION).encode()))
    elif int(found) != SCHEMA_VERSION:
        raise OurError(
            f"has schema {int(found)}, this program knows {SCHEMA_VERSION}.",
            field=str(path),
            remedy="Use the program version that wrote it.",
        )
