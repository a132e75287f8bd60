"""Links: how much a stream puts before its recipient at once, by what lies between the two.

A wide link has large pages and several of them on the way. A thin one (a modem, a satellite telephone: 9.6 kbit/s) has
small packed pages, and makes the next when the last is receipted, so that what is urgent waits behind no more than one
of them. A routine item that is larger than such a page waits for a wide link or for a stick, which has no window.
"""

from __future__ import annotations

import msgspec

from relto.bounds import BOUNDS
from relto.clock import LATEST_MS
from relto.errors import OurError
from relto.exchange.books import Books
from relto.exchange.packed import pack

HELD_BACK_MS = LATEST_MS  # the hour of what is too large for a thin link: none, until the link is another
THIN_RATE_BYTES_PER_S = 1200

_OVERHEAD_BYTES = 200  # what a release's record and salt add to a packed page


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of a stream's pages. ``item_bytes``: the largest routine item, None if any may go.

    A page ends with the first release that takes it over ``page_bytes``; on a packed link bytes are counted as packed.
    """

    packed: bool = False
    page_bytes: int = BOUNDS.batch_bytes
    item_bytes: int | None = None
    window_pages: int = BOUNDS.window_pages
    window_bytes: int = BOUNDS.window_bytes

    def cost_bytes(self, header: bytes, content: bytes) -> int:
        """What a release adds to a page."""
        return len(pack(header + content)) + _OVERHEAD_BYTES if self.packed else len(content)

    def carries(self, cost_bytes: int) -> bool:
        """Whether a routine release of this size goes over the link."""
        return self.item_bytes is None or cost_bytes <= self.item_bytes


WIDE = Link()
STICK = Link(window_pages=BOUNDS.bundle_frames, window_bytes=BOUNDS.bundle_bytes * BOUNDS.bundle_volumes)


def thin(largest_bytes: int = BOUNDS.thin_item_bytes) -> Link:
    """A thin link over which routine items of at most so many bytes go, counted as packed.

    Raises:
        OurError: out of range.
    """
    if not BOUNDS.thin_item_bytes <= largest_bytes <= BOUNDS.batch_bytes:
        raise OurError(
            f"{largest_bytes} bytes, at least {BOUNDS.thin_item_bytes}.", field="largest", remedy="Give another size."
        )
    return Link(True, BOUNDS.thin_page_bytes, largest_bytes, window_pages=1)


def link_of(books: Books, party: str) -> Link:
    """The link to a partner; wide unless somebody has said otherwise."""
    stored = books.secret(_name(party))
    return msgspec.json.decode(stored, type=Link) if stored else WIDE


def set_link(books: Books, party: str, link: Link, now_ms: int) -> int:
    """Say what the link to a partner is; returns how many items that were too large for it are looked at again."""
    books.put_setting(_name(party), msgspec.json.encode(link))
    return books.hasten(party, HELD_BACK_MS, now_ms)


def held_back(books: Books, party: str) -> int:
    """How many items are too large for the link to a partner and wait."""
    return books.due_count(party, HELD_BACK_MS)


def worst_wait_s(link: Link, rate_bytes_per_s: int = THIN_RATE_BYTES_PER_S) -> float:
    """How long an urgent item waits at the most on a link of this rate, until all of it is there.

    One page before it has just begun; then come its receipt and the page of the item itself. docs/offline.md tells of
    what each weighs. While agreements change they go between, and more urgent items go before.
    """
    before_bytes = BOUNDS.thin_frame_bytes + link.page_bytes + (link.item_bytes or link.page_bytes)
    own_bytes = BOUNDS.thin_frame_bytes + BOUNDS.thin_page_bytes
    return (before_bytes + BOUNDS.thin_receipt_bytes + own_bytes) / rate_bytes_per_s


def _name(party: str) -> str:
    return f"link {party}"
