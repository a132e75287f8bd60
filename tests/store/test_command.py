"""``relto store``: the switch to PostgreSQL and back, as an operator does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relto.cli import main
from relto.node.home import SETTINGS, read_settings, set_database
from relto.node.node import Node
from relto.store.schema import SCHEMA_VERSION
from tests.store.conftest import filed

Relto = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = tmp_path / "node"
    made = CliRunner().invoke(main, ["--home", str(found), "init", "JPN"])
    assert made.exit_code == 0, made.output
    node = Node.open(found)
    node.store.write(lambda books: books.insert_items([filed(1), filed(2)]))
    node.close()
    return found


@pytest.fixture
def relto(home: Path) -> Relto:
    return lambda *words: CliRunner().invoke(main, ["--home", str(home), *words])


def _shown(relto: Relto) -> dict[str, Any]:
    found = relto("--json", "store", "show")
    assert found.exit_code == 0, found.output
    shown: dict[str, Any] = json.loads(found.output)
    return shown


def test_the_store_is_shown(relto: Relto, home: Path) -> None:
    shown = _shown(relto)
    assert shown["engine"].startswith("SQLite 3")
    assert (shown["place"], shown["schema"], shown["rows"]["item"]) == (str(home / "relto.db"), SCHEMA_VERSION, 2)
    assert "item" in relto("store", "show").output


def test_a_node_goes_to_postgresql_and_back(relto: Relto, home: Path, make_where: Callable[[str], str]) -> None:
    there = make_where("postgresql")
    with (home / SETTINGS).open("a") as settings:
        settings.write("# our own remark\n")
    moved = relto("--json", "store", "move", "--to", there)
    assert moved.exit_code == 0, moved.output
    assert {each["table"]: each["rows"] for each in json.loads(moved.output)["tables"]}["item"] == 2
    assert _shown(relto)["engine"].startswith("PostgreSQL")
    assert "# our own remark" in (home / SETTINGS).read_text()
    assert (home / SETTINGS).stat().st_mode & 0o077 == 0  # a URL may hold a password

    again = relto("store", "move", "--to", "relto.db")
    assert again.exit_code == 3
    assert "was moved to" in again.output
    back = relto("store", "move", "--to", "back.db")
    assert back.exit_code == 0, back.output
    assert _shown(relto)["place"] == str(home / "back.db")
    assert _shown(relto)["rows"]["item"] == 2


def test_a_move_that_fails_leaves_the_node_where_it_is(relto: Relto, home: Path) -> None:
    before = (home / SETTINGS).read_bytes()
    for to in ("postgresql+psycopg://me:hush@localhost:1/store", "relto.db", "mysql://me:hush@localhost/x"):
        refused = relto("store", "move", "--to", to)
        assert refused.exit_code == 3, refused.output
        assert "hush" not in refused.output
    assert (home / SETTINGS).read_bytes() == before
    assert _shown(relto)["rows"]["item"] == 2


def test_a_database_is_set_in_the_settings_once(home: Path) -> None:
    for place in ('a "quoted" place.db', "postgresql+psycopg://relto@/store"):
        set_database(home, place)
        assert read_settings(home).database == place
    assert (home / SETTINGS).read_text().count("database") == 1
