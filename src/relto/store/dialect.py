"""Everything in which the two engines differ: SQLite, a file beside the node, and PostgreSQL, a server for several.

Nothing else in ``store`` asks which of them it works on. Both keep the same values in the same order: numbers of 64
bits, text compared byte by byte.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy
from sqlalchemy import BigInteger, ColumnElement, Connection, Table, create_engine, event, make_url, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles

from relto.errors import OurError

# PostgreSQL's form of the upsert is the wider one; for what the two engines share, both compilers write it alike.
insert = postgresql.insert

# SQLite's INTEGER holds 64 bits, and only a column declared so gets rowids; PostgreSQL's holds 32.
Integer = sqlalchemy.Integer().with_variant(BigInteger(), "postgresql")

# A collation of the server's would order, and pair, names by the habits of a language.
Text = sqlalchemy.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


class NoBytes(ColumnElement[bytes]):
    """The empty byte string as a column's default; '' is text to SQLite."""

    inherit_cache = True


@compiles(NoBytes)
def _no_bytes(_element: NoBytes, _compiler: Any, **_: Any) -> str:
    return "''"


@compiles(NoBytes, "sqlite")
def _no_bytes_sqlite(_element: NoBytes, _compiler: Any, **_: Any) -> str:
    return "x''"


class Dialect(Protocol):
    """One engine: how it is opened, how one writer keeps the others out, and what it says of itself."""

    place: str
    """Where the store is, without a password: fit for messages and logs."""

    def open(self) -> Engine:
        """An engine whose transactions begin with the write lock if they have the option ``relto_writes``."""

    def reading(self, engine: Engine) -> Engine:
        """The same engine for transactions that see one state and change nothing."""

    def claim(self, engine: Engine, claims: Table, recipient: str) -> AbstractContextManager[bool]:
        """Claim a recipient's work until the block ends; false if somebody else has it."""

    def told(self, error: Exception) -> OurError | None:
        """An error of the engine that the operator can mend, as such; None if it is the program's own."""

    def version(self, connection: Connection) -> str:
        """The engine's name and version."""

    def fault(self, connection: Connection) -> str:
        """What is wrong with the store, as far as the engine can tell at once; empty if nothing is."""

    def size_bytes(self, connection: Connection) -> int:
        """What the store takes on its disk."""

    def last_number(self, connection: Connection, column: sqlalchemy.Column[Any]) -> int:
        """The highest number that the engine ever gave out in a column; its row may be gone since."""

    def go_on_from(self, connection: Connection, column: sqlalchemy.Column[Any], number: int) -> None:
        """Let the engine give out only numbers above this one."""

    def survey(self, connection: Connection, tables: Iterable[Table]) -> None:
        """Let the engine count what tables filled at once hold, if its plans rest on that."""


def dialect_of(where: Path | str) -> Dialect:
    """The engine for a file's path or a PostgreSQL URL.

    Raises:
        OurError: it is neither.
    """
    if isinstance(where, Path):
        return Sqlite(where)
    try:
        url = make_url(where)
    except ArgumentError:
        raise OurError("is no URL.", field="database", remedy=_FORM) from None
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise OurError(f"{url.drivername} is no engine that is known here.", field="database", remedy=_FORM)
    return Postgresql(url)


_FORM = "Write a path, or postgresql+psycopg://USER@HOST/DATABASE."
_PAGE_BYTES = 16384
_WAIT_S = 30


class Sqlite:
    """A file with a write-ahead log, every commit synced; one process serves on it, commands may run beside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claimed: set[str] = set()
        self._lock = threading.Lock()
        self.place = str(path)

    def open(self) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}",
            connect_args={"check_same_thread": False, "timeout": _WAIT_S},
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # transactions are begun by us, not by the driver
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute(f"PRAGMA busy_timeout={_WAIT_S * 1000}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A writer takes the lock at once: what it reads cannot change under it, whatever process writes beside us.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")

        return engine

    def reading(self, engine: Engine) -> Engine:
        return engine

    @contextmanager
    def claim(self, engine: Engine, claims: Table, recipient: str) -> Iterator[bool]:
        del engine, claims
        with self._lock:
            free = recipient not in self._claimed
            self._claimed.add(recipient)
        try:
            yield free
        finally:
            if free:
                self._claimed.discard(recipient)

    def told(self, error: Exception) -> OurError | None:
        cause = error.orig if isinstance(error, DBAPIError) else None
        if not isinstance(cause, sqlite3.Error) or not _outside(cause):
            return None
        return OurError(f"{cause}.", field=self.place, remedy="See that there is room, and no other process holds it.")

    def version(self, connection: Connection) -> str:
        del connection
        return f"SQLite {sqlite3.sqlite_version}"

    def fault(self, connection: Connection) -> str:
        found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        return "" if found == "ok" else found

    def size_bytes(self, connection: Connection) -> int:
        return _number(connection, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")

    def last_number(self, connection: Connection, column: sqlalchemy.Column[Any]) -> int:
        kept = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        given = connection.execute(kept, {"name": column.table.name}).scalar() or 0
        return max(int(given), _highest(connection, column))

    def go_on_from(self, connection: Connection, column: sqlalchemy.Column[Any], number: int) -> None:
        name = {"name": column.table.name, "number": number}
        if column.table.dialect_options["sqlite"]["autoincrement"]:
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), name)
            connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), name)

    def survey(self, connection: Connection, tables: Iterable[Table]) -> None:
        del connection, tables  # every query here has its index, counted or not


_OUTSIDE = ("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_READONLY")


def _outside(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(_OUTSIDE)


# One database holds one node's store, so one key is enough: whoever writes in it, in whatever process, holds this.
_WRITE_LOCK = int.from_bytes(b"relto", "big")

# A peer that is cut off is found out in half a minute, by the client and by the server: its locks are free then.
_CONNECTION = {
    "application_name": "relto",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
_SESSION = f"""
    SET lock_timeout = '{_WAIT_S}s';
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""


