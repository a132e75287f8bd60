"""Columns of the kinds ``maritime.positions`` and ``maritime.vessels``, and their one form as Parquet.

All numbers are integers: 1e-7 degree (WGS 84), ms since the epoch, tenths of a knot, of a degree and of a metre. What
is not known is null; text is never empty. A file is read whole or refused whole: columns, types, nulls and ranges are
checked before a table is returned, and sizes before anything is decompressed.

A rendition leaves columns out. It keeps the order of the others, and ``read`` takes it with ``partial=True``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relto.bounds import BOUNDS
from relto.clock import EARLIEST_MS, LATEST_MS
from relto.errors import MalformedError, TooLargeError
from relto.formats.parquet import Limits, read_table
from relto.strict import FORBIDDEN_TEXT

POSITIONS = "maritime.positions"
VESSELS = "maritime.vessels"
MEDIA_TYPE = "application/vnd.apache.parquet"

_PARTICULARS: list[pa.Field[Any]] = [
    pa.field("imo", pa.uint32()),
    pa.field("name", pa.string()),
    pa.field("call_sign", pa.string()),
    pa.field("ship_type", pa.int16()),
    pa.field("length_m", pa.int16()),
    pa.field("width_m", pa.int16()),
    pa.field("draught_dm", pa.int16()),
]
_IDENTITY: list[pa.Field[Any]] = [
    pa.field("mmsi", pa.uint32(), nullable=False),
    pa.field("observed_ms", pa.int64(), nullable=False),
]
_MOTION: list[pa.Field[Any]] = [
    pa.field("lat_e7", pa.int32(), nullable=False),
    pa.field("lon_e7", pa.int32(), nullable=False),
    pa.field("sog_dkn", pa.int16()),
    pa.field("cog_ddeg", pa.int16()),
    pa.field("heading_deg", pa.int16()),
    pa.field("nav_status", pa.int8()),
    pa.field("transceiver", pa.string(), nullable=False),
]
_VOYAGE: list[pa.Field[Any]] = [pa.field("destination", pa.string()), pa.field("eta", pa.string())]

SCHEMAS: dict[str, pa.Schema] = {
    POSITIONS: pa.schema([*_IDENTITY, *_MOTION, *_PARTICULARS]),
    VESSELS: pa.schema([*_IDENTITY, *_PARTICULARS, *_VOYAGE]),
}

RANGES: dict[str, tuple[int, int]] = {
    "mmsi": (1, 999_999_999),
    "observed_ms": (EARLIEST_MS, LATEST_MS),
    "lat_e7": (-900_000_000, 900_000_000),
    "lon_e7": (-1_800_000_000, 1_800_000_000),
    "sog_dkn": (0, 10_220),  # aircraft report up to 1,022 knots
    "cog_ddeg": (0, 3599),
    "heading_deg": (0, 359),
    "nav_status": (0, 15),
    "imo": (1_000_000, 9_999_999),
    "ship_type": (1, 255),
    "length_m": (1, 1022),
    "width_m": (1, 126),
    "draught_dm": (1, 255),
}
_LIMITS = Limits(BOUNDS.content_bytes, BOUNDS.positions_per_batch, BOUNDS.content_bytes)
_TRANSCEIVERS = pa.array(["A", "B"])
_TURN_E7 = 3_600_000_000


class Span(NamedTuple):
    """First and last instant, and the box; ``west_e7 > east_e7`` where the box crosses 180 degrees."""

    from_ms: int
    until_ms: int
    south_e7: int
    west_e7: int
    north_e7: int
    east_e7: int


def write(table: pa.Table) -> bytes:
    """Write a table as Parquet with zstd, rows and columns in their order, without metadata of any library's own.

    The same table gives the same bytes with the same release of pyarrow.

    Raises:
        MalformedError: ``read`` would not take the table back.
    """
    schema = _schema_like(table.schema)
    _check(table, schema)
    table = table.replace_schema_metadata(None).cast(schema)
    sink = pa.BufferOutputStream()
    text = [field.name for field in schema if field.type == pa.string()]
    with pq.ParquetWriter(
        sink,
        schema,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=text,  # type: ignore[arg-type]  # names of columns, which the stubs do not know
        store_schema=False,
    ) as writer:
        if table.num_rows:  # an empty row group has columns that lie nowhere in the file
            writer.write_table(table, row_group_size=BOUNDS.positions_per_batch)
    return bytes(sink.getvalue())


def read(content: bytes, kind: str, *, partial: bool = False) -> pa.Table:
    """Read Parquet of one kind, and only that.

    Args:
        kind: ``maritime.positions`` or ``maritime.vessels``.
        partial: take a rendition as well, which has some of the columns in the same order.

    Raises:
        TooLargeError: rows or bytes, compressed or not, over the bounds.
        MalformedError: other columns or types, a null or a value out of range, or not Parquet.
    """
    encoded = read_table(content, _LIMITS)
    found = _plain(encoded.schema)
    expected = _subset(SCHEMAS[kind], found.names) if partial else SCHEMAS[kind]
    if not found.equals(expected):
        raise _wrong_columns(kind, found, SCHEMAS[kind])
    for name in found.names:
        if found.field(name).type == pa.string():
            _check_lengths(encoded[name], name)
    table = encoded.cast(expected)
    _check(table, expected)
    return table


def batches(table: pa.Table, rows: int = BOUNDS.positions_per_batch) -> Iterator[pa.Table]:
    """Cut a table into batches of at most ``rows``, in order of time; rows of one instant keep their order."""
    ordered = table.take(pc.sort_indices(table, sort_keys=[("observed_ms", "ascending")]))
    for start in range(0, ordered.num_rows, rows):
        yield ordered.slice(start, rows)


def span(table: pa.Table) -> Span:
    """Return the time and the smallest box that hold all positions.

    Raises:
        MalformedError: the table is empty.
    """
    if table.num_rows == 0:
        raise MalformedError("holds no position.", field=POSITIONS, remedy="Leave the batch out.")
    from_ms, until_ms = _extent(table["observed_ms"])
    south, north = _extent(table["lat_e7"])
    west, east = _edges(table["lon_e7"].to_numpy().astype(np.int64))
    return Span(from_ms, until_ms, south, west, north, east)


def _extent(column: pa.ChunkedArray[Any]) -> tuple[int, int]:
    least_most: dict[str, Any] = pc.min_max(column).as_py()  # type: ignore[assignment]  # a struct, say the stubs not
    return least_most["min"], least_most["max"]


def _edges(lon_e7: npt.NDArray[np.int64]) -> tuple[int, int]:
    """West and east of the narrower of two boxes: the plain one, and the one that crosses 180 degrees."""
    west, east = int(lon_e7.min()), int(lon_e7.max())
    turned = np.where(lon_e7 < 0, lon_e7 + _TURN_E7, lon_e7)
    far_west, far_east = int(turned.min()), int(turned.max())
    if far_east - far_west < east - west:
        return _fold(far_west), _fold(far_east)
    return west, east


def _fold(lon_e7: int) -> int:
    return lon_e7 - _TURN_E7 if lon_e7 > _TURN_E7 // 2 else lon_e7


def _schema_like(found: pa.Schema) -> pa.Schema:
    """The schema of the kind that has all these columns, cut down to them."""
    for kind, schema in SCHEMAS.items():
        expected = _subset(schema, found.names)
        if expected.names == found.names:
            if expected.types != found.types:
                raise _wrong_columns(kind, found, schema)
            return expected
    raise _wrong_columns(POSITIONS, found, SCHEMAS[POSITIONS])


def _subset(schema: pa.Schema, names: list[str]) -> pa.Schema:
    kept = [field for field in schema if field.name in names]
    return pa.schema(kept or list(schema))


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with text as text, where it is read as dictionaries."""
    fields = []
    for field in schema:
        is_text = pa.types.is_dictionary(field.type) and field.type.value_type == pa.string()
        fields.append(pa.field(field.name, pa.string(), field.nullable) if is_text else field.remove_metadata())
    return pa.schema(fields)


