"""Bugs to be planted in the exchange, one at a time: the proof that the checker can fail.

Each is a context manager that replaces a function of ``relto.exchange`` as a careless change would.
"""

# ruff: noqa: ARG005
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import msgspec

from relto.agreements.lifecycle import Standing
from relto.envelope import dsse
from relto.errors import PeerError, ReltoError
from relto.exchange import answer, core, documents, filing, page, receive, share, withdraw
from relto.exchange.books import Inbound
from relto.exchange.messages import Batch
from relto.exchange.steps import Ask, Read, Receipts, Write
from relto.exercise.simulator.plans import CAST
from relto.exercise.simulator.primitives import replaced
from relto.item import Onward
from relto.release.classes import Upstream

Plant = Callable[[], AbstractContextManager[Any]]


class _Careless:
    """Books of which one function does not do what it should."""

    def __init__(self, books: Any) -> None:
        self._books = books

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)


def _onward_rule_ignored() -> AbstractContextManager[None]:
    everybody = Onward("list", CAST)

    def upstream_of(header: Any) -> tuple[Upstream, ...]:
        return () if header.release is None else (Upstream(header.release.by, everybody),)

    return replaced(share, "upstream_of", upstream_of)


def _receipt_before_store() -> AbstractContextManager[None]:
    def accept(self: Any, peer: str, content: bytes) -> Any:
        arrived = yield Read(lambda books: receive._verified(self, books, peer, content))
        chains = yield Read(lambda books: receive.provenance.chains(books, arrived))
        before = yield Read(lambda books: books.inbound(peer))
        position = arrived.position
        after = msgspec.structs.replace(
            before,
            next_n=position.next_n,
            chain=position.chain,
            log_size=position.checkpoint.size,
            log_root=position.checkpoint.root,
        )
        yield Ask(peer, Receipts(receive.receipt(self, after)))
        stored = yield Write(lambda books: receive._store(self, books, peer, arrived, chains))
        return stored

    return replaced(receive, "accept", accept)


def _place_moved_without_items() -> AbstractContextManager[None]:
    def store(self: Any, books: Any, peer: str, arrived: Any, chains: Any) -> tuple[int, Inbound]:
        return arrived.batch.count, receive._move(self, books, books.inbound(peer), arrived)

    return replaced(receive, "_store", store)


def _items_stored_without_place() -> AbstractContextManager[None]:
    def move(self: Any, books: Any, before: Inbound, arrived: Any) -> Inbound:
        return before

    return replaced(receive, "_move", move)


def _pages_not_deduplicated() -> AbstractContextManager[Any]:
    def check_log(manifest: Any, batch: Batch, entries: Any, keys: Any, position: Any) -> Any:
        return page.open_checkpoint(manifest.checkpoint, keys, batch.by)

    true = receive._store

    def store(self: Any, books: Any, peer: str, arrived: Any, chains: Any) -> Any:
        before = books.inbound(peer)
        place = {"next_n": arrived.batch.first_n, "chain": arrived.batch.previous}
        books.move_inbound(msgspec.structs.replace(before, **place))
        return true(self, books, peer, arrived, chains)

    return _all(
        replaced(page, "_check_place", lambda batch, position, now_ms: None),
        replaced(page, "_check_log", check_log),
        replaced(receive, "_store", store),
    )


def _withdrawal_not_retried() -> AbstractContextManager[None]:
    """What is urgent is looked at once: while pages wait for their receipts, it is forgotten."""
    true = share._urgent

    def urgent(self: Any, books: Any, found: Any, newest: int, least: int) -> None:
        if books.unreceipted(found.stream.recipient).pages:
            found.urgent_seq = newest
        else:
            true(self, books, found, newest, least)

    return replaced(share, "_urgent", urgent)


def _withdrawal_not_passed_on() -> AbstractContextManager[None]:
    true = share._consider

    def consider(self: Any, books: Any, found: Any, stored: Any, header: Any, held: Any) -> None:
        if not (share.is_withdrawal(header) and stored.by):
            true(self, books, found, stored, header, held)

    return replaced(share, "_consider", consider)


def _withdrawal_told_to_everybody() -> AbstractContextManager[None]:
    return replaced(share, "_said", lambda found, header, held: (held.version if held else 0, True))


def _withdrawn_original_stands() -> AbstractContextManager[None]:
    true = withdraw._withdraw

    class Careless(_Careless):
        def erase(self, *_: Any, **__: Any) -> int:
            return 0

    return replaced(withdraw, "_withdraw", lambda self, books, *told: true(self, Careless(books), *told))


def _floors_not_checked_on_late_arrival() -> AbstractContextManager[None]:
    true = filing._standing
    return replaced(filing, "_standing", lambda filed, known: true(filed, {} if filed.by else known))


def _newer_version_does_not_supersede() -> AbstractContextManager[None]:
    return replaced(filing, "_supersede", lambda books, newer: None)


def _narrowing_not_told() -> AbstractContextManager[None]:
    true = share._choose

    def choose(found: Any, choice: Any, counted: Any = None) -> None:
        if counted is None or counted[1] != "NARROWED":
            true(found, choice, counted)

    return replaced(share, "_choose", choose)


def _delay_ignored() -> AbstractContextManager[None]:
    true = share.rendition_of
    return replaced(share, "rendition_of", lambda *told: msgspec.structs.replace(true(*told), not_before_ms=0))


def _precision_ignored() -> AbstractContextManager[None]:
    true = share.render

    def render(item: Any, told: Any, kind: Any) -> Any:
        duties = msgspec.structs.replace(told.decision.duties, precision_m=0)
        return true(
            item, msgspec.structs.replace(told, decision=msgspec.structs.replace(told.decision, duties=duties)), kind
        )

    return replaced(share, "render", render)


