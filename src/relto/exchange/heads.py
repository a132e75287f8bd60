"""Heads: partners show each other the newest signed heads of the logs that they know, and so find who keeps two.

With every exchange of documents a party shows its own newest head, and the newest heads of parties that an agreement in
force names together with the asker and itself. A head is compared with all that are known of the log: equal sizes at
once; different ones by the growth that the log's owner is asked for in the same exchange. What the owner signed
convicts it; that it does not answer is a suspicion. What a party is shown of its own log tells it that its store was
put back. docs/spec/exchange.md, section 7.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from relto.bounds import BOUNDS
from relto.clock import format_utc
from relto.envelope.merkle import root_nodes
from relto.errors import PeerError, ProofError
from relto.exchange import incidents
from relto.exchange.books import FORK, PAGE, ROLLBACK, UNPROVEN, Books, Inbound, SeenHead
from relto.exchange.core import Core, accepted, card_of, halted, log_number
from relto.exchange.fork import conflict, connects, growth, open_head, party_of
from relto.exchange.messages import Receipt, open_receipt
from relto.exchange.steps import Ask, Growth, Read, Steps, Write


class Witness(msgspec.Struct, frozen=True):
    """Who has receipted our log at which size: it verified that the log only grew to there."""

    party: str
    size: int
    time_ms: int


# --- showing ---


def heads_for(core: Core, books: Books, peer: str) -> tuple[bytes, ...]:
    """The signed heads for a peer: ours, its own as we know it, and those of parties that it may know that we know.

    Of a party whose log has forked both sides are shown, so that the proof reaches everybody whom it concerns.
    """
    if peer in books.quarantined():
        return ()
    rules = core.rules(books)
    in_force = [terms for terms in rules.table.epoch.in_force if terms.party(core.party)]
    shared = [{entry.id for entry in terms.parties} for terms in in_force]
    known = {peer}.union(*(parties for parties in shared if peer in parties))
    notes = [books.head().note] if books.head().size else []
    for incident in books.incidents(open_only=True) if rules.frozen & known else []:
        if incident.kind == FORK and incident.party in known:
            notes += [content for name, content in incident.evidence if name in ("first", "second")]
    for head in (*books.seen_heads(), *books.told_heads()):
        if head.party in known and head.source in ("", PAGE, head.party):
            notes.append(head.note)
    return tuple(dict.fromkeys(notes))[: BOUNDS.heads]


def growth_of(books: Books, log: int, old: int, new: int) -> bytes:
    """What proves that our log of one size is a beginning of that of another; empty if it never had these sizes."""
    if log != log_number(books) or not 0 < old < new <= books.head().size:
        return b""
    return growth(books.log_nodes(), old, new)


# --- comparing ---


def exchange(core: Core, peer: str, notes: Sequence[bytes]) -> Steps[None]:
    """Take the heads that a peer shows, and have it prove that all that is known of its own log is one log."""
    yield Write(lambda books: _take(core, books, peer, notes))
    pairs: list[tuple[SeenHead, SeenHead]] = yield Read(lambda books: _to_connect(core, books, peer))
    for old, new in pairs:
        answer = b""
        with contextlib.suppress(PeerError):
            answer = yield Ask(peer, Growth(new.log, old.size, new.size))
        joined: bool = yield Write(
            lambda books, old=old, new=new, answer=answer: _connect(core, books, old, new, answer)  # type: ignore[misc]
        )
        if not joined:
            return
    yield Write(lambda books: _settle(core, books, pairs))


def shown(core: Core, peer: str, notes: Sequence[bytes]) -> Steps[None]:
    """Take the heads that a peer shows where it cannot be asked: two that contradict each other convict at once."""
    yield Write(lambda books: _take(core, books, peer, notes))


def _take(core: Core, books: Books, teller: str, notes: Iterable[bytes]) -> None:
    """What does not verify is passed by: it may be signed by older keys, and proves nothing against anybody."""
    told: list[SeenHead] = []
    for note in notes:
        with contextlib.suppress(PeerError):
            party, _ = party_of(note)
            if party == core.party:
                check_own(core, books, note)
            elif party not in core.rules(books).frozen:
                keys = card_of(accepted(books, party)).node
                head = open_head(note, party, keys, core.now_ms(), teller)
                _compare(core, books, head, told)
                told.append(head)


def arrived(core: Core, books: Books, before: Inbound, head: SeenHead) -> None:
    """Take the head of a page that was verified against the pages before it.

    It is proven to extend the newest head that we know only if that came with the page before.
    """
    seen = next((each for each in _known(books, head.party, head.log) if not each.source), None)
    extends = seen is None or (seen.size, seen.root) == (before.log_size, before.log_root)
    _compare(core, books, head if extends else msgspec.structs.replace(head, source=PAGE))


def _compare(core: Core, books: Books, head: SeenHead, told: Sequence[SeenHead] = ()) -> None:
    """Hold a head against all that are known of its log; if nothing decides at once, it waits for its owner's proof."""
    known = _known(books, head.party, head.log)
    for other in (*known, *told):
        if conflict(other, head):
            _forked(core, books, other, head, b"")
    if any(not other.source and (other.size, other.root) == (head.size, head.root) for other in known):
        return
    books.keep_head(head)


