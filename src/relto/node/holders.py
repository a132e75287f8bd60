"""Who still holds what of an item: by the releases and the receipts, also when the item is withdrawn or long purged."""

from __future__ import annotations

from typing import Literal

import msgspec

from relto.exchange.books import Released, Stored
from relto.node.node import Node
from relto.node.read import header_of
from relto.node.revise import spoken_of
from relto.store.books import SqlBooks

State = Literal["sent", "holds", "over", "not told", "withdrawing", "withdrawn"]


class Step(msgspec.Struct, frozen=True):
    """One release of the item to a party, and when its receipt came; None if it has not."""

    version: int
    view: str
    n: int
    sent_ms: int
    receipted_ms: int | None


class Holder(msgspec.Struct, frozen=True):
    """What one party has. ``holds`` is the newest that it receipted, ``newest`` what was sent last.

    ``sent``: on its way, nothing receipted yet. ``holds``: receipted. ``over``: its retention has ended there.
    ``not told``: the item is withdrawn here and the withdrawal is not sent yet. ``withdrawing``: sent, not receipted.
    ``withdrawn``: receipted. ``waiting_ms`` is the age of the oldest thing that the party has not receipted.
    """

    party: str
    state: State
    holds: Step | None
    newest: Step
    waiting_ms: int | None


class Held(msgspec.Struct, frozen=True):
    """An item as it stands here, None if nothing of it is stored any more, and everybody who ever got it."""

    item: str
    version: int | None
    standing: str
    holders: tuple[Holder, ...]


def holders(node: Node, reference: str) -> Held:
    """Who still holds what of an item; the reference may be that of one that is withdrawn or purged.

    Raises:
        OurError: nothing was ever held or released under it, or it is not the only one.
    """
    now_ms = node.now_ms()
    with node.store.read() as books:
        item = spoken_of(books, reference)
        stored = books.versions(item)
        void = max((each for each in stored if each.view == "nothing"), key=_version, default=None)
        steps: dict[str, list[tuple[Released, Step]]] = {}
        for release in books.releases_of(item):
            steps.setdefault(release.recipient, []).append((release, _step(books, release)))
    newest = max((each for each in stored if each.header), key=_version, default=None)
    if void is not None and newest is not None and _version(newest) > _version(void):
        void = None  # a releaser took it back from us once, and gave us a later version
    return Held(
        item=item,
        version=_version(newest) if newest else None,
        standing="withdrawn" if void else newest.standing if newest else "purged",
        holders=tuple(_holder(party, found, void, now_ms) for party, found in sorted(steps.items())),
    )


def _version(stored: Stored) -> int:
    return header_of(stored).version


def _step(books: SqlBooks, release: Released) -> Step:
    receipted_ms = books.receipted_at(release.recipient, release.n)
    return Step(release.version, release.view, release.n, release.released_ms, receipted_ms)


def _holder(party: str, found: list[tuple[Released, Step]], void: Stored | None, now_ms: int) -> Holder:
    last, newest = found[-1]
    told = [step for _, step in found if step.receipted_ms is not None]
    holds = told[-1] if told and told[-1].view != "nothing" else None
    open_ms = [step.sent_ms for _, step in found if step.receipted_ms is None]
    state = _state(last, newest, holds, void, now_ms)
    if state == "not told" and void is not None:
        open_ms.append(void.received_ms)
    return Holder(party, state, holds, newest, max(0, now_ms - min(open_ms)) if open_ms else None)


def _state(last: Released, newest: Step, holds: Step | None, void: Stored | None, now_ms: int) -> State:
    if newest.view == "nothing":
        return "withdrawing" if newest.receipted_ms is None else "withdrawn"
    if last.expires_ms is not None and last.expires_ms <= now_ms:
        return "over"
    if void is not None and newest.version < _version(void):
        return "not told"
    return "sent" if holds is None else "holds"
