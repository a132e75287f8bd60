"""Incidents: what a party did that it must not do, kept once with what proves it, until the operator closes it.

Nothing is frozen on anybody's word. A party is frozen by what its own keys have signed, and a node halts itself only
where it sees its own signature under something that its store does not have. So no party can have another frozen.
docs/spec/exchange.md, section 7.
"""

from __future__ import annotations

import base64

from relto.bounds import BOUNDS
from relto.clock import format_utc
from relto.errors import MalformedError, OurError, PeerError, ProofError, SignatureError
from relto.exchange.books import (
    ACCUSED,
    AGREEMENT_EQUIVOCATION,
    EQUIVOCATION,
    FORGERY,
    FORK,
    GAP,
    KEY_REVOKED,
    REST,
    ROLLBACK,
    TWO_CARDS,
    UNPROVEN,
    UNRECEIPTED,
    Books,
    Incident,
    SignedAgreement,
    Stream,
)
from relto.exchange.core import HALTED, Core, halted
from relto.exchange.messages import Exhibit, Notice, open_notice, sign_notice
from relto.exchange.steps import Ask, Notices, Read, Steps, Write
from relto.strict import check_text

_OUTGOING = "our stream to it"
Evidence = tuple[tuple[str, bytes], ...]

# What each kind freezes, and what its reader can do.
MEANING: dict[str, tuple[str, str]] = {
    EQUIVOCATION: (
        "The item is read by nobody and goes to nobody.",
        "Ask the party which content holds and have it withdraw the item; then close this.",
    ),
    AGREEMENT_EQUIVOCATION: (
        "Neither text holds; nothing is released under either.",
        "Telephone the party. Agree on one text under the next version.",
    ),
    TWO_CARDS: (
        "The second card was not taken.",
        "Telephone the party: it made two cards under one number, or somebody else holds its authority keys.",
    ),
    FORK: (
        "No page of it is taken, and nothing that came from it is passed on. What it is due of ours it still gets.",
        "Write the proof to files and show it to the party. Close this when it has explained itself.",
    ),
    UNPROVEN: (
        f"Nothing yet. From {BOUNDS.growth_grace_ms // 3_600_000} hours on it is treated like a fork.",
        "Ask the party what happened to its log. This closes by itself once the log is proven.",
    ),
    ROLLBACK: (
        "Nothing of the party is frozen. If it is this node itself, it releases nothing.",
        "The store was put back. Put the newest one in its place, or restore from a backup as the manual says.",
    ),
    FORGERY: (
        "What does not verify was not taken.",
        "Ask the party whether its node or its line was tampered with.",
    ),
    KEY_REVOKED: (
        "What came by those keys since then is put away, and the party is in quarantine.",
        "Hear from the party what happened; then: relto quarantine lift.",
    ),
    GAP: ("Pages behind the gap wait.", "Ask the relay for the pages that it left out, or go to their party directly."),
    UNRECEIPTED: ("Nothing.", "Ask the party whether the pages came; go to it directly if not."),
    ACCUSED: ("Nothing: it is the other party's word.", "Compare logs and streams with that party."),
}
# Of these a party can cause as many as it likes, each with a subject of its own.
_UNBOUNDED = (EQUIVOCATION, AGREEMENT_EQUIVOCATION, FORGERY)
# What the party itself is told of.
_TOLD = (EQUIVOCATION, AGREEMENT_EQUIVOCATION, TWO_CARDS, FORK, UNPROVEN, ROLLBACK, FORGERY)


def note(core: Core, books: Books, kind: str, party: str, subject: str, text: str, evidence: Evidence = ()) -> Incident:
    """Note an incident, or count one more of it. Over a bound of open ones they are counted under one subject."""
    now_ms = core.now_ms()
    known = books.incident(kind, party, subject)
    if known is None and kind in _UNBOUNDED and _open_of(books, party) >= BOUNDS.open_incidents:
        subject, text = REST, f"{party} caused more than {BOUNDS.open_incidents} incidents; these are only counted."
        known = books.incident(kind, party, subject)
    noted = books.note_incident(Incident(kind, party, subject, text, evidence, now_ms, now_ms))
    if known is None or not known.open:
        books.rules_changed()
    return noted


def _open_of(books: Books, party: str) -> int:
    return sum(each.party == party for each in books.incidents(open_only=True))


def is_open(books: Books, kind: str, party: str, subject: str) -> bool:
    """Whether such an incident is known and not closed."""
    known = books.incident(kind, party, subject)
    return known is not None and known.open


