"""Tables as bytes: Parquet, the same bytes for the same table, and bounded before anything is decoded."""

from __future__ import annotations

import pyarrow as pa
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
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MalformedError(f"not a readable Parquet: {error}", field="columns", remedy="Write it anew.") from None
    if table.num_rows != footer.num_rows:
        raise MalformedError("fewer rows than its footer says.", field="columns", remedy="Write it anew.")
    return table
