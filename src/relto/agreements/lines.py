"""Where each key of a TOML document stands: the standard parser gives the values and no lines.

The tokens also bound what a parser would spend more on than its length: brackets in brackets, keys of many steps.
The index walks only over documents that the parser has found valid.

TOML: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]
Token = tuple[str, int]  # the text, and the line on which it begins

DEEPEST = 8

# each string also matches without its end, so that no start of one is ever looked at twice
_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|\#[^\n]*)
    |"{3}(?:\\.?|[^\\])*?(?:"{3,5}|\Z)
    |'{3}.*?(?:'{3,5}|\Z)
    |"(?:\\[^\n]|[^"\\\n])*"?
    |'[^'\n]*'?
    |[\n\[\]{}=,.]
    |[^\s\[\]{}=,.\#"']+
    |.""",
    re.DOTALL | re.VERBOSE,
)


def tokens_of(content: str) -> list[Token]:
    """The tokens of any text, without spaces and comments; line breaks outside strings are tokens."""
    tokens = []
    line = 1
    for match in _TOKEN.finditer(content):
        if match.lastgroup != "skip":
            tokens.append((match.group(), line))
        line += match.group().count("\n")
    return tokens


def nested_too_deep(tokens: list[Token]) -> int | None:
    """The line where brackets, or the steps of a dotted key, go deeper than ``DEEPEST``; None if none do."""
    depth = steps = 0
    for text, line in tokens:
        depth += (text in ("[", "{")) - (text in ("]", "}"))
        steps = 0 if text in ("\n", "=", ",", "[", "{") else steps + (text == ".")
        if depth > DEEPEST or steps > DEEPEST:
            return line
    return None


def line_index(tokens: list[Token]) -> dict[Path, int]:
    """The line of every key, table and list element of a document that is valid TOML."""
    index = _Index(tokens)
    index.document()
    return index.lines


class _Index:
    """Walks over the tokens of a valid document once. What is not valid was refused before."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = [*tokens, ("\n", tokens[-1][1] if tokens else 1)]
        self._at = 0
        self._arrays: dict[Path, int] = {}
        self.lines: dict[Path, int] = {(): 1}

    def document(self) -> None:
        table: Path = ()
        while self._at < len(self._tokens):
            if self._peek() == "\n":
                self._at += 1
            elif self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _header(self) -> Path:
        line = self._tokens[self._at][1]
        entry = self._tokens[self._at + 1][0] == "["
        self._at += 2 if entry else 1
        *around, last = self._key("]")
        path: Path = ()
        for step in around:
            path = self._entry((*path, step))
            self.lines.setdefault(path, line)
        path = (*path, last)
        self.lines.setdefault(path, line)
        if entry:
            self._at += 1
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = self._entry(path)
            self.lines[path] = line
        return path

    def _entry(self, path: Path) -> Path:
        return (*path, self._arrays[path]) if path in self._arrays else path

    def _key(self, end: str) -> list[str]:
        """The steps of a dotted key, up to and over the token that ends it."""
        steps = []
        while self._peek() != end:
            if self._peek() != ".":
                steps.append(_unquoted(self._peek()))
            self._at += 1
        self._at += 1
        return steps

    def _pair(self, table: Path) -> None:
        line = self._tokens[self._at][1]
        path = table
        for step in self._key("="):
            path = (*path, step)
            self.lines.setdefault(path, line)
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self._peek()
        if opening == "[":
            self._list(path)
        elif opening == "{":
            self._at += 1
            while self._peek() != "}":
                if self._peek() == ",":
                    self._at += 1
                else:
                    self._pair(path)
            self._at += 1
        else:
            while self._peek() not in ("\n", ",", "]", "}"):
                self._at += 1

    def _list(self, path: Path) -> None:
        self._at += 1
        count = 0
        while self._peek() != "]":
            if self._peek() in ("\n", ","):
                self._at += 1
                continue
            self.lines[(*path, count)] = self._tokens[self._at][1]
            self._value((*path, count))
            count += 1
        self._at += 1


def _unquoted(token: str) -> str:
    """A key as the parser names it."""
    return str(next(iter(tomllib.loads(f"{token}=0")))) if token[0] in "\"'" else token