def note_equivocation(
    core: Core, books: Books, peer: str, id: str, version: int, headers: tuple[bytes, ...]
) -> Incident | None:
    """A peer released two contents under one item and version: both are kept, and the item goes to nobody.

    The same two once more, as with every later version of the item, are nothing new.
    """
    subject = f"{id} v{version}"
    known = books.incident(EQUIVOCATION, peer, subject)
    if known is not None and set(headers) <= {content for _, content in known.evidence}:
        return None
    text = f"{peer} released {len(headers)} different contents as version {version} of one item."
    evidence = tuple((f"header-{at}", header) for at, header in enumerate(headers, start=1))
    noted = note(core, books, EQUIVOCATION, peer, subject, text, evidence)
    if noted.subject != REST:
        books.set_quarantined(books.quarantined() | {id})
    return noted


def note_two_texts(core: Core, books: Books, stored: SignedAgreement) -> None:
    """A party signed two texts under one id and version of an agreement: both are kept, and neither holds."""
    same = [each for each in books.agreements() if (each.id, each.version) == (stored.id, stored.version)]
    for other in same:
        both = set(other.signed_by) & set(stored.signed_by) - {core.party}
        for party in sorted(both) if other.sha256 != stored.sha256 else []:
            subject = f"{stored.id} v{stored.version}"
            if books.incident(AGREEMENT_EQUIVOCATION, party, subject) is None:
                text = f"{party} signed two texts as {subject}."
                evidence = (("envelope-1", other.envelope), ("envelope-2", stored.envelope))
                note(core, books, AGREEMENT_EQUIVOCATION, party, subject, text, evidence)


def note_two_cards(core: Core, books: Books, party: str, version: int, cards: tuple[bytes, bytes]) -> None:
    """A party signed two cards under one number. The same two once more are nothing new."""
    subject = f"version {version}"
    evidence = tuple((f"card-{at}", card) for at, card in enumerate(cards, start=1))
    known = books.incident(TWO_CARDS, party, subject)
    if known is None or known.evidence != evidence:
        note(core, books, TWO_CARDS, party, subject, f"{party} signed two cards as {subject}.", evidence)


def note_refused(core: Core, books: Books, peer: str, error: PeerError) -> Incident | None:
    """A page that does not verify is counted against the peer; one that is merely wrong is only logged.

    A page whose proofs fail proves no fork: that takes two heads. The next heads that the peer shows will tell.
    """
    if isinstance(error, SignatureError | ProofError):
        what = "signature" if isinstance(error, SignatureError) else "proof"
        return note(core, books, FORGERY, peer, f"{what} of a page", f"A page was refused: {error.reason}")
    return None


def note_bad_hops(core: Core, books: Books, peer: str, item: str, reason: str, hops: bytes) -> Incident:
    """A peer sent releases before its own that do not verify: the item is kept as the peer's word alone."""
    text = f"{peer} released {item} with a provenance that does not verify: {reason}"
    return note(core, books, FORGERY, peer, "provenance", text, (("hops", hops),))


def note_carried(core: Core, books: Books, relay: str, peer: str, error: PeerError) -> Incident:
    """What a relay handed over as a peer's does not verify. It is nothing against the peer: anybody could seal it."""
    text = f"{relay} handed over as {peer}'s what does not verify: {error.reason}"
    return note(core, books, FORGERY, relay, f"carried from {peer}", text)


def note_gap(core: Core, books: Books, relay: str, peer: str, reason: str) -> Incident:
    """A relay handed over a page behind one that never came."""
    return note(core, books, GAP, relay, f"carried from {peer}", f"{relay} left out pages of {peer}: {reason}")


def note_unreceipted(core: Core, books: Books, relay: str, peer: str, after_n: int) -> Incident:
    """A relay says that it delivers, and no receipt comes."""
    text = (
        f"{relay} says that {peer} collected our pages after release {after_n}, and {peer} has receipted none of them "
        f"in {BOUNDS.receipt_gap_polls} polls."
    )
    return note(core, books, UNRECEIPTED, relay, f"carried to {peer}", text)


def out_of_place(books: Books, stream: Stream, after_n: int) -> bool:
    """Whether a peer asks from a place where it cannot be, and we do not know it yet."""
    kind = ROLLBACK if after_n < stream.receipted_n else ACCUSED
    inside = stream.receipted_n <= after_n < stream.next_n
    return not inside and not is_open(books, kind, stream.recipient, _OUTGOING)