class Postgresql:
    """A database of its own on a server, in UTF-8; any number of processes serve, share and write on it.

    Writers are serial across processes by an advisory lock that ends with the transaction. It is taken before the
    first look at the tables, under READ COMMITTED: so all that is read after it includes every earlier commit, which a
    snapshot taken while waiting would not. The server releases it only after the commit can be seen by others. Hence
    the numbers of items are given out in the order of the commits, and a reader that has seen number n will never see
    a smaller one appear; and the release log grows from the head that is there.
    """

    def __init__(self, url: URL) -> None:
        given = {name: value for name, value in url.query.items() if isinstance(value, str)}
        self._url = url.set(drivername="postgresql+psycopg", query=_CONNECTION | given)
        shown = {name: value for name, value in given.items() if name in ("host", "port", "service")}
        self.place = URL.create(
            "postgresql+psycopg", host=url.host, port=url.port, database=url.database, query=shown
        ).render_as_string()

    def open(self) -> Engine:
        try:
            engine = create_engine(
                self._url,
                isolation_level="READ COMMITTED",
                pool_pre_ping=True,
                pool_size=8,
                max_overflow=24,
                pool_timeout=_WAIT_S,
                hide_parameters=True,
            )
        except ImportError:
            raise OurError(
                "the driver for PostgreSQL is missing.", field=self.place, remedy="Install relto[postgresql]."
            ) from None

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise OurError(f"is in {encoding}.", field=self.place, remedy="Make one with ENCODING 'UTF8'.")
            connection.execute(_SESSION)
            connection.commit()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if _writes(connection):
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")

        return engine

    def reading(self, engine: Engine) -> Engine:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def claim(self, engine: Engine, claims: Table, recipient: str) -> Iterator[bool]:
        # Not the stream's own row: the commit of the work, on the writer's connection, would wait for it for ever.
        wanted = select(claims).where(claims.c.recipient == recipient).with_for_update(skip_locked=True)
        with engine.connect() as connection:
            yield connection.execute(wanted).first() is not None
            connection.rollback()  # a commit would wait for the disk, for nothing

    def told(self, error: Exception) -> OurError | None:
        if not isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
            return None
        cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()
        reason = cause[0].rstrip(".") if cause else "the connection was lost"
        return OurError(f"{reason}.", field=self.place, remedy="See that the server runs; calls connect anew.")

    def version(self, connection: Connection) -> str:
        return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar()}"

    def fault(self, connection: Connection) -> str:
        for setting in ("fsync", "full_page_writes"):
            if connection.exec_driver_sql(f"SHOW {setting}").scalar() != "on":
                return f"{setting} is off: a power failure can lose what was acknowledged"
        failures = _number(
            connection, "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
        )
        return f"{failures} pages failed their checksum" if failures else ""

    def size_bytes(self, connection: Connection) -> int:
        return _number(connection, "SELECT pg_database_size(current_database())")

    def last_number(self, connection: Connection, column: sqlalchemy.Column[Any]) -> int:
        given = "SELECT last_value FROM pg_sequences WHERE format('%I.%I', schemaname, sequencename) = "
        owned = "pg_get_serial_sequence(:table, :column)"
        name = {"table": column.table.name, "column": column.name}
        last = connection.execute(text(given + owned), name).scalar() or 0
        return max(int(last), _highest(connection, column))

    def go_on_from(self, connection: Connection, column: sqlalchemy.Column[Any], number: int) -> None:
        name = {"table": column.table.name, "column": column.name, "number": max(number, 1), "used": number > 0}
        connection.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), :number, :used)"), name)

    def survey(self, connection: Connection, tables: Iterable[Table]) -> None:
        name = connection.dialect.identifier_preparer.format_table
        connection.exec_driver_sql(f"ANALYZE {', '.join(name(table) for table in tables)}")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("relto_writes", False))


def _number(connection: Connection, query: str) -> int:
    return int(connection.exec_driver_sql(query).scalar() or 0)


def _highest(connection: Connection, column: sqlalchemy.Column[Any]) -> int:
    return int(connection.execute(select(sqlalchemy.func.max(column))).scalar() or 0)
