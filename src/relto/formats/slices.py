"""Records cut out of a JSON document as the very bytes in which they came.

A document that holds many records is not parsed as a whole: its array is cut into the slices of its elements by
looking only at strings, brackets and commas; then each slice is read strictly by itself. So one broken record does not
cost its neighbours, and what is stored is what came, byte for byte. What stands around the array is read as strictly,
which together comes to the same as reading the whole (RFC 8259): nothing is understood in two ways.

The look takes time and memory linear in the size, also for hostile input, and does not recurse.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from relto.bounds import BOUNDS
from relto.errors import MalformedError, TooLargeError
from relto.strict import parse_json

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
# With an optional end, a string that is not closed is one match; else every quote in it would begin another search.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)', re.DOTALL)
_NAME = re.compile(rb'[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_BLANK = b" \t\r\n"
_QUOTE, _COMMA = ord('"'), ord(",")
_STEP = np.zeros(256, np.int8)  # how a byte outside strings changes the depth
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1
_MARKS = _STEP != 0
_MARKS[[_QUOTE, _COMMA]] = True


class RefusedError(MalformedError):
    """A record is not taken in: ``code`` is stable and in capitals, ``detail`` says what decided."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail, field=code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Cut:
    """An array's elements, and the document before and behind them; both brackets stay with the document."""

    head: bytes
    elements: tuple[bytes, ...]
    tail: bytes

    @property
    def around(self) -> bytes:
        """The document with the array emptied."""
        return self.head + self.tail

    def holding(self, elements: list[bytes]) -> bytes:
        """The document with these elements in the array instead of its own."""
        return self.head + b",".join(elements) + self.tail


def cut(document: bytes, *path: str) -> Cut | None:
    """Cut the array under these member names into its elements; None if no array stands there.

    Raises:
        RefusedError: ``TOO_LARGE``; ``BAD_JSON`` if a bracket or string is not closed, or something follows the end.
    """
    outline = _Outline(document)
    opening: int | None = 0
    for name in path:
        opening = outline.member(opening, name) if opening is not None else None
    if opening is None or not outline.opens(opening, b"["):
        return None
    spans = outline.children(opening)
    elements = tuple(document[a:b].strip(_BLANK) for a, b in spans)
    return Cut(document[: spans[0][0]], () if elements == (b"",) else elements, document[spans[-1][1] :])


def names(document: bytes) -> tuple[str, ...]:
    """The member names of an object in their order; empty for anything else.

    Raises:
        RefusedError: as ``cut``.
    """
    return tuple(name for name, _ in _Outline(document).members(0))


def is_whole(document: bytes) -> bool:
    """Whether the bytes are one object or array with every bracket closed, and nothing behind it."""
    try:
        return _Outline(document).whole
    except RefusedError:
        return False


def read_object(content: bytes, *, limit_bytes: int = BOUNDS.record_bytes) -> dict[str, Any]:
    """Read one slice strictly as an object.

    Raises:
        RefusedError: ``TOO_LARGE``, ``BAD_JSON`` or ``NOT_AN_OBJECT``.
    """
    if len(content) <= limit_bytes and b"" in _STRING.findall(content):
        raise RefusedError("BAD_JSON", "a string is not closed")
    try:
        value = parse_json(content, "record", limit_bytes=limit_bytes)
    except TooLargeError as error:
        raise RefusedError("TOO_LARGE", error.reason) from None
    except MalformedError as error:
        raise RefusedError("BAD_JSON", error.reason) from None
    if not isinstance(value, dict):
        raise RefusedError("NOT_AN_OBJECT", f"a {type(value).__name__} where an object belongs")
    return value


class _Outline:
    """Where the brackets and commas of a document stand that are in no string, and how deep: its *marks*, numbered."""

    def __init__(self, document: bytes) -> None:
        if len(document) > BOUNDS.json_text_bytes:
            raise RefusedError("TOO_LARGE", f"{len(document)} bytes, at most {BOUNDS.json_text_bytes}")
        self.document = document
        # An escape stays two bytes long, so positions hold. Outside strings valid JSON has none.
        plain = np.frombuffer(_ESCAPE.sub(b"  ", document), np.uint8)
        at = np.flatnonzero(_MARKS[plain])
        quotes = plain[at] == _QUOTE
        self.at = at[(np.cumsum(quotes) % 2 == 0) & ~quotes]
        self.marks = plain[self.at]
        self.depth = np.cumsum(_STEP[self.marks], dtype=np.int64)
        self.whole = self._is_whole(int(np.count_nonzero(quotes)))

    def _is_whole(self, quotes: int) -> bool:
        if self.document.lstrip(_BLANK)[:1] not in (b"{", b"["):
            return False
        if quotes % 2 or self.depth[-1] != 0 or np.any(self.depth[:-1] <= 0):
            raise RefusedError("BAD_JSON", "a bracket or string is not closed, or something follows the end")
        if self.document[self.at[-1] + 1 :].strip(_BLANK):
            raise RefusedError("BAD_JSON", f"something follows the end at byte {self.at[-1] + 1}")
        return True

    def opens(self, mark: int, bracket: bytes) -> bool:
        """Whether the mark of this number is this bracket."""
        return self.whole and self.document[self.at[mark] : self.at[mark] + 1] == bracket

    def children(self, opening: int) -> list[tuple[int, int]]:
        """The spans between the commas of the object or array that opens at this mark."""
        inside = self.depth[opening]
        closing = opening + int(np.argmax(self.depth[opening:] < inside))
        within = slice(opening, closing)
        commas = self.at[within][(self.marks[within] == _COMMA) & (self.depth[within] == inside)].tolist()
        edges = [int(self.at[opening]), *commas, int(self.at[closing])]
        return [(a + 1, b) for a, b in pairwise(edges)]

    def members(self, opening: int) -> list[tuple[str, int]]:
        """Names of an object and where their values start; one without a readable name is left to the strict reader."""
        if not self.opens(opening, b"{"):
            return []
        found = [_NAME.match(self.document, *span) for span in self.children(opening)]
        return [(_text(match.group(1)), match.end()) for match in found if match is not None]

    def member(self, opening: int, name: str) -> int | None:
        """The mark that opens the object or array under a name; None if none stands there."""
        start = dict(self.members(opening)).get(name)
        if start is None:
            return None
        mark = int(np.searchsorted(self.at, start))
        return mark if self.at[mark] == start and self.depth[mark] > self.depth[opening] else None


def _text(quoted: bytes) -> str:
    """The name as a reader understands it, so that an escaped spelling is the same name."""
    try:
        return str(json.loads(quoted))
    except ValueError:
        return ""
