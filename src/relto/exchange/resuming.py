"""After a loss: with whom this node goes on already, and with whom it first has to compare.

A node that was restored, rebuilt or given new keys does not know what it has forgotten. So to each partner it releases
nothing, and takes nothing from it, until that partner has told how far both streams are. docs/recovery.md.
"""

from __future__ import annotations

import msgspec

from relto.exchange.books import Books
from relto.exchange.core import HALTED, halted

RESUMING = "resuming"
RESTORED = "restored: "  # every text under HALTED that comparing with the partners lifts begins so


class Resuming(msgspec.Struct, frozen=True):
    """What is to be done with each partner, and with whom it is done.

    ``remake``: pages that did not arrive are made again, since they were signed by keys or for a log that are gone.
    ``adopt``: pages that did not come are closed for keys that are gone; the peer's stream goes on behind them.
    ``rebuilt``: nothing was left, so what comes back is all there is, and was decided on by the node that is lost.
    """

    remake: bool = False
    adopt: bool = False
    rebuilt: bool = False
    heard: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Resuming)


def resuming(books: Books) -> Resuming | None:
    """What this node resumes from; None if it never lost anything."""
    kept = books.secret(RESUMING)
    return _decoder.decode(kept) if kept else None


def awaited(books: Books, peer: str) -> bool:
    """Whether this node has yet to compare with a partner."""
    now = resuming(books)
    return now is not None and peer not in now.heard


def begin(books: Books, *, remake: bool = False, adopt: bool = False, rebuilt: bool = False) -> None:
    """Compare with every partner anew; what one of two losses asks for stays asked for."""
    before = resuming(books) or Resuming()
    _keep(books, Resuming(before.remake or remake, before.adopt or adopt, before.rebuilt or rebuilt))


def begin_restored(books: Books) -> None:
    """Compare with every partner, and release nothing to anybody before; to whom nothing ever went has seen nothing."""
    begin(books)
    if not books.all_streams():
        return
    books.put_setting(HALTED, f"{RESTORED}waiting until every partner has compared its heads with ours".encode())


def heard(books: Books, peer: str) -> Resuming:
    """Go on with a partner; when that is the last one with a stream, a halt is lifted."""
    before = resuming(books) or Resuming()
    now = msgspec.structs.replace(before, heard=tuple(sorted({*before.heard, peer})))
    _keep(books, now)
    if halted(books).startswith(RESTORED) and all(each.recipient in now.heard for each in books.all_streams()):
        books.put_setting(HALTED, b"")
    return now


def _keep(books: Books, now: Resuming) -> None:
    books.put_setting(RESUMING, msgspec.json.encode(now))
