"""``relto store``."""

from __future__ import annotations

import click

from relto.cli.output import Output, output
from relto.errors import OurError
from relto.node.home import read_settings, set_database, store_place
from relto.store.database import Database
from relto.store.move import move, rows
from relto.store.schema import SCHEMA_VERSION


@click.group("store")
def command() -> None:
    """The store: what is in it, and another place for it."""


@command.command()
@output
def show(out: Output) -> None:
    """Show the engine, the version of the tables, their rows and the size of the whole."""
    with out.node() as node, node.store.database.read() as connection:
        dialect, held = node.store.database.dialect, rows(connection)
        engine, size_bytes = dialect.version(connection), dialect.size_bytes(connection)
    out.note(f"{engine}, {dialect.place}, schema {SCHEMA_VERSION}, {size_bytes:,} bytes")
    value = {
        "engine": engine,
        "place": dialect.place,
        "schema": SCHEMA_VERSION,
        "size_bytes": size_bytes,
        "rows": held,
    }
    out.table(value, ("TABLE", "ROWS"), [(name, f"{number:,}") for name, number in held.items()], empty="no tables")


@command.command("move")
@click.option("--to", "to", required=True, help="postgresql+psycopg://USER@HOST/DATABASE, or a file's path.")
@output
def moving(out: Output, to: str) -> None:
    """Copy everything into an empty database, compare, and use that from now on.

    Stop the node first: a process that still runs on the old store can write there no more once this is done.
    """
    settings = read_settings(out.home)
    here, there = store_place(out.home, settings.database), store_place(out.home, to)
    if here == there:
        raise OurError("the store is there already.", field="--to", remedy="Give another place.")
    source, target = Database(here), None
    try:
        target = Database(there)
        with out.progress("moving the store") as step:
            copied = move(source, target, step)
    finally:
        for each in (source, target):
            if each is not None:
                each.close()
    set_database(out.home, to)
    number = sum(each.rows for each in copied)
    out.result(
        {"from": source.dialect.place, "to": target.dialect.place, "rows": number, "tables": copied},
        f"{number:,} rows in {len(copied)} tables are in {target.dialect.place}, compared row by row\n"
        f"relto.toml names it; {source.dialect.place} is closed and may be deleted after a backup of the new one",
    )
