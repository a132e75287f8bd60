"""Parquet of positions and vessels: strict both ways, and bounded before anything is decoded."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.errors import MalformedError, PeerError, TooLargeError
from relto.formats.positions import POSITIONS, RANGES, SCHEMAS, VESSELS, Span, batches, read, span, write

pytestmark = pytest.mark.pure

ROW: Mapping[str, Any] = {
    "mmsi": 563_012_345,
    "observed_ms": 1_760_000_000_123,
    "lat_e7": 12_345_678,
    "lon_e7": 1_038_765_432,
    "sog_dkn": 121,
    "cog_ddeg": 3599,
    "heading_deg": None,
    "nav_status": 0,
    "transceiver": "A",
    "imo": 9_516_430,
    "name": "STRAITS TRADER",
    "call_sign": None,
    "ship_type": 70,
    "length_m": 190,
    "width_m": 32,
    "draught_dm": 101,
}


def table(*rows: Mapping[str, Any], kind: str = POSITIONS) -> pa.Table:
    return pa.Table.from_pylist([{**ROW, **row} for row in rows], schema=SCHEMAS[kind])


def as_parquet(found: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(found, sink, **{"store_schema": False, "compression": "zstd", **options})
    return sink.getvalue()


def column(name: str, kind: str) -> st.SearchStrategy[Any]:
    field = SCHEMAS[kind].field(name)
    values: st.SearchStrategy[Any]
    if name in RANGES:
        values = st.integers(*RANGES[name])
    elif name == "transceiver":
        values = st.sampled_from("AB")
    else:
        values = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), min_size=1, max_size=20).filter(
            lambda text: not any(0x7F <= ord(character) <= 0x9F for character in text)
        )
    return st.none() | values if field.nullable else values


def rows(kind: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({name: column(name, kind) for name in SCHEMAS[kind].names}), max_size=8)


@pytest.mark.parametrize("kind", [POSITIONS, VESSELS])
def test_what_was_written_is_read_back_and_written_alike(kind: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(rows(kind))
    def holds(found: list[dict[str, Any]]) -> None:
        written = pa.Table.from_pylist(found, schema=SCHEMAS[kind])
        content = write(written)
        again = read(content, kind)
        assert again.equals(written)
        assert again.schema.equals(SCHEMAS[kind], check_metadata=True)
        assert write(again) == content

    holds()


def test_chunks_offsets_and_metadata_leave_no_trace_in_the_bytes() -> None:
    whole = table(*({"mmsi": mmsi} for mmsi in range(1, 9)))
    content = write(whole)
    assert write(pa.concat_tables([whole.slice(0, 3), whole.slice(3)])) == content
    assert write(whole.replace_schema_metadata({"pandas": "{}"})) == content
    assert b"pandas" not in content
    assert b"ARROW:schema" not in content
    assert pq.read_metadata(io.BytesIO(content)).metadata is None


def test_a_rendition_without_some_columns_is_read_only_where_it_is_expected() -> None:
    content = write(table({}, {}).select(["observed_ms", "lat_e7", "lon_e7"]))
    assert read(content, POSITIONS, partial=True).column_names == ["observed_ms", "lat_e7", "lon_e7"]
    with pytest.raises(MalformedError, match="no mmsi uint32 not null"):
        read(content, POSITIONS)


def test_a_rendition_keeps_the_order_of_columns() -> None:
    with pytest.raises(MalformedError, match="wrong columns"):
        write(table({}).select(["lat_e7", "observed_ms"]))
    with pytest.raises(MalformedError, match="wrong columns"):
        read(as_parquet(table({}).select(["lat_e7", "observed_ms"])), POSITIONS, partial=True)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_value_out_of_range_is_neither_written_nor_read(name: str) -> None:
    kind = POSITIONS if name in SCHEMAS[POSITIONS].names else VESSELS
    low, high = RANGES[name]
    for value in (low - 1, high + 1):
        try:
            found = table({name: value}, kind=kind)
        except (OverflowError, pa.ArrowInvalid):
            continue  # the column's type cannot hold it
        for attempt in (lambda found=found: write(found), lambda found=found: read(as_parquet(found), kind)):
            with pytest.raises(MalformedError) as caught:
                attempt()
            assert caught.value.field == name


@pytest.mark.parametrize(
    "row",
    [
        {"transceiver": "C"},
        {"name": ""},
        {"name": "x" * (BOUNDS.text_chars + 1)},
        {"name": "A\u202eB"},
        {"name": "\x00"},
    ],
    ids=["class", "empty", "long", "turned", "nul"],
)
def test_text_that_deceives_is_neither_written_nor_read(row: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        write(table(row))
    with pytest.raises(MalformedError):
        read(as_parquet(table(row)), POSITIONS)


def retyped(name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Table:
    found = table({})
    place = found.schema.get_field_index(name)
    return found.set_column(place, pa.field(name, kind, nullable), found[name].cast(kind))


@pytest.mark.parametrize(
    "found",
    [
        retyped("mmsi", pa.int64()),
        retyped("observed_ms", pa.timestamp("ms")),
        retyped("lat_e7", pa.float64()),
        retyped("lat_e7", pa.int32(), nullable=True),
        table({}).append_column("remark", pa.array(["x"])),
        table({}).drop_columns(["imo"]),
        table({}).rename_columns([*table({}).column_names[:-1], "mmsi"]),
        table({}).append_column("lists", pa.array([[1]])),
    ],
    ids=["wide", "timestamp", "float", "nullable", "more", "fewer", "twice", "nested"],
)
def test_other_columns_are_refused(found: pa.Table) -> None:
    with pytest.raises(MalformedError):
        read(as_parquet(found), POSITIONS)


def test_one_kind_is_not_read_as_the_other() -> None:
    with pytest.raises(MalformedError, match=r"maritime\.vessels: wrong columns"):
        read(write(table({})), VESSELS)


def test_hidden_metadata_is_refused() -> None:
    with pytest.raises(MalformedError, match="metadata"):
        read(as_parquet(table({}), store_schema=True), POSITIONS)


@pytest.mark.parametrize("codec", ["lz4", "brotli"])
def test_other_codecs_are_refused(codec: str) -> None:
    with pytest.raises(MalformedError, match="codec"):
        read(as_parquet(table({}), compression=codec), POSITIONS)


def test_a_null_that_may_not_be_is_not_written() -> None:
    with pytest.raises(MalformedError, match="1 nulls") as caught:
        write(table({}, {"mmsi": None}))
    assert caught.value.field == "mmsi"


def test_more_rows_than_a_batch_are_refused() -> None:
    many = pa.concat_tables([table({})] * (BOUNDS.positions_per_batch + 1))
    with pytest.raises(TooLargeError, match="100001 rows"):
        write(many)
    with pytest.raises(TooLargeError, match="100001 rows"):
        read(as_parquet(many), POSITIONS)


def test_a_page_that_unpacks_to_more_than_allowed_is_not_unpacked() -> None:
    text = "x" * 5_000_000
    found = table(*[{}] * 20)
    bomb = found.set_column(found.schema.get_field_index("name"), "name", pa.array([text] * 20))
    content = as_parquet(bomb, use_dictionary=False)
    assert len(content) < 100_000
    with pytest.raises(TooLargeError, match="decoded bytes"):
        read(content, POSITIONS)


def test_one_long_text_repeated_by_a_dictionary_is_not_expanded() -> None:
    rows_of_it = pa.array([0] * BOUNDS.positions_per_batch, type=pa.int32())
    names = pa.DictionaryArray.from_arrays(rows_of_it, pa.array(["x" * 1_000_000]))
    found = pa.concat_tables([table({})] * BOUNDS.positions_per_batch)
    bomb = found.set_column(found.schema.get_field_index("name"), "name", names)
    with pytest.raises(TooLargeError, match="1000000 characters"):
        read(as_parquet(bomb), POSITIONS)


def test_no_byte_of_a_file_can_end_the_process() -> None:
    """Some footers make the decoder abort; each changed byte must raise our own error or be without effect."""
    content = write(table({}, {"mmsi": 2}).select(["mmsi", "observed_ms", "transceiver"]))
    for place in range(len(content)):
        for change in (0x01, 0x20, 0xFF):
            changed = bytearray(content)
            changed[place] ^= change
            try:
                read(bytes(changed), POSITIONS, partial=True)
            except PeerError:
                continue


def test_no_part_of_a_file_is_taken_for_the_whole() -> None:
    content = write(table({}))
    for size in range(0, len(content), 7):
        with pytest.raises(MalformedError):
            read(content[:size], POSITIONS)
    with pytest.raises(MalformedError):
        read(b"PAR1" + b"\xff" * 64 + b"PAR1", POSITIONS)


def test_batches_are_in_order_of_time_and_rows_of_one_instant_keep_theirs() -> None:
    found = table(*({"mmsi": mmsi, "observed_ms": instant} for mmsi, instant in enumerate([5, 1, 5, 3, 1], start=1)))
    parts = list(batches(found, rows=2))
    assert [part.num_rows for part in parts] == [2, 2, 1]
    assert pa.concat_tables(parts)["mmsi"].to_pylist() == [2, 5, 4, 1, 3]
    assert list(batches(found.slice(0, 0))) == []


def test_a_span_is_the_smallest_box_also_across_180_degrees() -> None:
    pacific = table(
        {"observed_ms": 9, "lat_e7": -50, "lon_e7": 1_790_000_000},
        {"observed_ms": 7, "lat_e7": 70, "lon_e7": -1_780_000_000},
    )
    assert span(pacific) == Span(7, 9, -50, 1_790_000_000, 70, -1_780_000_000)
    atlantic = table({"lon_e7": -100}, {"lon_e7": 300})
    assert span(atlantic)[3::2] == (-100, 300)
    point = span(table({}))
    assert (point.west_e7, point.south_e7) == (point.east_e7, point.north_e7) == (ROW["lon_e7"], ROW["lat_e7"])
    with pytest.raises(MalformedError, match="no position"):
        span(table())
