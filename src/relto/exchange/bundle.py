"""Bundles: what the wire carries, the very same bytes, in one file for a memory stick or a poor link.

A form of our own and no archive: it holds no names, paths, links, times or compression, so nothing in it can be
written elsewhere or swell. It is the line ``relto-bundle/1``, then frames::

    kind (1 byte)  length (8 bytes, big endian)  content  chain (32 bytes)

The chain begins as SHA-256 of that line; after each frame it is SHA-256(chain, kind, length, SHA-256(content)). The
first frame is the header, the last the end, which counts what was before it; nothing follows it. So a file that was
cut, flipped or reordered is refused at the first bad frame, and all frames before that one are as they were written.

INVARIANT: the chain finds damage and proves nothing. Anybody can write a bundle, so header and end are only claims;
each card, agreement, head note, page and receipt is verified by its own signatures, as if it had come over the wire.
Specification: docs/spec/exchange.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Literal

import msgspec

from relto.bounds import BOUNDS
from relto.clock import EARLIEST_MS, LATEST_MS
from relto.envelope.card import check_party
from relto.errors import MalformedError, OurError, PeerError, TooLargeError, invariant
from relto.strict import canonical, parse_canonical

MAGIC = b"relto-bundle/1\n"
PREFIX_BYTES = 9
CHAIN_BYTES = 32
SNIFF_BYTES = 512

_FIRST_CHAIN = hashlib.sha256(MAGIC).hexdigest()
_CHAIN = re.compile(rf"[0-9a-f]{{{2 * CHAIN_BYTES}}}", re.ASCII)
_LONGEST_END = PREFIX_BYTES + BOUNDS.bundle_header_bytes + CHAIN_BYTES
_SPEC = "See docs/spec/exchange.md."
_AGAIN = "Copy the file again; what was read before this frame is good."


class Kind(Enum):
    """What a frame holds; the value is its byte in the file."""

    HEADER = b"H"
    CARD = b"C"
    AGREEMENT = b"A"
    HEAD = b"N"
    PAGE = b"P"
    RECEIPT = b"R"
    END = b"E"


_KINDS: dict[bytes, Kind] = {kind.value: kind for kind in Kind}
LIMIT_BYTES: dict[Kind, int] = {
    Kind.HEADER: BOUNDS.bundle_header_bytes,
    Kind.CARD: BOUNDS.envelope_bytes,
    Kind.AGREEMENT: BOUNDS.envelope_bytes,
    Kind.HEAD: BOUNDS.note_bytes,
    Kind.PAGE: BOUNDS.page_bytes,
    Kind.RECEIPT: BOUNDS.envelope_bytes,
    Kind.END: BOUNDS.bundle_header_bytes,
}


class Frame(msgspec.Struct, frozen=True):
    """One thing that a bundle carries: the bytes of a card, an agreement, a head note, a page or a receipt."""

    kind: Kind
    content: bytes


class Volume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which file this is of the ``count`` over which the frames are spread, counted from 1."""

    number: int
    count: int


class BundleHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says of itself: by whom, for whom, when, and from which release of the stream on.

    ``from_n`` is the number of the first release in this file, or the next one if it holds no page.

    Raises:
        MalformedError: not the id of a party, the same party twice, or a number out of range.
    """

    v: Literal[1]
    by: str
    to: str
    created_ms: int
    from_n: int
    parts: Volume

    def __post_init__(self) -> None:
        if check_party(self.by) == check_party(self.to):
            raise MalformedError(f"is of {self.by} for itself.", field="to", remedy="Name the recipient.")
        if not EARLIEST_MS <= self.created_ms <= LATEST_MS:
            raise MalformedError(f"{self.created_ms} is out of range.", field="created_ms", remedy=_SPEC)
        if not 1 <= self.from_n <= BOUNDS.json_integer:
            raise MalformedError(f"{self.from_n} is no number of a release.", field="from_n", remedy=_SPEC)
        if not 1 <= self.parts.number <= self.parts.count <= BOUNDS.bundle_volumes:
            raise MalformedError(
                f"{self.parts.number} of {self.parts.count} is no volume.",
                field="parts",
                remedy=f"Write at most {BOUNDS.bundle_volumes} volumes.",
            )


class Totals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before the end of a bundle; ``frames`` and ``content_bytes`` count the header too."""

    frames: int = 0
    content_bytes: int = 0
    cards: int = 0
    agreements: int = 0
    heads: int = 0
    pages: int = 0
    receipts: int = 0

    def with_frame(self, kind: Kind, size_bytes: int) -> Totals:
        """These totals and one more frame."""
        return Totals(
            self.frames + 1,
            self.content_bytes + size_bytes,
            self.cards + (kind is Kind.CARD),
            self.agreements + (kind is Kind.AGREEMENT),
            self.heads + (kind is Kind.HEAD),
            self.pages + (kind is Kind.PAGE),
            self.receipts + (kind is Kind.RECEIPT),
        )


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a bundle was read: ``offset`` is the byte behind the last whole frame, ``chain`` its value in hex.

    A reader made at a place goes on from there if it is fed from ``offset``, and refuses the next frame if what lies
    before it is not what was read.

    Raises:
        MalformedError: not a place that a reader gave.
    """

    offset: int = 0
    chain: str = _FIRST_CHAIN
    header: BundleHeader | None = None
    totals: Totals = Totals()
    complete: bool = False

    def __post_init__(self) -> None:
        begun = self.header is not None
        if self.offset < 0 or begun != (self.offset > 0) or _CHAIN.fullmatch(self.chain) is None:
            raise MalformedError("is no place in a bundle.", field="place", remedy="Read the file from its beginning.")


def write_bundle(header: BundleHeader, frames: Iterable[Frame]) -> Iterator[bytes]:
    """The bytes of a bundle, piece by piece; the frames are asked for one at a time.

    Raises:
        OurError: a frame, their number or the whole is over its bound.
        InvariantError: a frame is a header or an end, or is empty.
    """
    yield MAGIC
    place = Place()
    for frame in _with_header(header, frames):
        _check_written(place, frame)
        chain = _link(place, frame)
        yield _prefix(frame)
        yield frame.content
        yield chain
        place = _behind(place, frame, chain, header)
    end = Frame(Kind.END, canonical(place.totals))
    yield _prefix(end) + end.content + _link(place, end)


def _with_header(header: BundleHeader, frames: Iterable[Frame]) -> Iterator[Frame]:
    yield Frame(Kind.HEADER, canonical(header))
    for frame in frames:
        invariant(frame.kind not in (Kind.HEADER, Kind.END), "a bundle has one header and one end")
        yield frame


def _check_written(place: Place, frame: Frame) -> None:
    size_bytes, name = len(frame.content), _name(place, frame.kind)
    invariant(size_bytes > 0, "no frame is empty")
    if size_bytes > LIMIT_BYTES[frame.kind]:
        raise OurError(f"{size_bytes} bytes, at most {LIMIT_BYTES[frame.kind]}.", field=name, remedy="Make it smaller.")
    if _end_offset(place, size_bytes) > BOUNDS.bundle_bytes - _LONGEST_END:
        raise OurError(f"ends over {BOUNDS.bundle_bytes} bytes.", field=name, remedy="Write several volumes.")
    if place.totals.frames >= BOUNDS.bundle_frames:
        raise OurError(f"over {BOUNDS.bundle_frames} frames.", field=name, remedy="Write several volumes.")


def _name(place: Place, kind: Kind) -> str:
    return f"frame {place.totals.frames + 1} ({kind.name.lower()})"


def _prefix(frame: Frame) -> bytes:
    return frame.kind.value + len(frame.content).to_bytes(PREFIX_BYTES - 1, "big")


def _end_offset(place: Place, size_bytes: int) -> int:
    return (place.offset or len(MAGIC)) + PREFIX_BYTES + size_bytes + CHAIN_BYTES


def _link(place: Place, frame: Frame) -> bytes:
    """The chain value behind a frame."""
    content_hash = hashlib.sha256(frame.content).digest()
    return hashlib.sha256(bytes.fromhex(place.chain) + _prefix(frame) + content_hash).digest()


def _behind(place: Place, frame: Frame, chain: bytes, header: BundleHeader | None) -> Place:
    """The place behind a frame."""
    size_bytes, is_end = len(frame.content), frame.kind is Kind.END
    totals = place.totals if is_end else place.totals.with_frame(frame.kind, size_bytes)
    return Place(_end_offset(place, size_bytes), chain.hex(), header, totals, is_end)


class _Part(Enum):
    MAGIC = 0
    FOREIGN = 1
    PREFIX = 2
    BODY = 3


class BundleReader:
    """Takes a bundle in pieces of any size and gives its frames, each once its chain value is right.

    Holds at most one frame (``BOUNDS.page_bytes``) and a copy of it; a length is checked before a byte of the content
    is taken. However the bytes are cut into pieces, the frames and the refusal are the same. A refusal is for good:
    every later call repeats it. ``place`` can be stored; a reader made with it is fed from ``place.offset`` on.
    """

    def __init__(self, place: Place | None = None) -> None:
        self._place = place or Place()
        self._part = _Part.PREFIX if self._place.offset else _Part.MAGIC
        self._needed = PREFIX_BYTES if self._place.offset else len(MAGIC)
        self._kind = Kind.HEADER
        self._held = bytearray()
        self._refusal: PeerError | None = None

    @property
    def place(self) -> Place:
        """How far the frames go that were given."""
        return self._place

    @property
    def offset(self) -> int:
        """The byte behind the last whole frame."""
        return self._place.offset

    @property
    def header(self) -> BundleHeader | None:
        """What the bundle says of itself; there before the first frame is given."""
        return self._place.header

    @property
    def complete(self) -> bool:
        """Whether the end was read, and counts what was read."""
        return self._place.complete

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that this piece completes, in order, without header and end.

        If good frames stand before a bad one in the piece, they are given and the refusal comes with the next call.

        Raises:
            MalformedError: no bundle, a chain value that does not fit, or a frame that may not stand there.
            TooLargeError: a length, the number of frames or the whole is over its bound.
        """
        self._repeat_refusal()
        found: list[Frame] = []
        try:
            for frame in self._frames(memoryview(piece)):
                found.append(frame)  # noqa: PERF402 - a refusal must not lose those before it
        except PeerError as refusal:
            self._refusal = refusal
            self._held.clear()
            if not found:
                raise
        return found

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            MalformedError: it was refused, is no bundle, or breaks off before its end.
            TooLargeError: it was refused as too large.
        """
        self._repeat_refusal()
        if self._part in (_Part.MAGIC, _Part.FOREIGN):
            raise _not_a_bundle(bytes(self._held))
        if not self.complete:
            whole = self._place.totals.frames
            raise MalformedError(
                f"breaks off in frame {whole + 1}; the whole frames before it end at byte {self.offset}.",
                field="bundle",
                remedy="Copy the file again and read on; what was read is good.",
            )

    def _repeat_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _frames(self, view: memoryview) -> Iterator[Frame]:
        while len(view) > 0:
            if self.complete:
                raise MalformedError(
                    f"goes on behind its end at byte {self.offset}.", field="bundle", remedy="Ask for a new file."
                )
            taken = view[: self._needed - len(self._held)]
            self._held += taken
            view = view[len(taken) :]
            if len(self._held) == self._needed:
                frame = self._step()
                if frame is not None:
                    yield frame

    def _step(self) -> Frame | None:
        """Use what is held, which is all of a part; a frame comes of it if it ends one that carries something."""
        match self._part:
            case _Part.MAGIC if self._held != MAGIC:
                self._part, self._needed = _Part.FOREIGN, SNIFF_BYTES
                return None
            case _Part.FOREIGN:
                raise _not_a_bundle(bytes(self._held))
            case _Part.MAGIC:
                self._part, self._needed = _Part.PREFIX, PREFIX_BYTES
            case _Part.PREFIX:
                self._kind, size_bytes = _open_prefix(self._place, bytes(self._held))
                self._part, self._needed = _Part.BODY, size_bytes + CHAIN_BYTES
            case _Part.BODY:
                chain = bytes(self._held[-CHAIN_BYTES:])
                del self._held[-CHAIN_BYTES:]
                frame = Frame(self._kind, bytes(self._held))
                self._place = _checked(self._place, frame, chain)
                self._part, self._needed = _Part.PREFIX, PREFIX_BYTES
                self._held.clear()
                return None if frame.kind in (Kind.HEADER, Kind.END) else frame
        self._held.clear()
        return None


def _open_prefix(place: Place, prefix: bytes) -> tuple[Kind, int]:
    """The kind and the length of the next frame, if one like that may stand here."""
    kind, size_bytes = _KINDS.get(prefix[:1]), int.from_bytes(prefix[1:], "big")
    if kind is None:
        number = place.totals.frames + 1
        raise MalformedError(f"0x{prefix[0]:02X} is no kind of frame.", field=f"frame {number}", remedy=_AGAIN)
    name = _name(place, kind)
    if (kind is Kind.HEADER) != (place.header is None):
        raise MalformedError("the header stands first, and once.", field=name, remedy=_AGAIN)
    if size_bytes == 0:
        raise MalformedError("is empty.", field=name, remedy=_AGAIN)
    if size_bytes > LIMIT_BYTES[kind]:
        raise TooLargeError(f"{size_bytes} bytes, at most {LIMIT_BYTES[kind]}.", field=name, remedy=_AGAIN)
    if _end_offset(place, size_bytes) > BOUNDS.bundle_bytes:
        raise TooLargeError(f"ends over {BOUNDS.bundle_bytes} bytes.", field=name, remedy="Ask for several volumes.")
    if kind is not Kind.END and place.totals.frames >= BOUNDS.bundle_frames:
        raise TooLargeError(f"over {BOUNDS.bundle_frames} frames.", field=name, remedy="Ask for several volumes.")
    return kind, size_bytes


def _checked(place: Place, frame: Frame, chain: bytes) -> Place:
    """The place behind a frame that was read, if its chain value fits and header and end are of their form."""
    name, header = _name(place, frame.kind), place.header
    if _link(place, frame) != chain:
        at = _end_offset(place, len(frame.content)) - CHAIN_BYTES
        raise MalformedError(
            f"its chain value at byte {at} does not fit; the file was changed or damaged.", field=name, remedy=_AGAIN
        )
    try:
        if frame.kind is Kind.HEADER:
            header = parse_canonical(frame.content, BundleHeader)
        if frame.kind is Kind.END and parse_canonical(frame.content, Totals) != place.totals:
            raise MalformedError("counts other frames than were read.", remedy="Ask for a new file.")
    except MalformedError as error:
        raise MalformedError(str(error), field=name) from None
    return _behind(place, frame, chain, header)


# What people put on sticks by mistake or malice: where its mark lies, the mark, what it is.
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\x00", "an xz file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 file"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"MSCF", "a CAB archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0", "an old office document"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"MZ", "a program (Windows)"),
    (0, b"\xcf\xfa\xed\xfe", "a program (macOS)"),
    (0, b"#!", "a script"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut"),
    (0, b"\x00\x05\x16\x07", "a companion file of macOS, whose name begins with ._"),
    (0, b"SQLite format 3\x00", "a SQLite database"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"\xff\xfe", "UTF-16 text"),
    (0, b"\xfe\xff", "UTF-16 text"),
    (0, MAGIC[:-1] + b"\r\n", "a bundle whose line ends a transfer in text mode has changed"),
    (0, MAGIC[:-2], "a bundle of another version"),
)
_MARKUP: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<", "HTML or XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


def _not_a_bundle(first: bytes) -> MalformedError:
    """The refusal of a file that begins like this."""
    if first and MAGIC.startswith(first):
        reason = "breaks off in its first line."
    else:
        reason = f"is {_foreign(first)}, not a bundle."
    return MalformedError(
        reason, field="bundle", remedy="Nothing of it was used; ask the sender for the file that their node wrote."
    )


def _foreign(first: bytes) -> str:
    if not first.strip(b"\x00"):
        return "nothing but zeros, as after a copy that was not finished" if first else "an empty file"
    for at, mark, name in _FOREIGN:
        if first.startswith(mark, at):
            return name
    if any(set(first[at::2]) == {0} and 0 not in first[1 - at :: 2] for at in (0, 1)):
        return "UTF-16 text"
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((name for mark, name in _MARKUP if text.startswith(mark)), "of an unknown form")
