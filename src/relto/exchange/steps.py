"""How the exchange acts without doing any I/O: its verbs are generators of effects, and somebody else carries them out.

A verb yields ``Read``, ``Write`` or ``Ask`` and is sent back what came of it, or has the failure thrown into it. The
node drives verbs over its database and its connections (``drive``), the simulator over its own; between any two effects
it may let the node crash. A verb is given no socket, file, thread or clock of the machine, and it cannot get one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import msgspec

from relto.bounds import BOUNDS
from relto.exchange.books import Books, Store

T = TypeVar("T")


class Pages(msgspec.Struct, frozen=True):
    """The page that follows release ``after`` of the stream to whoever asks; it may be waited for.

    ``from_byte``: the rest of the page from there on, since the link broke off; ``part`` is ``mark`` of what came.
    """

    after: int
    wait_ms: int = 0
    from_byte: int = 0
    part: int = 0


class Receipts(msgspec.Struct, frozen=True):
    """Take this receipt."""

    envelope: bytes


class Documents(msgspec.Struct, frozen=True):
    """What stands between us now: agreements, cards, heads, and what is withdrawn.

    ``known``: ``mark`` of the agreements as they came last; if they are still the same, they are left out. ``brief``: 1
    to have the answer packed, 2 to have it without heads as well; then somebody asks for all of it now and then.
    """

    known: int = 0
    brief: int = 0


class Growth(msgspec.Struct, frozen=True):
    """The proof that your log of one size is a prefix of that of another; an empty answer if there is no such proof."""

    log: int
    old: int
    new: int


class Notices(msgspec.Struct, frozen=True):
    """Take this notice of something that you did."""

    envelope: bytes


class Card(msgspec.Struct, frozen=True):
    """The card at this place, from 0, of those that your documents offer."""

    place: int


class Returns(msgspec.Struct, frozen=True):
    """What you hold of what we released to you after release ``after``: we have lost it."""

    after: int


class Deposit(msgspec.Struct, frozen=True):
    """Keep this for the partner of yours whom it names, until it collects it."""

    envelope: bytes


class Collect(msgspec.Struct, frozen=True):
    """What do you hold for me of a party after your number ``after``? All before it is stored here."""

    sender: str
    after: int


Request = Deposit | Collect | Pages | Receipts | Documents | Growth | Notices | Card | Returns


def mark(*contents: bytes) -> int:
    """A short mark of some bytes, in at most 15 digits: who makes two alike only deceives himself."""
    digests = b"".join(hashlib.sha256(each).digest() for each in contents)
    return int.from_bytes(hashlib.sha256(digests).digest()[:6], "big")


LIMIT_BYTES: dict[type, int] = {
    Deposit: BOUNDS.refusal_bytes,
    Collect: BOUNDS.page_bytes + BOUNDS.refusal_bytes,
    Pages: BOUNDS.page_bytes,
    Receipts: BOUNDS.refusal_bytes,
    Documents: BOUNDS.documents_bytes,
    Growth: BOUNDS.statement_bytes,
    Notices: BOUNDS.refusal_bytes,
    Card: BOUNDS.card_bytes,
    Returns: BOUNDS.page_bytes,
}


class Read(msgspec.Struct, frozen=True):
    """Run this over the books and change nothing."""

    job: Callable[[Books], Any]


class Write(msgspec.Struct, frozen=True):
    """Run this over the books; go on when it is durable."""

    job: Callable[[Books], Any]


class Ask(msgspec.Struct, frozen=True):
    """Ask a partner's node, and go on with its answer."""

    peer: str
    request: Request


Effect = Read | Write | Ask
Steps = Generator[Effect, Any, T]


def drive(steps: Steps[T], store: Store, ask: Callable[[Ask], bytes] | None = None) -> T:
    """Carry out a verb's effects one after the other and return what it returns.

    What an effect raises is raised in the verb, which may have an answer to it.
    """
    act: Callable[[], Effect] = lambda: next(steps)  # noqa: E731
    while True:
        try:
            effect = act()
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            value = _carried_out(effect, store, ask)
        except Exception as error:
            failure = error
            act = lambda: steps.throw(failure)  # noqa: E731, B023
        else:
            act = lambda: steps.send(value)  # noqa: E731, B023


def _carried_out(effect: Effect, store: Store, ask: Callable[[Ask], bytes] | None) -> Any:
    if isinstance(effect, Read):
        with store.read() as books:
            return effect.job(books)
    if isinstance(effect, Write):
        return store.write(effect.job)
    if ask is None:
        raise TypeError("this verb asks a partner, and was given no way to it")
    return ask(effect)
