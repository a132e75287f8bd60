"""The database and its one writer.

Guarantee: when ``write`` returns, what the job wrote is durable (SQLite: WAL, synchronous FULL; PostgreSQL:
synchronous_commit on) and was committed as a whole or not at all. Jobs of many threads share one commit; a job that
fails is rolled back alone and raises in its caller. Readers see the last commit and never wait for the writer.

Several processes may have one store open. Their writers take turns: each transaction begins with the lock of the
store, so what it reads cannot change under it, and everything in the store has one order. A store that was moved or
migrated meanwhile is written no more by who opened it before.

If the engine is lost while it commits, ``write`` raises and cannot know whether the job was stored: jobs are such that
doing them again does no harm. The next call connects anew.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from relto.errors import OurError
from relto.store.dialect import dialect_of, insert
from relto.store.migrate import bring_up, check_unchanged
from relto.store.schema import claims

T = TypeVar("T")
Job = Callable[[Connection], T]

_GROUP = 64  # jobs that share one commit at most


class Database:
    """One store, opened once per process: a path is a SQLite file, a ``postgresql+psycopg://`` URL a database there.

    A new store gets its tables, an older one is migrated.

    Raises:
        OurError: it cannot be opened, or a newer program wrote it.
    """

    def __init__(self, where: Path | str) -> None:
        self.dialect = dialect_of(where)
        self._engine = self.dialect.open()
        self._reading = self.dialect.reading(self._engine)
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._claimed: set[str] = set()
        self._gone: OurError | None = None
        try:
            with self._told():
                bring_up(self._engine, self.dialect.place)
        except BaseException:
            self._engine.dispose()
            raise
        self._writer = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._writer.start()

    def write(self, job: Job[T]) -> T:
        """Run a job in the writer's transaction and return its result once it is durable.

        Raises:
            OurError: the store cannot be reached or written.
        """
        done: Future[T] = Future()
        self._jobs.put((job, done))
        return done.result()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state.

        Raises:
            OurError: the store cannot be reached.
        """
        if self._gone is not None:
            raise self._gone
        with self._told(), self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def claim(self, recipient: str) -> Iterator[bool]:
        """Claim a recipient's work for as long as the block runs; false if another worker is at it.

        A claim holds a row of its own, not the stream's, on a connection of its own: it hinders no commit, and ends
        with the connection if its worker is killed. It saves double work and no more: who lost the connection has
        lost the claim, so the transaction that stores the work still looks whether it is the next.

        Raises:
            OurError: the store cannot be reached.
        """
        if recipient not in self._claimed:
            row = insert(claims).values(recipient=recipient).on_conflict_do_nothing()
            self.write(lambda connection: connection.execute(row))
            self._claimed.add(recipient)
        with self._told(), self.dialect.claim(self._engine, claims, recipient) as free:
            yield free

    def close(self) -> None:
        """Finish the queued jobs and close the store."""
        self._jobs.put(None)
        self._writer.join()
        self._engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what the operator can mend as that."""
        try:
            yield
        except SQLAlchemyError as error:
            told = self.dialect.told(error)
            if told is None:
                raise
            raise told from None

    def _connect(self) -> Connection:
        return self._engine.connect().execution_options(relto_writes=True)

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
            with self._told(), self._connect() as connection, connection.begin():
                self._gone = check_unchanged(connection, self.dialect.place)
                for job, done in group:
                    results.append(_attempt(connection, job, done, self._gone))
        except BaseException as error:  # the commit itself failed: nothing of the group is stored
            results = [(done, None, error) for _, done in group]
        for done, result, failure in results:
            if failure is not None:
                done.set_exception(failure)
            else:
                done.set_result(result)


def _attempt(
    connection: Connection, job: Job[Any], done: Future[Any], gone: OurError | None
) -> tuple[Future[Any], Any, BaseException | None]:
    if gone is not None:
        return done, None, gone
    savepoint = connection.begin_nested()
    try:
        result = job(connection)
    except BaseException as error:
        if connection.invalidated:  # the engine is gone, and with it what the jobs before this one wrote
            raise
        savepoint.rollback()
        return done, None, error
    savepoint.commit()
    return done, result, None