def _retention_ignored() -> AbstractContextManager[None]:
    true = share._consider

    def consider(self: Any, books: Any, found: Any, stored: Any, header: Any, held: Any) -> None:
        true(self, books, found, msgspec.structs.replace(stored, expires_ms=None), header, held)

    return replaced(share, "_consider", consider)


def _log_leaf_omitted() -> AbstractContextManager[None]:
    true = share.append_signed

    def append_signed(self: Any, books: Any, leaves: Any, seen_size: int) -> Any:
        return true(self, books, leaves[:-1] if len(leaves) > 1 else leaves, seen_size)

    return replaced(share, "append_signed", append_signed)


def _term_ignored() -> AbstractContextManager[None]:
    def in_force(standings: Any, now_ms: int) -> tuple[Standing, ...]:
        return tuple(each for each in standings if {entry.id for entry in each.terms.parties} <= each.signed_by)

    return replaced(core, "in_force", in_force)


def _missing_signatures_ignored() -> AbstractContextManager[None]:
    true = core._standing

    def standing(stored: Any, authorities: Any) -> Standing:
        found = true(stored, authorities)
        return msgspec.structs.replace(found, signed_by=frozenset(entry.id for entry in found.terms.parties))

    return replaced(core, "_standing", standing)


def _signatures_of_agreements_not_verified() -> AbstractContextManager[Any]:
    def open_signed(envelope: bytes, payload_type: str, parties: Any) -> dsse.Opened:
        found = dsse._parse(envelope)
        there = {each.keyid for each in found.signatures}
        return dsse.Opened(found.payload, frozenset(p for p, keys in parties.items() if there >= set(keys.key_ids())))

    return _all(replaced(core, "open_signed", open_signed), replaced(documents, "open_signed", open_signed))


def _quarantine_ignored() -> AbstractContextManager[None]:
    true = core._epoch

    def epoch(holder: str, standings: Any, quarantined: Any, frozen: Any, now_ms: int) -> Any:
        return true(holder, standings, frozenset(), frozen, now_ms)

    return replaced(core, "_epoch", epoch)


def _recalled_list_ignored() -> AbstractContextManager[None]:
    return replaced(documents, "recall", lambda books, peer, withdrawn, more=False: None)


def _equivocation_not_noticed() -> AbstractContextManager[None]:
    return replaced(filing, "_equivocal", lambda books, filed, known: ())


def _standing_not_asked_again() -> AbstractContextManager[None]:
    """The race: withdrawn between the decision and the release."""
    true = share._store

    class Careless(_Careless):
        def standing(self, seqs: Any) -> frozenset[int]:
            return frozenset(seqs)

    return replaced(share, "_store", lambda self, books, found: true(self, Careless(books), found))


def _no_stream_is_opened_later() -> AbstractContextManager[None]:
    true = share.open_streams

    def open_streams(self: Any, books: Any) -> list[str]:
        return share.behind(self, books) if books.all_streams() else true(self, books)

    return replaced(share, "open_streams", open_streams)


def _recipient_not_checked() -> AbstractContextManager[Any]:
    def opened(outer: Any, parts: Any, us: str, peer: str, keys: Any) -> Any:
        manifest = page._decode(page.unpack(parts[0], page.BOUNDS.statement_bytes), page._Manifest, 10**6)
        return manifest, page.open_batch(manifest.statement, keys)

    return _all(
        replaced(page, "_opened", opened),
        replaced(page, "_check_release", lambda item, record, n, batch: None),
        replaced(page, "_check_place", lambda batch, position, now_ms: None),
        replaced(
            page, "_check_log", lambda manifest, batch, *_: page.open_checkpoint(manifest.checkpoint, _[1], batch.by)
        ),
        _pages_not_deduplicated(),
    )


def _receipt_not_repeated() -> AbstractContextManager[None]:
    def acknowledge(self: Any, inbound: Inbound) -> Any:
        up_to_n = inbound.next_n - 1
        with suppress(ReltoError):
            yield Ask(inbound.peer, Receipts(receive.receipt(self, inbound)))
        yield Write(
            lambda books: books.move_inbound(msgspec.structs.replace(books.inbound(inbound.peer), receipted_n=up_to_n))
        )

    return replaced(receive, "acknowledge", acknowledge)


def _two_renditions_in_one_page() -> AbstractContextManager[None]:
    def said(found: Any, header: Any, held: Any) -> tuple[int, bool]:
        return (held.version, held.view != "nothing") if held is not None else (0, False)

    return replaced(share, "_said", said)


def _clock_put_back_not_noticed() -> AbstractContextManager[None]:
    true = core.Core.rules

    def rules(self: Any, books: Any) -> Any:
        if self._rules is not None:
            object.__setattr__(self._rules, "since_ms", 0)
        return true(self, books)

    return replaced(core.Core, "rules", rules)


def _junk_falls_over() -> AbstractContextManager[None]:
    true = answer._take_receipt

    def take_receipt(self: Any, books: Any, peer: str, envelope: bytes) -> None:
        try:
            true(self, books, peer, envelope)
        except PeerError:
            raise KeyError(peer) from None

    return replaced(answer, "_take_receipt", take_receipt)


@contextmanager
def _all(*plants: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in plants:
            stack.enter_context(each)
        yield


PLANTED: dict[str, Plant] = {
    name.removeprefix("_"): function
    for name, function in list(globals().items())
    if name.startswith("_") and callable(function) and name not in ("_all", "_Careless") and not name.startswith("__")
}
