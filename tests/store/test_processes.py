"""Several processes on one store: nothing is lost or doubled, the log is one line, a killed worker blocks nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from relto.envelope.merkle import leaf_hash, root
from relto.store.books import SqlStore
from relto.store.database import Database
from relto.store.schema import items, leaves, releases
from tests.store.conftest import leaf, stream

pytestmark = pytest.mark.process
HERE = Path(__file__).parent
WRITTEN = 20
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(where: Path | str) -> Iterator[Start]:
    """Start a worker on the store; whatever still runs is killed after the test."""
    begun: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "worker.py"), str(where), *words]
        environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return begun[-1]

    yield run
    for each in begun:
        each.kill()
        each.wait()


@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
def test_two_writers_and_two_release_workers_lose_and_double_nothing(database: Database, start: Start) -> None:
    store = SqlStore(database)
    recipients = ("AUS", "PHL", "USA")
    for recipient in recipients:
        store.write(lambda books, recipient=recipient: books.open_stream(stream(recipient)))
    sharing = [start("share", name) for name in ("one", "two")]
    writing = [start("write", name, str(WRITTEN)) for name in ("1", "2")]
    acknowledged = {int(line) for each in writing for line in each.communicate()[0].split()}
    store.write(lambda books: books.put_setting("end", b""))
    wasted = [each.communicate()[0].split()[1] for each in sharing]

    with store.read() as books:
        stored = [int(each.content) for each in books.after(0, 10_000)]
        assert sorted(stored) == sorted(acknowledged)
        assert len(acknowledged) == 2 * WRITTEN
        seqs = [each.seq for each in books.after(0, 10_000)]
        head, streams = books.head(), {each.recipient: each for each in books.all_streams()}
    with database.read() as connection:
        made = connection.execute(select(releases).order_by(releases.c.recipient, releases.c.n)).all()
        entries = list(connection.execute(select(leaves.c.entry).order_by(leaves.c.index)).scalars())
    for recipient in recipients:  # each stream has every item once, in the order of the queue, without a gap
        rows = [row for row in made if row.recipient == recipient]
        assert [row.item for row in rows] == seqs
        assert [row.n for row in rows] == list(range(1, len(seqs) + 1))
        assert streams[recipient].next_n == len(seqs) + 1
    # one log without forks: every leaf is one release's, and the tiles lead to the root over them
    assert sorted(row.leaf for row in made) == list(range(head.size))
    assert [leaf(row.item).entry for row in sorted(made, key=lambda row: row.leaf)] == entries
    assert root([leaf_hash(each) for each in entries]) == head.root
    assert wasted == ["0", "0"], "a claim is there so that no work is done twice"


@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
def test_the_claim_of_a_killed_worker_is_gone(database: Database, start: Start) -> None:
    worker = start("claim", "PHL")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "True\n"
    with database.claim("PHL") as mine:
        assert not mine
    worker.kill()
    free = False
    while not free:  # as soon as the server has noticed
        with database.claim("PHL") as free:
            pass


def test_a_killed_writer_leaves_all_that_it_was_told_and_no_half(where: Path | str, start: Start) -> None:
    Database(where).close()
    writer = start("write", "3", "100000")
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(25)]
    writer.kill()
    told += [int(line) for line in writer.communicate()[0].splitlines()]
    after = Database(where)
    with after.read() as connection:
        stored = [int(found) for found in connection.execute(select(items.c.content).order_by(items.c.seq)).scalars()]
    assert Counter(stored).most_common(1)[0][1] == 1
    assert stored[: len(told)] == told
    assert len(stored) - len(told) in (0, 1)  # one may be durable that it had no time to tell
    SqlStore(after).write(lambda books: books.put_setting("after", b""))  # and its lock is gone
    after.close()
