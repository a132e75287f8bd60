"""The books in SQL: one transaction over one connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection

from relto.store.database import Database
from relto.store.incidents import Incidents
from relto.store.losses import Losses
from relto.store.parcels import Parcels
from relto.store.parties import Parties
from relto.store.records import Records
from relto.store.releaselog import ReleaseLog
from relto.store.streams import Streams

T = TypeVar("T")


class SqlBooks(Parties, Records, Streams, ReleaseLog, Losses, Parcels, Incidents):
    """Everything that can be read and written in one transaction. Fulfils ``relto.exchange.books.Books``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


class SqlStore:
    """A database as a store of books."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextmanager
    def read(self) -> Iterator[SqlBooks]:
        """Books that see one consistent state."""
        with self.database.read() as connection:
            yield SqlBooks(connection)

    def write(self, job: Callable[[SqlBooks], T]) -> T:
        """Run a job in the writer's transaction and return its result once it is durable."""
        return self.database.write(lambda connection: job(SqlBooks(connection)))

    def close(self) -> None:
        """Finish what is being written and close the database."""
        self.database.close()