def _known(books: Books, party: str, log: int) -> list[SeenHead]:
    found = (*books.seen_heads(), *books.told_heads())
    return sorted((each for each in found if (each.party, each.log) == (party, log)), key=lambda each: each.size)


# --- connecting ---


def _to_connect(core: Core, books: Books, party: str) -> list[tuple[SeenHead, SeenHead]]:
    """The steps between all heads of a party's newest log, the smallest first, if one of them is not proven yet."""
    logs = [each.log for each in (*books.seen_heads(), *books.told_heads()) if each.party == party]
    known = _known(books, party, max(logs, default=1))
    if party in core.rules(books).frozen or all(not each.source for each in known):
        return []
    distinct = {(each.size, each.root): each for each in reversed(known)}
    ordered = sorted(distinct.values(), key=lambda each: each.size)
    return list(pairwise(ordered)) or [(ordered[0], ordered[0])]


def _connect(core: Core, books: Books, old: SeenHead, new: SeenHead, answer: bytes) -> bool:
    """Judge an owner's proof from one head to the next; returns whether they are of one log."""
    if (old.size, old.root) == (new.size, new.root):
        return True
    with contextlib.suppress(ProofError):
        if connects(old, new, answer):
            return True
        _forked(core, books, old, new, answer)
        return False
    if old.source == old.party:
        _unproven(core, books, ROLLBACK, old, new, f"shows a log of {old.size}, and has signed one of {new.size}")
    else:
        _unproven(core, books, UNPROVEN, old, new, f"does not prove that its log grew from {old.size} to {new.size}")
    return False


def _forked(core: Core, books: Books, a: SeenHead, b: SeenHead, growth: bytes) -> None:
    """Keep the proof of a fork: once for each log, since every further head would only repeat it."""
    first, second = sorted((a, b), key=lambda each: each.size)
    subject = incidents.log_subject(a.log)
    if incidents.is_open(books, FORK, a.party, subject):
        return
    text = f"{a.party} signed two logs: they differ at or before entry {first.size}."
    evidence = [("first", first.note), ("second", second.note), ("card", accepted(books, a.party).card)]
    if growth:
        evidence.append(("growth", growth))
    incidents.note(core, books, FORK, a.party, subject, text, tuple(evidence))


def _unproven(core: Core, books: Books, kind: str, old: SeenHead, new: SeenHead, what: str) -> None:
    subject = incidents.log_subject(new.log)
    if not incidents.is_open(books, kind, new.party, subject):
        evidence = (("first", old.note), ("second", new.note))
        incidents.note(core, books, kind, new.party, subject, f"{new.party} {what}.", evidence)


def _settle(core: Core, books: Books, pairs: list[tuple[SeenHead, SeenHead]]) -> None:
    """These heads are of one log: the newest stands for all of them, and a suspicion is over."""
    if not pairs:
        return
    newest = pairs[-1][1]
    party, log = newest.party, newest.log
    proven = {(each.size, each.root) for pair in pairs for each in pair}
    books.keep_head(msgspec.structs.replace(newest, seen_ms=core.now_ms(), source=""))
    for waiting in _known(books, party, log):
        if waiting.source and (waiting.size, waiting.root) in proven:
            books.forget_heads(party, log, waiting.source)
    for kind in (UNPROVEN, ROLLBACK):
        found = books.incident(kind, party, incidents.log_subject(log))
        if found and found.open:
            books.close_incident(found.id, f"{format_utc(core.now_ms())} {party} has proven its log.")
            books.rules_changed()


# --- our own log ---


def check_own(core: Core, books: Books, note: bytes) -> None:
    """Hold a head under our own signature against our log. If our log does not have it, our store was put back."""
    try:
        head = open_head(note, core.party, core.signer.public, core.now_ms())
    except PeerError:
        return
    if halted(books):  # the operator knows, and the partners are being compared with
        return
    ours, log = books.head(), log_number(books)
    if head.log < log or (head.log == log and _had(books, head.size, head.root)):
        return
    evidence = (("signed", note), ("ours", ours.note))
    if head.log > log or head.size > ours.size:
        text = f"We have signed log {head.log} at size {head.size}, and ours is log {log} at size {ours.size}."
        incidents.halt(core, books, ROLLBACK, incidents.log_subject(log), text, evidence)
    else:
        text = f"We have signed another log of {head.size} entries than the one that we have."
        incidents.halt(core, books, FORK, incidents.log_subject(log), text, evidence)


def _had(books: Books, size: int, root: bytes) -> bool:
    return size <= books.head().size and root_nodes(books.log_nodes(), size) == root


def witnessed(books: Books, receipt: Receipt) -> bool:
    """Whether the head that a recipient says it has verified was our log's. Of a log that we lost we cannot tell."""
    log = log_number(books)
    if receipt.log == log:
        return _had(books, receipt.log_size, bytes.fromhex(receipt.log_root))
    return receipt.log < log


def witnesses(core: Core, books: Books) -> list[Witness]:
    """By whom our log is witnessed, and up to where: the newest receipts, each verified once more."""
    found = []
    for stream in books.all_streams():
        with contextlib.suppress(PeerError):
            keys = core.partner(books, stream.recipient).node
            receipt = open_receipt(stream.receipt or b"", keys, by=stream.recipient, to=core.party)
            if receipt.log == log_number(books) and witnessed(books, receipt):
                found.append(Witness(stream.recipient, receipt.log_size, receipt.time_ms))
    return found
