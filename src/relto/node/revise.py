"""Revising what this party has published: withdraw it, correct it, narrow it. Each is the item's next version.

The next version is found and stored in one transaction, so that no two ever have one number. It goes ahead of every
backlog, and who may not have it any more gets the withdrawal of what it had. docs/spec/exchange.md, section 6.
"""

from __future__ import annotations

import msgspec

from relto.errors import OurError
from relto.exchange import withdraw as withdrawing
from relto.exchange.books import PRIORITY, URGENCIES, Filed, Stored
from relto.exchange.filing import file
from relto.exchange.withdraw import next_version
from relto.feeds import files
from relto.formats.draft import Draft
from relto.item import Header, Item, new_item
from relto.labels import Handling, Label, Portion, join_handling
from relto.node.ingest import Defaults, label_of
from relto.node.node import Node
from relto.node.read import header_of
from relto.store.books import SqlBooks


class Revised(msgspec.Struct, frozen=True):
    """The item and its version from now on."""

    item: str
    version: int


def withdraw(node: Node, reference: str, reason: str) -> Revised:
    """Withdraw an item of our own, everywhere, for good.

    Raises:
        OurError: we hold no such item of our own, or it is withdrawn already.
        MalformedError: the reason is no text that may be sent.
    """
    with node.store.read() as books:
        item = spoken_of(books, reference)
    return Revised(item, node.run(withdrawing.withdraw(node.core, item, reason)))


def correct(node: Node, reference: str, content: bytes, name: str, defaults: Defaults) -> Revised:
    """Replace an item of our own by what a file says now; the file holds exactly one record of the same kind.

    The label is joined with that of the version before: a correction is never marked lower than what it corrects.

    Raises:
        OurError: we hold no such item that stands, the file holds none or several records, one of another kind, or
            one that says nothing new.
    """
    draft = _only(files.read(content, name, received_ms=node.now_ms()).drafts, name)

    def job(books: SqlBooks) -> Revised:
        old, before = _standing(books, reference)
        if draft.kind != before.kind:
            raise OurError(f"is a {draft.kind}, not a {before.kind}.", field=name, remedy="Give the right file.")
        label = _joined(before.label, label_of(node.party, draft, defaults))
        subjects = (*before.subjects, *draft.subjects, *defaults.subjects)
        item = new_item(
            id=before.id,
            version=next_version(node.core, books, before.id),
            kind=draft.kind,
            origin=node.party,
            observed_ms=draft.observed_ms,
            until_ms=draft.until_ms,
            place=draft.place,
            subjects=subjects,
            label=label,
            content=draft.content,
            media_type=draft.media_type,
        )
        return _store(node, books, old, item, draft.title or draft.external_id)

    return node.store.write(job)


def narrow(node: Node, reference: str, added: Handling, *, portions: tuple[Portion, ...] = ()) -> Revised:
    """Mark an item of our own more strictly; its content stays. ``added`` is joined with its label, never lowers it.

    Raises:
        OurError: we hold no such item that stands, or it is marked so already.
    """

    def job(books: SqlBooks) -> Revised:
        old, before = _standing(books, reference)
        label = _joined(before.label, Label(added, (node.party,), portions))
        version = next_version(node.core, books, before.id)
        kept = {field: getattr(before, field) for field in Header.__struct_fields__ if field not in _MADE}
        item = new_item(content=old.content, **kept | {"version": version, "label": label})
        return _store(node, books, old, item, old.title)

    return node.store.write(job)


_MADE = ("v", "size", "sha256")


def spoken_of(books: SqlBooks, reference: str) -> str:
    """The only id that begins like this of all that was ever held or released, also if it is withdrawn or purged.

    Raises:
        OurError: none, or several.
    """
    text = reference.strip().lower()
    if not text or len(text) > 32 or any(digit not in "0123456789abcdef" for digit in text):
        raise OurError(f"{reference[:40]!r} is no item id.", field="item", remedy="Copy it from: relto ls.")
    ids = books.ids_spoken_of(text)
    if len(ids) != 1:
        found = "none" if not ids else f"{len(ids)}: {', '.join(each[:12] for each in ids)}"
        raise OurError(f"{found} known.", field=text, remedy="Give more of the id; see: relto ls.")
    return ids[0]


def _standing(books: SqlBooks, reference: str) -> tuple[Stored, Header]:
    """The version of an item of our own that stands now."""
    item = spoken_of(books, reference)
    own = [each for each in books.versions(item) if not each.by]
    stands = [each for each in own if each.standing == "current" and each.view != "nothing"]
    if not own:
        raise OurError("no item of ours has this id.", field=item, remedy="Only its originator can; see: relto ls.")
    if not stands:
        raise OurError("is withdrawn.", field=item, remedy="Publish it as a new item: relto ingest.")
    return stands[-1], header_of(stands[-1])


def _only(drafts: tuple[Draft, ...], name: str) -> Draft:
    if len(drafts) != 1:
        raise OurError(f"holds {len(drafts)} records, not one.", field=name, remedy="Give a file with the one record.")
    return drafts[0]


def _joined(old: Label, new: Label) -> Label:
    portions = {portion.selector: portion.handling for portion in old.portions}
    for portion in new.portions:
        portions[portion.selector] = join_handling(portions.get(portion.selector, Handling()), portion.handling)
    blocks = {block for block in (*old.foreign.split("\n\n"), *new.foreign.split("\n\n")) if block}
    return Label(
        handling=join_handling(old.handling, new.handling),
        originators=tuple(sorted({*old.originators, *new.originators})),
        portions=tuple(Portion(selector, portions[selector]) for selector in sorted(portions)),
        foreign="\n\n".join(sorted(blocks)),
    )


def _store(node: Node, books: SqlBooks, old: Stored, item: Item, title: str) -> Revised:
    before = header_of(old)
    if (item.content, item.header) == (old.content, msgspec.structs.replace(before, version=item.header.version)):
        raise OurError(f"says nothing that version {before.version} does not.", field=before.id, remedy="Check it.")
    urgency = max(PRIORITY, URGENCIES[node.kinds[item.header.kind].urgency])
    file(books, [Filed(item, title, received_ms=node.now_ms(), urgency=urgency)])
    return Revised(item.header.id, item.header.version)
