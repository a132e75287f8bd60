"""What the store does after a loss: pages closed for newer keys, what came by keys that are void, a log begun anew."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, literal, select, update

from relto.exchange.books import Arrival, Leaf, PageKey, Standing, Stored
from relto.store.schema import arrivals, checkpoints, items, leaves, page_keys, pages, past_leaves, releases, tiles

_STEP = 500  # values in one IN list
_PAGE_KEY = tuple(page_keys.c[name] for name in PageKey.__struct_fields__)
_ARRIVAL = tuple(arrivals.c[name] for name in Arrival.__struct_fields__)
_STORED = tuple(items.c[name] for name in Stored.__struct_fields__)


class Losses:
    """What a partner's loss, or our own, asks of the store."""

    _connection: Connection

    def keep_page_key(self, kept: PageKey) -> None:
        """Keep what closes a page again, until it is receipted."""
        self._connection.execute(page_keys.insert().values(**msgspec.structs.asdict(kept)))

    def page_keys(self, recipient: str) -> list[PageKey]:
        """Those of the pages that are not receipted, in the order of the stream."""
        query = select(*_PAGE_KEY).where(page_keys.c.recipient == recipient).order_by(page_keys.c.first_n)
        return [PageKey(*row) for row in self._connection.execute(query)]

    def drop_page_keys(self, recipient: str, up_to_n: int) -> None:
        """Forget those of receipted pages: nobody opens these again."""
        gone = (page_keys.c.recipient == recipient) & (page_keys.c.first_n <= up_to_n)
        self._connection.execute(delete(page_keys).where(gone))

    def replace_page(self, recipient: str, first_n: int, content: bytes) -> None:
        """Keep a page as it is closed now."""
        same = (pages.c.recipient == recipient) & (pages.c.first_n == first_n)
        self._connection.execute(update(pages).where(same).values(content=content))

    def drop_unreceived(self, recipient: str, after_n: int) -> list[int]:
        """Take back the pages after release ``after_n``, which never arrived; returns the items that were in them."""
        of = (releases.c.recipient == recipient) & (releases.c.n > after_n)
        found = list(self._connection.execute(select(releases.c.item).where(of).order_by(releases.c.n)).scalars())
        self._connection.execute(delete(releases).where(of))
        self._connection.execute(delete(pages).where((pages.c.recipient == recipient) & (pages.c.first_n > after_n)))
        keys = (page_keys.c.recipient == recipient) & (page_keys.c.first_n > after_n)
        self._connection.execute(delete(page_keys).where(keys))
        return found

    def arrivals_after(self, peer: str, n: int, limit: int, *, since_ms: int = 0) -> list[tuple[int, Arrival]]:
        """The batches of a peer's stream after release ``n`` that came at an instant or later, with their numbers."""
        query = select(arrivals.c.id, *_ARRIVAL).where(arrivals.c.peer == peer, arrivals.c.first_n > n)
        query = query.where(arrivals.c.received_ms >= since_ms)
        rows = self._connection.execute(query.order_by(arrivals.c.first_n).limit(limit))
        return [(row[0], Arrival(*row[1:])) for row in rows]

    def arrived(self, number: int) -> list[Stored]:
        """What is still held of a batch, whatever its standing, in the order in which it came."""
        query = select(*_STORED).where(items.c.arrival == number).order_by(items.c.place, items.c.seq)
        return [Stored(*row) for row in self._connection.execute(query)]

    def set_standing(self, seqs: Sequence[int], standing: Standing) -> None:
        """Give these items another standing."""
        for at in range(0, len(seqs), _STEP):
            some = items.c.seq.in_(seqs[at : at + _STEP])
            self._connection.execute(update(items).where(some).values(standing=standing))

    def opened_past(self, number: int, index: int) -> list[tuple[int, bytes, Leaf]]:
        """A leaf of an earlier log of ours with its opening, if we have it."""
        query = select(past_leaves).where(past_leaves.c.log == number, past_leaves.c.index == index)
        return [(row[1], row[2], Leaf(*row[3:])) for row in self._connection.execute(query)]

    def close_log(self, number: int) -> None:
        """Put our log away under its number, so that the next one begins empty."""
        names = [column.name for column in leaves.columns]
        whole = select(literal(number), *(leaves.c[name] for name in names))
        self._connection.execute(insert(past_leaves).from_select(["log", *names], whole))
        for table in (leaves, tiles, checkpoints):
            self._connection.execute(delete(table))
