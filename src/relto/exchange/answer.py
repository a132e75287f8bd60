"""Answering: what a partner's node gets when it asks. Each answer is for the party whose connection asked."""

from __future__ import annotations

import msgspec

from relto.bounds import BOUNDS
from relto.errors import MalformedError, NotForUsError
from relto.exchange import cards, documents, heads, incidents, recover, relay
from relto.exchange.books import ACCUSED, Books, Stream
from relto.exchange.core import Core
from relto.exchange.messages import open_receipt
from relto.exchange.packed import unpack
from relto.exchange.resuming import awaited, resuming
from relto.exchange.steps import (
    Card,
    Collect,
    Deposit,
    Documents,
    Growth,
    Notices,
    Pages,
    Read,
    Receipts,
    Request,
    Returns,
    Steps,
    Write,
    mark,
)


def answer(core: Core, peer: str, request: Request) -> Steps[bytes]:
    """What a partner gets for a request. It does not wait: a page that is not there yet is an empty answer.

    Raises:
        PeerError: the request breaks a rule.
    """
    match request:
        case Pages(after=after_n, from_byte=from_byte, part=part):
            odd: Stream | None = yield Read(lambda books: _out_of_place(books, peer, after_n))
            if odd is not None:
                yield Write(lambda books: incidents.note_place(core, books, odd, after_n))
            page: bytes = yield Read(lambda books: _page(books, peer, after_n))
            return _rest(page, from_byte, part)
        case Receipts(envelope=envelope):
            yield from _receipted(core, peer, unpack(envelope, BOUNDS.statement_bytes))
            return b""
        case Notices(envelope=envelope):
            yield Write(lambda books: _take_notice(core, books, peer, envelope))
            return b""
        case Deposit(envelope=content):
            kept: bytes = yield Write(lambda books: relay.deposit(core, books, peer, content))
            return kept
        case Collect(sender=sender, after=after_n):
            handed = yield from relay.collect(core, peer, sender, after_n)
            return handed
        case Documents(known=known, brief=brief):
            found: bytes = yield Read(lambda books: documents.write(core, books, peer))
            return documents.shortened(found, known=known, brief=brief)
        case Growth(log=log, old=old, new=new):
            proof: bytes = yield Read(lambda books: heads.growth_of(books, log, old, new))
            return proof
        case Card(place=place):
            card: bytes = yield Read(lambda books: cards.one(core, books, peer, place))
            return card
        case Returns(after=after_n):
            back: bytes = yield Read(lambda books: recover.returns(books, peer, after_n))
            return back


class FalseReceiptError(MalformedError):
    """A receipt under the peer's signature of something that our stream or our log never was."""


def _out_of_place(books: Books, peer: str, after_n: int) -> Stream | None:
    stream = books.stream(peer)
    return stream if stream is not None and incidents.out_of_place(books, stream, after_n) else None


def _page(books: Books, peer: str, after_n: int) -> bytes:
    """The page that follows release ``after_n`` in the peer's stream; empty if there is none yet.

    To a peer in quarantine nothing goes, also of what was made before; it is told no more than that there is nothing.
    """
    if peer in books.quarantined() or awaited(books, peer):
        return b""
    stream = books.stream(peer)
    if stream is None:
        return b""
    found = books.page_after(peer, after_n)
    if found is None and after_n != stream.next_n - 1:
        raise NotForUsError(
            f"{peer} asks after {after_n}, where no page ends.", field="after", remedy="Compare the streams."
        )
    return found or b""


def _rest(page: bytes, from_byte: int, part: int) -> bytes:
    """What is left of a page after the part that came."""
    if from_byte and (from_byte >= len(page) or mark(page[:from_byte]) != part):
        raise MalformedError("is no part of this page.", field="from_byte", remedy="Ask for the page anew.")
    return page[from_byte:]


def _receipted(core: Core, peer: str, envelope: bytes) -> Steps[None]:
    """Take a receipt, or keep a false one: it is the peer's word against ours, and freezes nobody."""
    try:
        yield Write(lambda books: _take_receipt(core, books, peer, envelope))
    except FalseReceiptError as error:
        text, evidence = f"{peer} receipts what we never had: {error.reason}", (("receipt", envelope),)
        yield Write(lambda books: incidents.note(core, books, ACCUSED, peer, "receipt", text, evidence))
        raise


def _take_notice(core: Core, books: Books, peer: str, envelope: bytes) -> None:
    """Take a notice. Our own signature under a head that our log does not have is more than the peer's word."""
    for exhibit in incidents.take_notice(core, books, peer, envelope):
        heads.check_own(core, books, exhibit)


def _take_receipt(core: Core, books: Books, peer: str, envelope: bytes) -> None:
    """Take a peer's receipt.

    Raises:
        FalseReceiptError: it names a place, a chain value or a head that our stream and log never had.
        MalformedError, SignatureError, NotForUsError: it is no receipt, not the peer's, or not for us.
    """
    if len(envelope) > BOUNDS.statement_bytes:
        raise MalformedError("over the limit.", field="receipt", remedy="Send the receipt alone.")
    receipt = open_receipt(envelope, core.partner(books, peer).node, by=peer, to=core.party)
    stream = books.stream(peer)
    known = books.chain_at(peer, receipt.up_to_n)
    if stream is not None and known is None and receipt.up_to_n <= stream.receipted_n and resuming(books):
        return  # of pages that we lost; that they arrived we have from the peer already
    if stream is None or known != receipt.chain:
        raise FalseReceiptError(
            f"{peer} receipts up to {receipt.up_to_n} with a chain that this stream never had.",
            field="receipt",
            remedy="Keep it as evidence; compare the streams.",
        )
    if not heads.witnessed(books, receipt):
        raise FalseReceiptError(
            f"{peer} has seen our log {receipt.log} at {receipt.log_size} with a root that it never had.",
            field="receipt",
            remedy="Keep it as evidence; compare the heads.",
        )
    if receipt.up_to_n > stream.receipted_n:
        now_ms = core.now_ms()
        books.advance(
            msgspec.structs.replace(stream, receipted_n=receipt.up_to_n, receipt=envelope, receipted_ms=now_ms)
        )
        books.drop_page_keys(peer, receipt.up_to_n)
