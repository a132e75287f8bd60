"""TOML that people write, read strictly, with the line of every key.

The standard parser says what a document holds, not where; the index here says where. A form asks each table for the
keys that it knows; what nobody asked for is unknown and is refused. Each fault is noted with its line and reading goes
on, so that a person sees all of them at once.

TOML: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import TypeVar

from relto.agreements.lines import Path, line_index, nested_too_deep, tokens_of
from relto.bounds import BOUNDS
from relto.clock import LATEST_MS, from_datetime
from relto.errors import DocumentError, Finding
from relto.strict import FORBIDDEN_TEXT

T = TypeVar("T")

_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
# what also moves, hides or breaks text on a screen: soft hyphen, zero width space, marks of direction, line separators
_HIDING = re.compile("[\u00ad\u180e\u200b\u200e\u200f\u2028\u2029\u2060]")
_LOOK_LIKE_LATIN = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "COPTIC", "CHEROKEE"})

_LISTED = 12

_SAID: dict[type, str] = {
    str: 'text in quotes, like "..."',
    int: "a whole number",
    bool: "true or false",
    list: "a list, like [ ... ]",
    dict: "a table",
    datetime: "an instant with offset, like 2026-01-01T00:00:00Z",
}


class Sheet:
    """A document while it is read: where its keys stand, and what is wrong with it so far."""

    def __init__(self, name: str, lines: dict[Path, int]) -> None:
        self._name = name
        self._lines = lines
        self._findings: list[Finding] = []
        self._faulty: set[Path] = set()

    @property
    def full(self) -> bool:
        """Whether so much is wrong that nothing more is noted."""
        return len(self._findings) >= BOUNDS.agreement_findings

    def note(self, path: Path, field: str, reason: str, remedy: str) -> None:
        """Note one fault, at the line of the path or of the nearest table around it."""
        if not self.full:
            self._faulty.add(path)
            while path not in self._lines:
                path = path[:-1]
            shown = (_shown(text, BOUNDS.text_chars) for text in (field, reason, remedy))
            self._findings.append(Finding(self._lines[path], *shown))

    def sound(self, path: Path) -> bool:
        """Whether nothing was noted there, nor below."""
        return not any(faulty[: len(path)] == path for faulty in self._faulty)

    def suggest(self, word: str, known: Iterable[str], *, every: bool = False) -> str:
        """The remedy for a name that is not known: the nearest that is, or all of them."""
        if self.full:
            return ""
        names = {_shown(name).casefold(): _shown(name) for name in known}
        near = get_close_matches(_shown(word).casefold(), sorted(names), 1)
        nearest = [f"Did you mean {names[near[0]]!r}?"] if near else []
        if near and not every:
            return nearest[0]
        listed = ", ".join([*names.values()][:_LISTED]) + (" and others" if len(names) > _LISTED else "")
        return " ".join([*nearest, f"Known: {listed}." if names else "Define it first."])

    def finish(self) -> None:
        """Stop if anything was noted.

        Raises:
            DocumentError: with every finding, by line.
        """
        if self._findings:
            found = sorted(self._findings, key=lambda finding: finding.line)
            if self.full:
                found.append(Finding(found[-1].line, "document", "There may be more.", "Mend these, then check again."))
            raise DocumentError(self._name, tuple(found))


class Table:
    """One table of a sheet. A method that reads a key notes what is wrong with it, then gives a value to go on with."""

    def __init__(self, sheet: Sheet, path: Path, field: str, values: dict[str, object]) -> None:
        self._sheet = sheet
        self._path = path
        self._field = field
        self._values = values
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @property
    def empty(self) -> bool:
        """Whether it has no key at all."""
        return not self._values

    def holds(self, key: str, form: type) -> bool:
        """Whether the value under a key has this form. It does not count as asked for."""
        return type(self._values.get(key)) is form

    def note(self, key: str, reason: str, remedy: str, at: int | None = None) -> None:
        """Note a fault of a key, of one element of its list, or with an empty key of the table as a whole."""
        path = self._path + ((key,) if key else ()) + (() if at is None else (at,))
        field = ".".join(part for part in (self._field, _shown(key)) if part) or "document"
        self._sheet.note(path, field, reason, remedy)

    def sound(self, *keys: str) -> bool:
        """Whether nothing was noted of these keys, nor below them: only then others are compared with them."""
        return all(self._sheet.sound((*self._path, key)) for key in keys)

    def suggest(self, word: str, known: Iterable[str], *, every: bool = False) -> str:
        """The remedy for a name that is not known."""
        return self._sheet.suggest(word, known, every=every)

    def value(self, key: str, form: type[T], *, required: bool = True) -> T | None:
        """The value of a key if it has exactly this form; None if it is missing or of another."""
        self._asked.add(key)
        if key not in self._values:
            if required:
                self.note(key, "is missing.", f"Write {_SAID[form]}.")
            return None
        value = self._values[key]
        if type(value) is not form:
            self.note(key, "has another form.", f"Write {_SAID[form]}.")
            return None
        return value

    def title(self, key: str, *, required: bool = True) -> str:
        """A text of one line. It is given back even if it is wrong, so that others can refer to it."""
        text = self.value(key, str, required=required)
        if text is not None:
            self.is_name(key, text)
        return text or ""

    def prose(self, key: str, *, required: bool = True) -> str:
        """A text of any lines, given as one: how the source is wrapped does not matter."""
        text = self.value(key, str, required=required)
        if text is None:
            return ""
        if not text.strip():
            self.note(
                key, "is empty.", "Say it in words, or leave the key out." if not required else "Say it in words."
            )
        elif len(text) > BOUNDS.agreement_text_chars:
            self.note(key, f"has {len(text)} characters, at most {BOUNDS.agreement_text_chars}.", "Shorten it.")
        elif (fault := _deceives(text)) is not None:
            self.note(key, fault, "Remove it.")
        return " ".join(text.split())

    def matching(self, key: str, pattern: re.Pattern[str], example: str) -> str:
        """A text of a form, such as an id. It is given back even if it is wrong, so that others can refer to it."""
        text = self.value(key, str)
        if text is not None and pattern.fullmatch(text) is None:
            self.note(key, f"{_shown(text)!r} has not the form of {example}.", f"Write it like {example}.")
        return text or ""

    def one_of(self, key: str, known: Collection[str], *, required: bool = True) -> str | None:
        """One word of those known; None where it is missing or another."""
        word = self.value(key, str, required=required)
        if word is not None and word not in known:
            self.note(key, f"{_shown(word)!r} is not known here.", self.suggest(word, known, every=True))
            return None
        return word

    def number(self, key: str, low: int, high: int, *, default: int | None = None) -> int:
        """A whole number within limits, inclusive."""
        number = self.value(key, int, required=default is None)
        if number is None:
            return low if default is None else default
        if not low <= number <= high:
            self.note(key, f"is not within {low} and {high}.", "Correct the number.")
            return low
        return number

    def flag(self, key: str) -> bool:
        """True or false; false where it is missing."""
        return self.value(key, bool, required=False) is True

    def instant(self, key: str, *, required: bool = True) -> int | None:
        """An instant in ms since the epoch; its offset from UTC must be written."""
        moment = self.value(key, datetime, required=required)
        if moment is None:
            return None
        if moment.tzinfo is None:
            self.note(key, "has no offset from UTC.", "End it in Z, or in an offset such as +09:00.")
            return None
        if moment.microsecond % 1000:
            self.note(key, "is finer than a millisecond.", "Cut it off.")
        instant_ms = from_datetime(moment)
        if not 0 <= instant_ms <= LATEST_MS:
            self.note(key, "is not within the years 1970 and 9999.", "Correct the date.")
        return instant_ms

    def words(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """A list of names without repeats. A list that is written must hold something."""
        words = self.value(key, list, required=required)
        found: list[str] = []
        for at, word in enumerate(self._within(key, words, BOUNDS.agreement_values)):
            if not isinstance(word, str):
                self.note(key, "holds something that is not text.", f"Write {_SAID[str]}.", at)
            elif word in found:
                self.note(key, f"{_shown(word)!r} stands twice.", "Keep one.", at)
            elif self.is_name(key, word, at):
                found.append(word)
        return tuple(found)

    def known_words(self, key: str, known: Collection[str], fault: str, *, required: bool = False) -> tuple[str, ...]:
        """A list of names, each of which must be known; those that are."""
        words = self.words(key, required=required)
        for word in words:
            if word not in known:
                self.note_word(key, word, f"{_shown(word)!r} {fault}", self.suggest(word, known))
        return tuple(word for word in words if word in known)

    def matching_words(
        self, key: str, pattern: re.Pattern[str], example: str, *, required: bool = False
    ) -> tuple[str, ...]:
        """A list of texts of a form; those that have it."""
        words = self.words(key, required=required)
        for word in words:
            if pattern.fullmatch(word) is None:
                self.note_word(
                    key, word, f"{_shown(word)!r} has not the form of {example}.", f"Write it like {example}."
                )
        return tuple(word for word in words if pattern.fullmatch(word) is not None)

    def note_word(self, key: str, word: str, reason: str, remedy: str) -> None:
        """Note a fault of one word of a list."""
        words = self._values.get(key)
        at = words.index(word) if isinstance(words, list) and word in words else None
        self.note(key, reason, remedy, at)

    def table(self, key: str) -> Table:
        """The table under a key; an empty one where it is missing, whose keys then are."""
        values = self.value(key, dict, required=False)
        return Table(self._sheet, (*self._path, key), f"{self._field}.{key}".lstrip("."), values or {})

    def entries(self, key: str, limit: int) -> list[object]:
        """The elements of a list of anything, up to the limit."""
        return self._within(key, self.value(key, list), limit)

    def tables(self, key: str, limit: int, *, required: bool = False) -> Iterator[Table]:
        """Each table of an array of tables, in the order of the document."""
        entries = self.value(key, list, required=required)
        for at, values in enumerate(self._within(key, entries, limit)):
            if isinstance(values, dict):
                yield Table(self._sheet, (*self._path, key, at), f"{key}{_called(values, at)}", values)
            else:
                self.note(key, "holds something that is not a table.", f"Write [[{key}]] above its keys.", at)

    def close(self, fault: str = "is a key that is not known here.") -> None:
        """Note every key that was not asked for: what is not understood is refused."""
        for key in self._values:
            if key not in self._asked:
                self.note(key, fault, self.suggest(key, sorted(self._asked)))

    def finish(self) -> None:
        """Stop if anything was noted anywhere in the sheet of this table.

        Raises:
            DocumentError: with every finding, by line.
        """
        self._sheet.finish()

    def is_name(self, key: str, text: str, at: int | None = None) -> bool:
        """Whether the text is fit to be a name; a fault is noted."""
        fault = _name_fault(text)
        if fault is not None:
            self.note(key, fault, "Correct the text.", at)
        return fault is None

    def _within(self, key: str, entries: list[object] | None, limit: int) -> list[object]:
        """The entries up to the limit; an empty list is noted, since it would match nothing."""
        if entries is not None and not entries:
            self.note(key, "is an empty list, which matches nothing.", "Name at least one, or leave the key out.")
        if entries is not None and len(entries) > limit:
            self.note(key, f"has {len(entries)} entries, at most {limit}.", "Split it.")
        return (entries or [])[:limit]


def open_sheet(text: bytes, name: str) -> Table:
    """Read TOML and give its top table.

    Numbers with a point are ``Decimal``, so nothing is rounded.

    Raises:
        DocumentError: it is too large, not UTF-8, holds characters that deceive, or is not TOML.
    """
    if len(text) > BOUNDS.agreement_bytes:
        raise _at(name, 1, f"{len(text)} bytes, at most {BOUNDS.agreement_bytes}.", "Shorten it.")
    try:
        content = text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _at(name, line, "is not UTF-8.", "Save it as UTF-8 without a byte order mark.") from None
    _check_characters(content, name)
    tokens = tokens_of(content)
    if (deep := nested_too_deep(tokens)) is not None:
        raise _at(name, deep, "is nested too deep, or something above is not closed.", "Close it, or flatten it.")
    try:
        values = tomllib.loads(content, parse_float=_exact)
    except (ValueError, RecursionError) as error:
        raise _syntax(name, content, str(error)) from None
    return Table(Sheet(name, line_index(tokens)), (), "", values)


def _exact(text: str) -> Decimal:
    """A number as it is written; what even that cannot hold is no number to any key."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal("nan")


