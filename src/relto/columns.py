"""Tables as bytes: Parquet, the same bytes for the same table, and bounded before anything is decoded."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relto.bounds import BOUNDS
from relto.errors import MalformedError, TooLargeError

_CELL_BYTES = 4096  # no column of ours has longer values; a larger footer figure is a bomb


def write_table(table: pa.Table) -> bytes:
    """Write a table as Parquet (zstd). Row order and column order are kept; no metadata but the schema is written."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(None),
        sink,
        compression="zstd",
        version="2.6",
        store_schema=False,
        write_statistics=False,
        row_group_size=BOUNDS.positions_per_batch,
    )
    return sink.getvalue().to_pybytes()


def read_table(content: bytes, *, rows: int = BOUNDS.positions_per_batch) -> pa.Table:
    """Read a Parquet table after its footer has been held against the bounds.

    Raises:
        TooLargeError: more rows or more decompressed bytes than allowed, by the footer's own figures.
        MalformedError: not Parquet, damaged, or other than its footer says.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        footer = file.metadata
        plain = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        if footer.num_rows > rows or plain > min(rows * footer.num_columns * _CELL_BYTES, 4 * BOUNDS.content_bytes):
            raise TooLargeError(f"{footer.num_rows} rows of {plain} bytes.", field="columns", remedy="Split it.")
        table = _read_text_once(content, footer, 4 * BOUNDS.content_bytes)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MalformedError(f"not a readable Parquet: {error}", field="columns", remedy="Write it anew.") from None
    if table.num_rows != footer.num_rows:
        raise MalformedError("fewer rows than its footer says.", field="columns", remedy="Write it anew.")
    return table


def _read_text_once(content: bytes, footer: pq.FileMetaData, limit_bytes: int) -> pa.Table:
    """Decode with text as dictionaries, and spell it out only where that stays within the bound.

    One long text and 100,000 equal indices are a bomb that no figure in the file shows.
    """
    schema = footer.schema
    names = [schema.column(at).name for at in range(footer.num_columns)]
    text = [name for at, name in enumerate(names) if schema.column(at).physical_type == "BYTE_ARRAY"]
    table = pq.ParquetFile(pa.BufferReader(content), read_dictionary=text).read()
    spelled = 0
    for name in text:
        for chunk in table[name].chunks:
            coded = cast("pa.DictionaryArray[Any, Any]", chunk)  # by read_dictionary
            lengths = np.asarray(pc.binary_length(cast("pa.StringArray", coded.dictionary)), dtype=np.int64)
            spelled += int(lengths[np.asarray(coded.indices.drop_null())].sum()) if len(lengths) else 0
    if spelled > limit_bytes:
        raise TooLargeError(f"{spelled} bytes of text.", field="columns", remedy="Split it.")
    for name in text:
        at = table.schema.get_field_index(name)
        plain = table[name].cast(table.schema.field(at).type.value_type)
        table = table.set_column(at, table.schema.field(at).with_type(plain.type), plain)
    return table