def note_place(core: Core, books: Books, stream: Stream, after_n: int) -> Incident:
    """A peer asks from a place where it cannot be: before what it has receipted, or behind what it can have got."""
    peer = stream.recipient
    if after_n < stream.receipted_n:
        text = f"{peer} asks after {after_n} of our stream, of which it has receipted {stream.receipted_n}."
        evidence = (("receipt", stream.receipt or b""),)
        return note(core, books, ROLLBACK, peer, _OUTGOING, text, evidence)
    text = f"{peer} asks after {after_n} of our stream, which ends at {stream.next_n - 1}: it errs, or we went back."
    return note(core, books, ACCUSED, peer, _OUTGOING, text)


def halt(core: Core, books: Books, kind: str, subject: str, text: str, evidence: Evidence) -> None:
    """Our own store is not what we have signed: nothing is released until the operator has mended it."""
    note(core, books, kind, core.party, subject, text, evidence)
    books.put_setting(HALTED, f"{kind}: {text}".encode())


def tell(core: Core, peer: str) -> Steps[None]:
    """Tell a peer of the open incidents that are about it. What it does not take it is told again later."""
    due: list[Incident] = yield Read(lambda books: _untold(books, peer))
    for incident in due:
        try:
            yield Ask(peer, Notices(notice(core, incident)))
        except PeerError:
            continue
        number = incident.id
        yield Write(lambda books, number=number: books.incident_told(number, core.now_ms()))  # type: ignore[misc]


def _untold(books: Books, peer: str) -> list[Incident]:
    found = books.incidents(open_only=True)
    return [each for each in found if each.party == peer and each.kind in _TOLD and not each.told_ms]


def notice(core: Core, incident: Incident) -> bytes:
    """The signed notice of an incident for its party, with as much of the evidence as fits: all of it its own."""
    exhibits, room = [], BOUNDS.notice_exhibit_bytes
    for name, content in incident.evidence[: BOUNDS.notice_exhibits]:
        if len(content) <= room:
            room -= len(content)
            exhibits.append(Exhibit(name, base64.b64encode(content).decode()))
    statement = Notice(
        v=1,
        by=core.party,
        to=incident.party,
        kind=incident.kind,
        subject=incident.subject,
        evidence=tuple(exhibits),
        time_ms=core.now_ms(),
    )
    return sign_notice(statement, core.signer)


def take_notice(core: Core, books: Books, peer: str, envelope: bytes) -> list[bytes]:
    """Take what a peer says that we did; returns its exhibits. They are its word, one incident for each kind.

    Raises:
        PeerError: it is not the peer's word for us, or of no kind that is known.
    """
    found = open_notice(envelope, core.partner(books, peer).node, by=peer, to=core.party)
    if found.kind not in _TOLD:
        raise MalformedError(f"is {found.kind[:40]!r}.", field="notice", remedy="See docs/spec/exchange.md.")
    exhibits = found.exhibits()
    text = f"{peer} says: {found.kind} ({check_text(found.subject, 'subject')})."
    note(core, books, ACCUSED, peer, found.kind, text, (("notice", envelope),))
    return exhibits


def close(core: Core, books: Books, number: int, reason: str) -> Incident:
    """Close an incident for a reason, and lift what it froze.

    Raises:
        OurError: there is no such open incident, or no reason.
    """
    found = next((each for each in books.incidents(open_only=True) if each.id == number), None)
    if found is None:
        raise OurError("no open incident has this number.", field=str(number), remedy="See: relto incident ls.")
    if not reason.strip():
        raise OurError("needs a reason.", field="reason", remedy="Say why it is settled.")
    books.close_incident(number, f"{format_utc(core.now_ms())} {check_text(reason, 'reason')}")
    books.rules_changed()
    _lift(core, books, found)
    return found


def _lift(core: Core, books: Books, closed: Incident) -> None:
    still_open = books.incidents(open_only=True)
    if closed.kind == EQUIVOCATION:
        frozen = {each.subject.split(" ")[0] for each in still_open if each.kind == EQUIVOCATION}
        books.set_quarantined(books.quarantined() - ({closed.subject.split(" ")[0]} - frozen))
    elif closed.party == core.party:
        if halted(books).startswith((FORK, ROLLBACK)) and not any(each.party == core.party for each in still_open):
            books.put_setting(HALTED, b"")
    elif closed.kind == FORK:
        # what is compared from now on is what the party shows from now on; another fork is found again
        books.forget_heads(closed.party, log_in(closed))


def log_subject(log: int) -> str:
    """The subject of an incident about a log."""
    return f"log {log}"


def log_in(incident: Incident) -> int:
    """The log that such a subject names."""
    return int(incident.subject.removeprefix("log "))
