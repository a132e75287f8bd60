"""Withdrawals: the next version of an item, which holds nothing. docs/spec/exchange.md, section 6.

A withdrawal travels as a release in the stream of everybody who ever got the item: numbered, signed, logged, receipted
and exactly once like any other, but ahead of every backlog. Its content is the originator's signed statement, passed on
verbatim; it is empty where a releaser takes back only what it released itself (the item went on in a stricter version
which the recipient may not have). Who passed an item on passes its withdrawal on.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from relto.bounds import BOUNDS
from relto.envelope.dsse import open_by, sign
from relto.envelope.keys import PublicKeys, Signer
from relto.errors import MalformedError, NotForUsError, OurError
from relto.exchange.books import WITHDRAWAL, Books, Filed, Floor
from relto.exchange.core import Core
from relto.exchange.steps import Steps, Write
from relto.item import Duties, Header, Item, Release, new_item
from relto.labels import Handling, Label
from relto.strict import canonical, check_text, parse_canonical

KIND = "statement.withdrawal"
TYPE = "application/vnd.relto.withdrawal+json"
MEDIA = "application/vnd.relto.withdrawal"


class Withdrawal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The originator's word that every version of an item below ``version`` is void."""

    v: Literal[1]
    by: str
    item: str
    version: int
    reason: str
    time_ms: int


def is_withdrawal(header: Header) -> bool:
    """Whether an item is the withdrawal of one."""
    return header.kind == KIND


def withdraw(core: Core, item: str, reason: str) -> Steps[int]:
    """Withdraw an item of our own, everywhere; returns the version of the withdrawal.

    Raises:
        OurError: we hold no such item of our own, or it is withdrawn already.
    """
    version: int = yield Write(lambda books: _withdraw(core, books, item, reason))
    return version


def next_version(core: Core, books: Books, item: str) -> int:
    """The version that would follow all versions of an item of our own.

    Raises:
        OurError: we hold no such item of our own.
    """
    floor = books.floors([item]).get((core.party, item))
    if floor is None:
        raise OurError("no item of ours has this id.", field=item, remedy="Only its originator can; see: relto ls.")
    return floor.version + 1


def _withdraw(core: Core, books: Books, item: str, reason: str) -> int:
    version = next_version(core, books, item)
    floor = books.floors([item])[core.party, item]
    if floor.dead:
        raise OurError("is withdrawn already.", field=item, remedy=f"See who still holds it: relto who {item}.")
    statement = Withdrawal(
        v=1, by=core.party, item=item, version=version, reason=check_text(reason, "reason"), time_ms=core.now_ms()
    )
    tombstone = _tombstone(statement, sign_withdrawal(statement, core.signer))
    books.insert_items([Filed(tombstone, "Withdrawal", view="nothing", received_ms=core.now_ms(), urgency=WITHDRAWAL)])
    books.raise_floors([Floor(core.party, item, version, dead=True)])
    books.erase(item, version, origin=core.party)
    return version


def sign_withdrawal(statement: Withdrawal, node: Signer) -> bytes:
    """The statement in its envelope."""
    return sign(TYPE, canonical(statement), (node,))


def open_withdrawal(envelope: bytes, header: Header, originator: PublicKeys) -> Withdrawal:
    """The originator's statement, which must speak of the very item and version that its header names.

    Raises:
        MalformedError, SignatureError: not a statement, or not signed by the originator's node.
        NotForUsError: it speaks of something else.
    """
    statement = parse_canonical(open_by(envelope, TYPE, originator), Withdrawal)
    if (statement.by, statement.item, statement.version) != (header.origin, header.id, header.version):
        raise NotForUsError(
            f"speaks of {statement.item} v{statement.version} of {statement.by}.",
            field="withdrawal",
            remedy="Keep it as evidence.",
        )
    return statement


def _tombstone(statement: Withdrawal, envelope: bytes) -> Item:
    return _item(statement.item, statement.version, statement.by, statement.time_ms, envelope, None)


def released_withdrawal(header: Header, content: bytes, *, by: str, to: str, now_ms: int) -> Item:
    """The withdrawal of an item for one recipient. ``header`` is that of the withdrawal or of the newer version."""
    release = Release(by, to, 1, "nothing", Duties(), (), (), now_ms)
    at_ms = header.observed_ms if is_withdrawal(header) else now_ms
    return _item(header.id, header.version, header.origin, at_ms, content, release)


def check_arrived(item: Item) -> None:
    """Refuse a withdrawal that says more than a withdrawal may.

    Raises:
        MalformedError: fields that a withdrawal does not have.
    """
    header = item.header
    bare = _item(header.id, header.version, header.origin, header.observed_ms, item.content, header.release)
    if header.release is None or bare.header_bytes != item.header_bytes or len(item.content) > BOUNDS.statement_bytes:
        raise MalformedError("says more than a withdrawal may.", field="withdrawal", remedy="Tell the peer.")
    if header.release.view != "nothing" or header.release.agreements or header.version < 2:
        raise MalformedError("is released like an item.", field="withdrawal", remedy="Tell the peer.")


def _item(id: str, version: int, origin: str, at_ms: int, content: bytes, release: Release | None) -> Item:
    return new_item(
        id=id,
        version=version,
        kind=KIND,
        origin=origin,
        observed_ms=at_ms,
        label=Label(Handling(), (origin,)),
        content=content,
        media_type=MEDIA,
        release=release,
    )
