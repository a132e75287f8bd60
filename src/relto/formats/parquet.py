"""Parquet from outside: read here by hand up to the point where nothing in it can surprise the decoder.

A footer may lie: 60 kB of zstd can hold 2 GB, and the decoder believes each page's own header. A footer may also name
a codec that there is not, and merely to ask the library which one it is ends the whole process. So footer and page
headers are read here first (Apache Parquet format 2.10, Thrift compact protocol), and only flat tables with known
codecs and encodings and bounded sizes go further. Text is decoded as dictionaries: a dictionary page of one long text
and a run of 100,000 equal indices is a bomb that no size in the file shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relto.errors import MalformedError, TooLargeError

_MAGIC = b"PAR1"
_FOOTER_BYTES = 1024 * 1024
_COLUMNS = 64
_ROW_GROUPS = 1024
_PAGES = 100_000
_NESTING = 8
_VALUES = 1_000_000

# parquet.thrift: what of each enumeration we take
_TYPES = (0, 1, 2, 4, 5, 6)  # BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY
_TEXT = 6
_REPETITIONS = (0, 1)  # required, optional
_CONVERTED = (0, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)  # UTF8, times, integers
_CODECS = (0, 1, 2, 6)  # none, snappy, gzip, zstd
_ENCODINGS = (0, 2, 3, 5, 6, 7, 8, 9)
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3

Struct = dict[int, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a file may be: bytes as sent, rows, and bytes once decompressed."""

    bytes: int
    rows: int
    decoded_bytes: int


