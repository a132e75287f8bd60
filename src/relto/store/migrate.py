"""The version of a store's tables: made as they are today, brought up from older ones, newer ones refused.

The number stands in ``settings`` under ``schema``, where every program version has looked for it. The steps are
Alembic revisions; ``migrations/revision_N.py`` leads from N-1 to N. A migration is one transaction on either engine.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, update

from relto.errors import OurError
from relto.store.dialect import insert
from relto.store.schema import SCHEMA_VERSION, metadata, settings

_SCHEMA = "schema"
_MOVED = b"moved to "


def bring_up(engine: Engine, place: str) -> None:
    """Make the tables of a new store, or bring an older one up to this program.

    Raises:
        OurError: it is newer, was moved away, holds something else, or the migration failed; then nothing is changed.
    """
    with engine.connect() as connection:
        if schema_version(connection, place) == SCHEMA_VERSION:
            return
    # Looked at once more behind the write lock: another process may do the same just now.
    with engine.connect().execution_options(relto_writes=True) as connection, connection.begin():
        found = schema_version(connection, place)
        if found is None:
            _refuse_strangers(connection, place)
            metadata.create_all(connection)
            connection.execute(insert(settings).values(name=_SCHEMA, value=b"%d" % SCHEMA_VERSION))
        elif found < SCHEMA_VERSION:
            _migrate(connection, found, place)


def schema_version(connection: Connection, place: str) -> int | None:
    """The version of the store's tables; None if it has none.

    Raises:
        OurError: it is newer than this program, or was moved away.
    """
    found = _stored(connection) if inspect(connection).has_table(settings.name) else None
    if found is None:
        return None
    if found.startswith(_MOVED):
        raise _moved(found, place)
    if int(found) > SCHEMA_VERSION:
        raise OurError(
            f"has schema {int(found)}, this program knows {SCHEMA_VERSION}.",
            field=place,
            remedy="Use the program version that wrote it.",
        )
    return int(found)


def check_unchanged(connection: Connection, place: str) -> OurError | None:
    """Why this program may not write in the store any more, if it was moved or migrated since it was opened."""
    found = _stored(connection)
    if found == b"%d" % SCHEMA_VERSION:
        return None
    if found is not None and found.startswith(_MOVED):
        return _moved(found, place)
    return OurError("was changed by another program version.", field=place, remedy="Start this process anew.")


def mark_moved(connection: Connection, place: str) -> None:
    """Close a store for good: from the end of this transaction, nobody opens it or writes in it."""
    connection.execute(update(settings).where(settings.c.name == _SCHEMA).values(value=_MOVED + place.encode()))


def upgrade(connection: Connection, found: int, wanted: int) -> None:
    """Run the steps between two versions, 0 for no tables at all, in the caller's transaction."""
    # Half a second to load, and needed once in a store's life.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    here = Path(__file__).parent / "migrations"
    scripts = ScriptDirectory(str(here), version_locations=[str(here)])
    steps = list(scripts.iterate_revisions(str(wanted), str(found) if found else "base"))
    with Operations.context(MigrationContext.configure(connection)):
        for step in reversed(steps):
            step.module.upgrade()


def _migrate(connection: Connection, found: int, place: str) -> None:
    try:
        upgrade(connection, found, SCHEMA_VERSION)
    except Exception as error:
        raise OurError(
            f"could not be brought from schema {found} to {SCHEMA_VERSION} ({error}); nothing was changed.",
            field=place,
            remedy="Make a copy of it, and go on with the program version that wrote it.",
        ) from error
    connection.execute(update(settings).where(settings.c.name == _SCHEMA).values(value=b"%d" % SCHEMA_VERSION))


def _refuse_strangers(connection: Connection, place: str) -> None:
    taken = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
    if taken:
        raise OurError(f"holds tables that are not Relto's: {', '.join(taken)}.", field=place, remedy="Take a new one.")


def _stored(connection: Connection) -> bytes | None:
    found: bytes | None = connection.execute(select(settings.c.value).where(settings.c.name == _SCHEMA)).scalar()
    return found


def _moved(found: bytes, place: str) -> OurError:
    where = found.removeprefix(_MOVED).decode()
    return OurError(f"was moved to {where}.", field=place, remedy="Set `database` in relto.toml to that.")
