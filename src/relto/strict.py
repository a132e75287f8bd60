"""Strict intake and one canonical output of JSON: the only place where JSON from outside is read.

Refused, because two readers could disagree: duplicate keys, NaN and infinities, numbers over the table of
``relto.bounds``, invalid UTF-8, lone surrogates, a byte order mark, control characters and the bidirectional
overrides that make text read differently from what it says (Unicode TR 36, CVE-2021-42574), and depth.

Canonical form: a frozen ``msgspec.Struct`` in declared field order, without white space. What is signed is what is
stored is what is sent, and ``parse_canonical`` takes only bytes that it would itself have written.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import msgspec

from relto.bounds import BOUNDS
from relto.errors import MalformedError, TooLargeError

T = TypeVar("T")

# C0 but tab/newline/return, DEL, C1, bidi embeddings/overrides/isolates, BOM inside text
FORBIDDEN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_LONG_INTEGER = re.compile(rb"[:,\[-][0-9]{16}")
_ESCAPED_CONTROL = re.compile(rb"(?<!\\)(?:\\\\)*\\u00")
# Possessive, so that no input makes it look twice at a byte; a string that never ends runs to the end.
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_ENCODER = msgspec.json.Encoder()


def forbidden(text: str) -> re.Match[str] | None:
    """The first character that deceives a reader, if there is any. Plain ASCII is told without a search."""
    return None if text.isascii() and text.isprintable() else FORBIDDEN_TEXT.search(text)


def check_text(text: str, field: str, *, limit_chars: int = BOUNDS.text_chars) -> str:
    """Return the text unless it is too long or holds characters that deceive a reader.

    Raises:
        MalformedError: a forbidden character.
        TooLargeError: more than ``limit_chars`` characters.
    """
    if len(text) > limit_chars:
        raise TooLargeError(f"{len(text)} characters, at most {limit_chars}.", field=field, remedy="Shorten it.")
    found = forbidden(text)
    if found is not None:
        raise MalformedError(
            f"holds the character U+{ord(found.group()):04X}, which can deceive a reader.",
            field=field,
            remedy="Remove it.",
        )
    return text


def parse_json(content: bytes, field: str = "JSON", *, limit_bytes: int = BOUNDS.json_text_bytes) -> Any:
    """Read JSON from outside into plain values, or refuse it whole.

    Raises:
        TooLargeError: size or depth is over its bound.
        MalformedError: anything a second reader could understand differently, numbers over 2^53-1 with it.
    """
    if len(content) > limit_bytes:
        raise TooLargeError(f"{len(content)} bytes, at most {limit_bytes}.", field=field, remedy="Split it.")
    _check_depth(content, field)
    try:
        text = content.decode("utf-8", errors="strict")
        value = json.loads(
            text,
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_int=_bounded_int,
            parse_float=_finite_float,
        )
    except UnicodeDecodeError as error:
        raise MalformedError(f"byte {error.start} is not UTF-8.", field=field, remedy="Send UTF-8.") from None
    except json.JSONDecodeError as error:
        raise MalformedError(
            f"line {error.lineno} column {error.colno}: {error.msg}.", field=field, remedy="Send valid JSON."
        ) from None
    except MalformedError as error:
        raise MalformedError(error.reason, field=field, remedy=error.remedy) from None
    except RecursionError as error:
        raise MalformedError(str(error), field=field) from None
    if forbidden(text) is not None or "\\u" in text:
        _check_strings(value, field)
    return value


def _check_depth(content: bytes, field: str) -> None:
    """Bound nesting before any parser recurses. Counts brackets outside strings."""
    deepest = depth = 0
    for token in _BRACKETS.finditer(content):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > BOUNDS.json_depth:
                raise TooLargeError(f"deeper than {BOUNDS.json_depth} levels.", field=field, remedy="Flatten it.")
        elif first in b"]}":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedError(f"key {twice[:40]!r} stands twice in one object.", remedy="Keep one.")
    return found


def _no_constant(text: str) -> Any:
    raise MalformedError(f"{text} is not a JSON number.", remedy="Leave the field out.")


def _bounded_int(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > BOUNDS.json_integer:
        raise MalformedError(f"integer {text[:24]} is over 2^53-1.", remedy="Send it as text.")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedError(f"number {text[:24]} has no finite value.", remedy="Leave the field out.")
    return value


def _check_strings(value: Any, field: str) -> None:
    stack: list[Any] = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            stack.extend(part.values())
            stack.extend(part)
        elif isinstance(part, list):
            stack.extend(part)
        elif isinstance(part, str):
            check_text(part, field, limit_chars=BOUNDS.json_text_bytes)


def canonical(value: msgspec.Struct) -> bytes:
    """Write a frozen struct in its one canonical form."""
    return _ENCODER.encode(value)


def parse_canonical(content: bytes, form: type[T], *, limit_bytes: int = BOUNDS.statement_bytes) -> T:
    """Read a struct, and only from the very bytes that ``canonical`` would write for it.

    Duplicate keys, other orders, white space, escapes and unknown fields all fail the same comparison, so two
    readers cannot disagree on what was signed.

    Raises:
        TooLargeError: more than ``limit_bytes``.
        MalformedError: not this form, an integer over its bound, or not canonical.
    """
    name = form.__name__.lower()
    if len(content) > limit_bytes:
        raise TooLargeError(f"{len(content)} bytes, at most {limit_bytes}.", field=name, remedy="Split it.")
    try:
        value = msgspec.json.decode(content, type=form)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(f"{error}", field=name, remedy="See docs/spec for its form.") from None
    if _LONG_INTEGER.search(content) is not None:
        parse_json(content, name, limit_bytes=limit_bytes)  # which bounds each number, and tells those in texts apart
    if _ENCODER.encode(value) != content:
        raise MalformedError("is not in canonical form.", field=name, remedy="See docs/spec/item.md, section 2.")
    escaped = b"\\u00" in content and _ESCAPED_CONTROL.search(content) is not None
    if escaped or forbidden(content.decode()) is not None:
        raise MalformedError("holds characters that can deceive a reader.", field=name, remedy="Remove them.")
    return value