def read_table(content: bytes, limits: Limits, *, with_metadata: bool = False) -> pa.Table:
    """Decode a whole file; text comes as dictionaries, and nothing is decoded before all sizes are known.

    Args:
        with_metadata: take files with key-value metadata too, in which a library may keep a schema of its own.

    Raises:
        TooLargeError: bytes, rows, columns, pages or decoded bytes over a limit.
        MalformedError: not Parquet, not a flat table, encrypted, another codec, or sizes that contradict each other.
    """
    footer = _footer(content, limits)
    if 5 in footer and not with_metadata:
        raise _malformed("carries key-value metadata.")
    text = _check_schema(_structs(footer, 2))
    decoded = 0
    for group in _structs(footer, 4):
        for chunk in _structs(group, 1):
            decoded += _check_chunk(content, chunk, _integer(group, 3), limits.decoded_bytes - decoded)
    try:
        file = pq.ParquetFile(  # type: ignore[call-arg]  # the stubs lack the last argument
            pa.BufferReader(content),
            read_dictionary=text,
            memory_map=False,
            pre_buffer=False,
            thrift_string_size_limit=_FOOTER_BYTES,
            thrift_container_size_limit=_VALUES,
            arrow_extensions_enabled=False,
        )
        table = file.read(use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _malformed(f"does not decode: {error}") from None
    return table


def _footer(content: bytes, limits: Limits) -> Struct:
    """Read the footer and hold what it says about rows and columns against the limits."""
    _bounded(len(content), limits.bytes, "bytes")
    if len(content) < 12 or content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise _malformed("does not begin and end with PAR1.")
    size = int.from_bytes(content[-8:-4], "little")
    _bounded(size, min(len(content) - 12, _FOOTER_BYTES), "bytes of footer")
    reader = _Compact(content, len(content) - 8 - size, len(content) - 8)
    footer = reader.struct()
    groups = _structs(footer, 4)
    _bounded(len(groups), _ROW_GROUPS, "row groups")
    rows = sum(_integer(group, 3) for group in groups)
    _bounded(max(rows, _integer(footer, 3)), limits.rows, "rows")
    leaves = len(_structs(footer, 2)) - 1
    if rows != footer[3] or any(len(_structs(group, 1)) != leaves or group[3] == 0 for group in groups):
        raise _malformed("its row groups are empty or do not add up to the table.")
    if 8 in footer or 9 in footer:
        raise _malformed("is encrypted or signed.")
    return footer


def _check_schema(elements: list[Struct]) -> list[str]:
    """Take only a flat table; return the names of its text columns."""
    _bounded(len(elements) - 1, _COLUMNS, "columns")
    if not elements or elements[0].get(5) != len(elements) - 1:
        raise _malformed("has nested columns.")
    names = []
    for element in elements[1:]:
        name = element.get(4)
        if not isinstance(name, bytes) or element.get(1) not in _TYPES or element.get(3) not in _REPETITIONS:
            raise _malformed(f"column {ascii(name)[:60]} is of no type we know.")
        if element.get(5, 0) or element.get(6, 0) not in _CONVERTED or b"." in name or not name.isascii():
            raise _malformed(f"column {ascii(name)[:60]} is of no form we know.")
        names.append(name.decode())
    if len(set(names)) != len(names):
        raise _malformed("a column stands twice.")
    return [name for name, element in zip(names, elements[1:], strict=True) if element[1] == _TEXT]


def _check_chunk(content: bytes, chunk: Struct, rows: int, limit_bytes: int) -> int:
    """Check one column of one row group; return the bytes that its pages decompress to."""
    about = _struct(chunk, 3)
    if chunk.keys() & {1, 8, 9}:
        raise _malformed("a column is encrypted or in another file.")
    if about.get(1) not in _TYPES or about.get(4) not in _CODECS:
        raise _malformed(f"a column has type {about.get(1)}, codec {about.get(4)}.")
    if any(encoding not in _ENCODINGS for encoding in _list(about, 2)):
        raise _malformed(f"a column has encodings {about[2]}."[:200])
    if _integer(about, 5) != rows:
        raise _malformed(f"a column has {about[5]} of {rows} values.")
    at = _integer(about, 9)
    if 11 in about and 0 < _integer(about, 11) < at:
        at = about[11]
    end = at + _integer(about, 7)
    if not 4 <= at <= end <= len(content) - 8:
        raise _malformed("a column lies outside the file.")
    return _walk(content, at, end, limit_bytes)


def _walk(content: bytes, at: int, end: int, limit_bytes: int) -> int:
    """Step from page header to page header; return the sum of the decompressed sizes."""
    decoded = pages = 0
    while at < end:
        reader = _Compact(content, at, end)
        page = reader.struct()
        decoded, pages = decoded + _integer(page, 2), pages + 1
        at = reader.at + _integer(page, 3)
        if at > end:
            raise _malformed("a page runs over the end of its column.")
        _bounded(pages, _PAGES, "pages")
        _bounded(decoded, limit_bytes, "decoded bytes")
        _check_page(page)
    return decoded


def _check_page(page: Struct) -> None:
    kind = page.get(1)
    if kind == _DATA_PAGE:
        encodings = [_struct(page, 5).get(number) for number in (2, 3, 4)]
    elif kind == _DATA_PAGE_V2:
        encodings = [_struct(page, 8).get(4)]
    elif kind == _DICTIONARY_PAGE:
        encodings = [_struct(page, 7).get(2)]
    else:
        raise _malformed(f"a page is of kind {kind}.")
    if any(encoding not in _ENCODINGS for encoding in encodings):
        raise _malformed(f"a page has encodings {encodings}.")


class _Compact:
    """The Thrift compact protocol, as far as Parquet uses it: a struct becomes a dictionary by field number."""

    def __init__(self, content: bytes, at: int, end: int) -> None:
        self._content = content
        self._end = end
        self._left = _VALUES
        self.at = at

    def struct(self, depth: int = 0) -> Struct:
        """Read the struct that begins here; ``at`` is behind it afterwards."""
        if depth > _NESTING:
            raise _malformed("its metadata is nested too deep.")
        found: Struct = {}
        number = 0
        while (head := self._byte()) != 0:
            step, form = head >> 4, head & 0x0F
            number = number + step if step else self._zigzag()
            if number in found:
                raise _malformed(f"field {number} of its metadata stands twice.")
            found[number] = form == 1 if form in (1, 2) else self._value(form, depth)
        return found

    def _value(self, form: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _malformed("its metadata holds too many values.")
        if form in (1, 2, 3):  # booleans in lists, bytes
            return self._byte()
        if form in (4, 5, 6):
            return self._zigzag()
        if form == 7:
            return self._bytes(8)
        if form == 8:
            return self._bytes(self._varint())
        if form in (9, 10):
            return self._items(depth)
        if form == 12:
            return self.struct(depth + 1)
        raise _malformed(f"its metadata has a field of type {form}.")

    def _items(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 != 15 else self._varint()
        return [self._value(head & 0x0F, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, count: int) -> bytes:
        if count > self._end - self.at:
            raise _malformed("its metadata runs over its end.")
        self.at += count
        return self._content[self.at - count : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while shift <= 63:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise _malformed("its metadata holds a number over 64 bits.")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _struct(struct: Struct, number: int) -> Struct:
    value = struct.get(number)
    if not isinstance(value, dict):
        raise _malformed(f"field {number} of its metadata is no struct.")
    return value


def _structs(struct: Struct, number: int) -> list[Struct]:
    values = _list(struct, number)
    if not all(isinstance(value, dict) for value in values):
        raise _malformed(f"field {number} of its metadata is no list of structs.")
    return values


def _list(struct: Struct, number: int) -> list[Any]:
    value = struct.get(number, [])
    if not isinstance(value, list):
        raise _malformed(f"field {number} of its metadata is no list.")
    return value


def _integer(struct: Struct, number: int) -> int:
    """A count or size, never negative."""
    value = struct.get(number)
    if not isinstance(value, int) or value < 0:
        raise _malformed(f"field {number} of its metadata is no size.")
    return value


def _bounded(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise TooLargeError(f"{count} {what}, at most {limit}.", field="Parquet", remedy="Split it.")


def _malformed(reason: str) -> MalformedError:
    return MalformedError(reason, field="Parquet", remedy="Write the file anew.")
