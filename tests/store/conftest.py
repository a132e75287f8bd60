"""Stores for the shared suite: every promise is held on each engine, PostgreSQL being a real server."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relto.exchange.books import Filed, Leaf, Released, Store, Stream
from relto.exchange.messages import FIRST_CHAIN
from relto.exercise.simulator.memory import MemoryStore
from relto.item import Item, new_item
from relto.labels import Handling, Label
from relto.store.books import SqlStore
from relto.store.database import Database
from tests.postgres import Server, running

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, make_where: Callable[[str], Path | str]) -> Path | str:
    """Where a new store of each engine may be."""
    return make_where(request.param)


@pytest.fixture
def make_where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Path | str]]:
    made: list[str] = []
    numbers = itertools.count()

    def make(engine: str) -> Path | str:
        if engine == "sqlite":
            return tmp_path / f"store-{next(numbers)}.db"
        made.append(request.getfixturevalue("server").new())
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("server").give_back(url)


@pytest.fixture
def database(where: Path | str) -> Iterator[Database]:
    found = Database(where)
    yield found
    found.close()


@pytest.fixture(params=(*ENGINES, "memory"))
def store(request: pytest.FixtureRequest, make_where: Callable[[str], Path | str]) -> Iterator[Store]:
    """A new store of each engine, and the simulator's, which is held to the same promises."""
    if request.param == "memory":
        yield MemoryStore()
        return
    database = Database(make_where(request.param))
    yield SqlStore(database)
    database.close()


def item(
    number: int, version: int = 1, *, origin: str = "JPN", text: str = "", kind: str = "maritime.detection"
) -> Item:
    return new_item(
        id=f"{number:032x}",
        kind=kind,
        origin=origin,
        observed_ms=1000 + number,
        label=Label(Handling(), (origin,)),
        content=text.encode() or b"%d" % number,
        media_type="application/json",
        version=version,
    )


def filed(number: int, version: int = 1, *, origin: str = "JPN", text: str = "", **kept: Any) -> Filed:
    made = item(number, version, origin=origin, text=text, kind=kept.pop("kind", "maritime.detection"))
    return Filed(made, kept.pop("title", f"contact {number}"), **kept)


def stream(recipient: str, **moved: Any) -> Stream:
    at = {"scanned_seq": 0, "urgent_seq": 0, "next_n": 1, "chain": FIRST_CHAIN, "log_size": 0, "receipted_n": 0}
    return Stream(recipient, **(at | moved))


def release(recipient: str, n: int, number: int, **told: Any) -> Released:
    at = {"leaf": n - 1, "version": 1, "view": "full", "released_ms": 1000 * n}
    return Released(recipient=recipient, n=n, item=number, id=f"{number:032x}", **(at | told))


def leaf(number: int) -> Leaf:
    salt = hashlib.sha256(b"%d" % number).digest()
    return Leaf(b"record %d" % number, salt, "0" * 64, salt)
