"""Filing: what becomes of an item that is stored, by the versions of it that are known. Order of arrival is nothing.

Versions of an item are in one order, and a withdrawal is the next version, which holds nothing. So a newer version
hides the older ones, a withdrawal erases them, and none of them comes back: late, repeated, restored or from our own
queue, it lies below a floor. A party raises floors for what came from it alone, unless it is the item's originator,
whose word holds for every copy; so no party can make another's items disappear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from relto.exchange.books import Books, Filed, Floor, Standing

Floors = Mapping[tuple[str, str], Floor]


class Filing(msgspec.Struct, frozen=True):
    """How many items were new, and the versions of which the same party has released two: (id, version, headers)."""

    new: int
    equivocal: tuple[tuple[str, int, tuple[bytes, ...]], ...] = ()


def file(books: Books, filed: Sequence[Filed]) -> Filing:
    """Store contents as their floors allow; what a party has withdrawn is not stored again."""
    known = books.floors({each.item.header.id for each in filed})
    kept = [msgspec.structs.replace(each, standing=found) for each in filed if (found := _standing(each, known))]
    new = books.insert_items(kept)
    books.raise_floors(_raised(kept))
    for each in kept:
        if each.item.header.version > 1:
            _supersede(books, each)
    return Filing(new, _equivocal(books, kept, known))


def bury(books: Books, id: str, version: int, *, by: str, party: str, whole: bool) -> int:
    """Withdraw what ``by`` released to us of an item below a version, by the word of ``party``; returns how many.

    ``by`` is empty for our own. ``whole``: the party is the item's originator, and every copy of it goes.
    """
    books.raise_floors([Floor(party, id, version, dead=True)])
    erased = books.erase(id, version, by=by)
    return erased + (books.erase(id, version, origin=party) if whole else 0)


def floor_party(filed: Filed) -> str:
    """Whose word an item is: of the party that released it to us, or its own originator's."""
    return filed.by or filed.item.header.origin


def _standing(filed: Filed, known: Floors) -> Standing | None:
    """How an item stands when it comes; None if it is withdrawn already."""
    header = filed.item.header
    floors = [known.get((party, header.id)) for party in {floor_party(filed), header.origin}]
    if any(each and each.dead and header.version <= each.version for each in floors):
        return None
    newer = any(each and header.version < each.version for each in floors)
    return "superseded" if newer else filed.standing


def _raised(filed: Sequence[Filed]) -> list[Floor]:
    highest: dict[tuple[str, str], int] = {}
    for each in filed:
        key = floor_party(each), each.item.header.id
        highest[key] = max(highest.get(key, 0), each.item.header.version)
    return [Floor(party, id, version) for (party, id), version in highest.items()]


def _supersede(books: Books, newer: Filed) -> None:
    header = newer.item.header
    books.supersede(header.id, header.version, by=newer.by)
    if floor_party(newer) == header.origin:
        books.supersede(header.id, header.version, origin=header.origin)


def _equivocal(books: Books, filed: Sequence[Filed], known: Floors) -> tuple[tuple[str, int, tuple[bytes, ...]], ...]:
    """Looked for only where the party has spoken of this item before."""
    found: list[tuple[str, int, tuple[bytes, ...]]] = []
    for by in sorted({each.by for each in filed if each.by}):
        again = sorted({each.item.header.id for each in filed if each.by == by and (by, each.item.header.id) in known})
        if again:
            found += books.equivocal(by, again)
    return tuple(found)
