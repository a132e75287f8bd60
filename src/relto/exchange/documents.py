"""Documents: what two partners tell each other beside the pages, asked for first on every connection and now and then.

They are the agreements that name the other with the signatures so far, the cards and log heads of parties that both
know of by an agreement, and what is withdrawn but not receipted yet, so that it is void here before a page that waits
in between is read. A party is told of nobody and nothing that no common agreement names.
"""

from __future__ import annotations

import msgspec

from relto.agreements.document import read
from relto.agreements.lifecycle import PAYLOAD_TYPE
from relto.agreements.terms import Terms
from relto.bounds import BOUNDS
from relto.envelope.dsse import merge, open_signed
from relto.errors import DocumentError, MalformedError, NotForUsError, PeerError, TooLargeError
from relto.exchange import cards, heads, incidents, recover
from relto.exchange.books import Books, SignedAgreement
from relto.exchange.core import Core
from relto.exchange.packed import pack, unpack
from relto.exchange.receive import recall
from relto.exchange.steps import Ask, Documents, Steps, Write, mark
from relto.item import AgreementRef

_encoder = msgspec.msgpack.Encoder()


class Papers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer. ``recalled`` are (item, version): every release to the asker below that version is void.

    ``more_recalled``: there are more than fit, and the asker reads nothing of ours before it has all our pages.
    ``cards`` may be asked for. ``stored`` is how far the asker's stream is stored here, ``sent`` where ours to it goes
    on: so a node that lost its own knows.
    """

    v: int
    agreements: tuple[bytes, ...]
    recalled: tuple[tuple[str, int], ...]
    more_recalled: bool
    heads: tuple[bytes, ...] = ()
    cards: tuple[cards.Offer, ...] = ()
    stored: recover.Place | None = None
    sent: recover.Place | None = None


class Taken(msgspec.Struct, frozen=True):
    """What came of a partner's documents: how many were taken, and why others were not."""

    taken: int
    refused: tuple[str, ...]
    known: int = 0  # the mark of the agreements, if all of them were taken


def write(core: Core, books: Books, peer: str) -> bytes:
    """The documents for a peer."""
    stream = books.stream(peer)
    quarantined = peer in books.quarantined()
    void = books.withdrawn_since(peer, stream.receipted_n, BOUNDS.recalled + 1) if stream and not quarantined else []
    papers = Papers(
        v=1,
        agreements=agreements_for(core, books, peer),
        recalled=tuple((each.id, each.version) for each in void[: BOUNDS.recalled]),
        more_recalled=len(void) > BOUNDS.recalled,
        heads=heads.heads_for(core, books, peer),
        cards=cards.told(core, books, peer),
        stored=recover.stored_place(books, peer),
        sent=recover.sent_place(books, peer),
    )
    return _encoder.encode(papers)


def shortened(content: bytes, *, known: int, brief: int) -> bytes:
    """The documents without what the asker knows, and packed if it says that its link is thin."""
    papers = parse(content)
    if known and known == mark(*papers.agreements):
        papers = msgspec.structs.replace(papers, agreements=())
    if brief > 1:
        papers = msgspec.structs.replace(papers, heads=())
    written = _encoder.encode(papers)
    return pack(written) if brief else written


def agreements_for(core: Core, books: Books, peer: str) -> tuple[bytes, ...]:
    """The envelopes of the agreements that name this peer; of others a peer is not told that they exist."""
    return tuple(each.envelope for each in books.agreements() if terms_of(core, books, each).party(peer) is not None)


def terms_of(core: Core, books: Books, stored: SignedAgreement) -> Terms:
    """What an agreement says."""
    known = {standing.terms.ref: standing.terms for standing in core.rules(books).standings}
    return known.get(AgreementRef(stored.id, stored.version, stored.sha256)) or read(stored.text, stored.id)


def refresh(core: Core, peer: str, *, known: int = 0, brief: int = 0) -> Steps[Taken]:
    """Ask a partner for its documents and take them; each is taken or refused by itself.

    Then it proves the log that it shows, and is told what is held against it. ``known`` is that of what was taken last.
    """
    content: bytes = yield Ask(peer, Documents(known, brief))
    papers = parse(unpack(content, BOUNDS.documents_bytes))
    taken = yield from _take(core, peer, papers)
    refused = yield from _know(core, peer, papers)
    yield from heads.exchange(core, peer, papers.heads)
    yield from incidents.tell(core, peer)
    told = mark(*papers.agreements) if papers.agreements else known
    return msgspec.structs.replace(taken, refused=taken.refused + refused, known=0 if taken.refused else told)