def _wrong_columns(kind: str, found: pa.Schema, expected: pa.Schema) -> MalformedError:
    has, wants = _columns(found), _columns(expected)
    wrong = sorted(has - wants) + [f"no {column}" for column in sorted(wants - has)]
    reason = f"wrong columns: {', '.join(wrong) or 'order'}."[: BOUNDS.text_chars]
    return MalformedError(reason, field=kind, remedy="See docs/spec for the columns of this kind.")


def _columns(schema: pa.Schema) -> set[str]:
    return {f"{field.name[:40]} {field.type}{'' if field.nullable else ' not null'}" for field in schema}


def _check_lengths(column: pa.ChunkedArray[Any], name: str) -> None:
    """Bound each text of a dictionary before it is repeated for every row."""
    for chunk in column.chunks:
        longest = pc.max(pc.utf8_length(chunk.dictionary)).as_py()  # type: ignore[attr-defined, arg-type, var-annotated]
        if longest is not None and longest > BOUNDS.text_chars:
            raise TooLargeError(f"{longest} characters, at most {BOUNDS.text_chars}.", field=name)


def _check(table: pa.Table, schema: pa.Schema) -> None:
    if table.num_rows > BOUNDS.positions_per_batch:
        raise TooLargeError(f"{table.num_rows} rows, at most {BOUNDS.positions_per_batch}.", remedy="Split it.")
    for field in schema:
        column = table[field.name]
        if not field.nullable and column.null_count:
            raise MalformedError(f"{column.null_count} nulls.", field=field.name, remedy="Leave the rows out.")
        if field.name in RANGES:
            _check_range(column, field.name)
        else:
            _check_text(column, field.name)


def _check_range(column: pa.ChunkedArray[Any], name: str) -> None:
    least, most = _extent(column)
    low, high = RANGES[name]
    if least is not None and not low <= least <= most <= high:
        raise MalformedError(f"{least} to {most}, outside {low} to {high}.", field=name, remedy="Leave them out.")


def _check_text(column: pa.ChunkedArray[Any], name: str) -> None:
    values = pc.unique(column).drop_null()
    if name == "transceiver" and not pc.all(pc.is_in(values, _TRANSCEIVERS), min_count=0).as_py():
        raise MalformedError("neither A nor B.", field=name, remedy="Give the class of the transceiver.")
    lengths = _extent(pc.utf8_length(values))
    if lengths[0] is not None and not 1 <= lengths[0] <= lengths[1] <= BOUNDS.text_chars:
        raise MalformedError(f"texts of {lengths[0]} to {lengths[1]} characters.", field=name, remedy="1 to 256.")
    for text in values.to_pylist():
        if FORBIDDEN_TEXT.search(str(text)) is not None:
            raise MalformedError("holds characters that deceive a reader.", field=name, remedy="Remove them.")
