"""A process on a store, for tests: ``worker.py URL write NAME COUNT``, ``… share NAME``, ``… claim RECIPIENT``.

A writer prints the number of each item once it is acknowledged. A share worker moves every stream as far as there are
items, until told to end, and prints how often it worked for nothing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from relto.exchange.books import Head
from relto.store.books import SqlStore
from relto.store.database import Database
from tests.store.conftest import filed, leaf, release

BATCH = 7


def write(store: SqlStore, name: str, count: int) -> None:
    base = int(name) * 1_000_000
    for number in range(base, base + count):
        store.write(lambda books, number=number: books.insert_items([filed(number)]))
        print(number, flush=True)


def share(store: SqlStore, name: str) -> None:
    wasted, done = 0, False
    while not done:
        with store.read() as books:
            done = books.secret("end") is not None
            newest, streams = books.last_seq(), books.all_streams()
        for stream in streams:
            while True:
                with store.database.claim(stream.recipient) as mine:
                    if not mine:
                        break
                    with store.read() as books:
                        stream = books.stream(stream.recipient) or stream
                        found = books.after(stream.scanned_seq, BATCH)
                    if not found:
                        break
                    wasted += not store.write(lambda books, stream=stream, found=found: moved(books, stream, found))
        time.sleep(0.01)
        done = done and all(stream.scanned_seq >= newest for stream in streams)
    print(name, wasted, flush=True)


def moved(books: Any, before: Any, found: list[Any]) -> bool:
    """Log and release in the transaction that moves the stream, unless somebody else has moved it."""
    if books.stream(before.recipient) != before:
        return False
    size = books.head().size
    root, _ = books.append(size, [leaf(each.seq) for each in found])
    books.set_head(Head(size + len(found), root, b""))
    rows = [release(before.recipient, before.next_n + at, each.seq, leaf=size + at) for at, each in enumerate(found)]
    books.add_releases(rows)
    books.advance(
        msgspec.structs.replace(before, scanned_seq=found[-1].seq, next_n=before.next_n + len(found), log_size=size)
    )
    return True


def claim(store: SqlStore, recipient: str) -> None:
    with store.database.claim(recipient) as mine:
        print(mine, flush=True)
        time.sleep(600)


if __name__ == "__main__":
    where, verb, *words = sys.argv[1:]
    found = SqlStore(Database(where if "://" in where else Path(where)))
    if verb == "write":
        write(found, words[0], int(words[1]))
    elif verb == "share":
        share(found, words[0])
    else:
        claim(found, words[0])
    found.close()