def take(core: Core, peer: str, content: bytes) -> Steps[Taken]:
    """Take a partner's documents that came by a relay; the growth of logs is asked for at the next connection."""
    papers = parse(content)
    taken = yield from _take(core, peer, papers)
    yield from heads.shown(core, peer, papers.heads)
    return taken


def _take(core: Core, peer: str, papers: Papers) -> Steps[Taken]:
    yield Write(lambda books: recall(books, peer, papers.recalled, more=papers.more_recalled))
    refused: list[str] = []
    for envelope in papers.agreements:
        try:
            yield Write(lambda books, envelope=envelope: take_agreement(core, books, envelope))  # type: ignore[misc]
        except (PeerError, DocumentError) as error:  # a text that we cannot read holds up nothing else
            refused.append(str(error))
    return Taken(len(papers.agreements) - len(refused), tuple(refused))


def _know(core: Core, peer: str, papers: Papers) -> Steps[tuple[str, ...]]:
    """Ask for the newer cards that a partner offers; after a loss, go on with it. Returns what was refused."""
    refused = list((yield from cards.ask(core, peer, papers.cards)))
    try:
        yield from recover.resume(core, peer, papers.stored, papers.sent)
    except PeerError as error:
        refused.append(str(error))
    return tuple(refused)


def parse(content: bytes) -> Papers:
    """Read the documents of a peer; nothing in them is verified yet.

    Raises:
        MalformedError, TooLargeError: another form, or more than may be sent.
    """
    if len(content) > BOUNDS.documents_bytes:
        raise TooLargeError(f"{len(content)} bytes.", field="documents", remedy="Tell the peer.")
    try:
        papers = msgspec.msgpack.decode(content, type=Papers)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(str(error), field="documents", remedy="See docs/spec/exchange.md.") from None
    if papers.v != 1:
        raise MalformedError(f"is version {papers.v}.", field="documents", remedy="Update this node.")
    counts = (len(papers.recalled), len(papers.agreements), len(papers.heads))
    if any(n > most for n, most in zip(counts, (BOUNDS.recalled, BOUNDS.agreements, BOUNDS.heads), strict=True)):
        raise TooLargeError("too many documents.", field="documents", remedy="Tell the peer.")
    cards.check_offers(papers.cards)
    for id, version in papers.recalled:
        if len(id) != 32 or set(id) - set("0123456789abcdef") or not 2 <= version <= BOUNDS.json_integer:
            raise MalformedError("names no item.", field="recalled", remedy="Tell the peer.")
    return papers


def take_agreement(core: Core, books: Books, envelope: bytes) -> SignedAgreement:
    """Take an agreement's envelope, new or with further signatures; signatures are united, never dropped.

    Raises:
        SignatureError, MalformedError: a signature of a known party does not verify, or it is no envelope.
        DocumentError: its text has findings. NotForUsError: this party is not one of its parties.
    """
    if len(envelope) > BOUNDS.agreement_bytes * 2:
        raise TooLargeError(f"{len(envelope)} bytes.", field="agreement", remedy="Send one agreement.")
    same = next((each for each in books.agreements() if each.envelope == envelope), None)
    if same is not None:  # verified when it was stored
        return same
    authorities = core.authorities(books)
    opened = open_signed(envelope, PAYLOAD_TYPE, authorities)
    terms = read(opened.payload, "agreement")
    if terms.party(core.party) is None:
        raise NotForUsError(f"{core.party} is no party of it.", field=terms.ref.id, remedy="Send it to its parties.")
    if not opened.signed_by:
        raise NotForUsError("no partner has signed it.", field=terms.ref.id, remedy="Its proposer signs first.")
    known = books.same_agreement(terms.ref.id, terms.ref.version, terms.ref.sha256)
    if known is None and len(books.agreements()) >= BOUNDS.agreements:
        raise TooLargeError(f"over {BOUNDS.agreements} held.", field="agreements", remedy="Remove old proposals.")
    united = merge(known.envelope, envelope) if known else envelope
    signed_by = tuple(sorted(open_signed(united, PAYLOAD_TYPE, authorities).signed_by))
    stored = SignedAgreement(
        id=terms.ref.id,
        version=terms.ref.version,
        sha256=terms.ref.sha256,
        text=opened.payload,
        envelope=united,
        signed_by=signed_by,
        changed_ms=core.now_ms(),
    )
    if known is None or known.envelope != united:
        books.keep_agreement(stored)
        incidents.note_two_texts(core, books, stored)
    return stored
