"""The simulated disk keeps the promises of every store: the shared suite, once more."""

from __future__ import annotations

import pytest

from relto.errors import InvariantError
from relto.exercise.simulator.memory import MemoryStore, StorageError
from tests.store.test_books import *  # noqa: F403

pytestmark = pytest.mark.pure


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_write_that_fails_before_its_commit_stored_nothing_and_one_after_it_everything(store: MemoryStore) -> None:
    store.fail(1, "before")
    store.fail(2, "after")
    for number, stored in enumerate((True, False, True, True)):
        try:
            store.write(lambda books, number=number: books.put_setting(str(number), b"1"))
        except StorageError:
            assert number in (1, 2)
        assert (store.books().secret(str(number)) is not None) == stored


def test_a_commit_that_is_lost_was_never_there(store: MemoryStore) -> None:
    store.lose(lambda books: books.put_setting("a", b"1"))
    assert store.books().secret("a") is None


def test_a_reader_cannot_write(store: MemoryStore) -> None:
    with store.read() as books, pytest.raises(InvariantError):
        books.put_setting("a", b"1")