def _syntax(name: str, content: str, message: str) -> DocumentError:
    found = _PLACE.search(message)
    line = int(found.group(1)) if found else content.rstrip().count("\n") + 1
    fault = _PLACE.sub("", message)[:120].strip()
    twice = "overwrite" in fault or "twice" in fault
    return _at(name, line, f"is not TOML: {fault}.", "Keep one of the two." if twice else "Correct the line.")


def _at(name: str, line: int, reason: str, remedy: str) -> DocumentError:
    return DocumentError(name, (Finding(line, "document", reason, remedy),))


def _check_characters(content: str, name: str) -> None:
    faults = []
    for line, text in enumerate(content.split("\n"), 1):
        if (fault := _deceives(text)) is not None:
            faults.append(Finding(line, "document", fault, "Remove it."))
        elif len(text) > BOUNDS.agreement_text_chars:
            fault = f"has {len(text)} characters in one line, at most {BOUNDS.agreement_text_chars}."
            faults.append(Finding(line, "document", fault, "Wrap it."))
    if faults:
        raise DocumentError(name, tuple(faults[: BOUNDS.agreement_findings]))


def _shown(text: str, limit: int = 40) -> str:
    """A text from the document as a finding may show it: short, and only what prints."""
    short = text if len(text) <= limit else f"{text[:limit]}..."
    return short if short.isprintable() else ascii(short)[1:-1]


def _called(values: dict[str, object], at: int) -> str:
    """How findings name an entry of an array: by its id or name, else by its number from 1."""
    name = values.get("id", values.get("name"))
    return f".{_shown(name)}" if isinstance(name, str) and _name_fault(name) is None else f"[{at + 1}]"


def _deceives(text: str) -> str | None:
    found = FORBIDDEN_TEXT.search(text) or _HIDING.search(text)
    return None if found is None else f"holds the character U+{ord(found.group()):04X}, which can deceive a reader."


def _name_fault(text: str) -> str | None:
    """Why a text cannot be a name that is compared: two that look alike must be alike."""
    if not text:
        return "is empty."
    if text != " ".join(text.split()):
        return "has line breaks, or spaces that nobody sees."
    if len(text) > BOUNDS.text_chars:
        return f"has {len(text)} characters, at most {BOUNDS.text_chars}."
    if (fault := _deceives(text)) is not None:
        return fault
    if not text.isprintable() or text != unicodedata.normalize("NFC", text):
        return "holds characters that do not print, or are composed (not in Unicode form NFC)."
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha()}
    if "LATIN" in scripts and scripts & _LOOK_LIKE_LATIN:
        return "mixes Latin letters with others that look like them."
    return None
