"""Archives of AIS that others have decoded: MarineCadastre (NOAA) as CSV or Parquet, and the Danish Maritime Authority.

A row whose place, time, identity or motion is out of range is rejected with a reason; particulars out of range (a ship
of no length, an IMO number of nine digits) are left out with a remark, because the position beside them is good. All
times are UTC. The columns must be those of the publisher, in any order; one error names all that are wrong.

Sources: the data dictionaries that MarineCadastre.gov and the Danish Maritime Authority publish beside the files.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.errors import MalformedError, TooLargeError
from relto.formats.ais_scan import Ints, Mask, split
from relto.formats.ais_table import NONE, AisIntake, position_table, vessel_table
from relto.formats.parquet import Limits, read_table
from relto.formats.positions import RANGES, SCHEMAS, VESSELS
from relto.formats.rejects import Tally
from relto.strict import FORBIDDEN_TEXT

# no value of any column comes near these
_ABSENT = -(1 << 62)
_BAD = _ABSENT + 1
_LARGEST = 1e11  # no number of an archive comes near it, and at 1e-7 it still is an int64

# The names of NOAA until 2024 and since 2025, side by side
_NOAA_NAMES = {
    "MMSI": "mmsi",
    "BaseDateTime": "base_date_time",
    "LAT": "latitude",
    "LON": "longitude",
    "SOG": "sog",
    "COG": "cog",
    "Heading": "heading",
    "VesselName": "vessel_name",
    "IMO": "imo",
    "CallSign": "call_sign",
    "VesselType": "vessel_type",
    "Status": "status",
    "Length": "length",
    "Width": "width",
    "Draft": "draft",
    "Cargo": "cargo",
    "TransceiverClass": "transceiver",
}
_DMA_NAMES = (
    "# Timestamp",
    "Type of mobile",
    "MMSI",
    "Latitude",
    "Longitude",
    "Navigational status",
    "ROT",
    "SOG",
    "COG",
    "Heading",
    "IMO",
    "Callsign",
    "Name",
    "Ship type",
    "Cargo type",
    "Width",
    "Length",
    "Type of position fixing device",
    "Draught",
    "Destination",
    "ETA",
    "Data source type",
)
_PARQUET_LIMITS = Limits(BOUNDS.archive_bytes, BOUNDS.archive_rows, BOUNDS.archive_decoded_bytes)

_NOAA_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,6})?)Z?", re.ASCII)
_DMA_TIME = re.compile(r"(\d\d)/(\d\d)/(\d{4}) (\d\d:\d\d:\d\d)", re.ASCII)
_NUMBER = r"^[+-]?[0-9]{1,12}(\.[0-9]{0,12})?$"
_IMO = re.compile(r"(?:IMO)?(\d{1,10})", re.ASCII)
_UNKNOWN = frozenset({"", "Unknown", "Undefined", "Unknown value", "Reserved"})

_DMA_STATUS = {
    "Under way using engine": 0,
    "At anchor": 1,
    "Not under command": 2,
    "Restricted maneuverability": 3,
    "Constrained by her draught": 4,
    "Moored": 5,
    "Aground": 6,
    "Engaged in fishing": 7,
    "Under way sailing": 8,
    "Reserved for future amendment [HSC]": 9,
    "Reserved for future amendment [WIG]": 10,
    "Power-driven vessel towing astern": 11,
    "Power-driven vessel pushing ahead or towing alongside": 12,
    "Reserved for future use": 13,
    "AIS-SART": 14,
    "AIS-SART (active)": 14,
}
_DMA_SHIP_TYPES = {
    "WIG": 20,
    "Fishing": 30,
    "Towing": 31,
    "Towing long/wide": 32,
    "Dredging": 33,
    "Diving": 34,
    "Military": 35,
    "Sailing": 36,
    "Pleasure": 37,
    "HSC": 40,
    "Pilot": 50,
    "SAR": 51,
    "Tug": 52,
    "Port tender": 53,
    "Anti-pollution": 54,
    "Law enforcement": 55,
    "Spare 1": 56,
    "Spare 2": 57,
    "Medical": 58,
    "Not party to conflict": 59,
    "Passenger": 60,
    "Cargo": 70,
    "Tanker": 80,
    "Other": 90,
}
_NO_VESSEL, _UNKNOWN_MOBILE, _AIRCRAFT = "", "?", "S"
_NOAA_MOBILES = {"A": "A", "B": "B"}
_DMA_MOBILES = {"Class A": "A", "Class B": "B", "SAR Airborne": _AIRCRAFT}

_MOTION = {
    "sog_dkn": "SPEED_OUT_OF_RANGE",
    "cog_ddeg": "COURSE_OUT_OF_RANGE",
    "heading_deg": "HEADING_OUT_OF_RANGE",
}
_NOT_AVAILABLE = {"sog_dkn": 1023, "cog_ddeg": 3600, "heading_deg": 511}
_LENIENT = {
    "nav_status": "STATUS_INVALID",
    "imo": "IMO_INVALID",
    "ship_type": "SHIP_TYPE_INVALID",
    "length_m": "LENGTH_INVALID",
    "width_m": "WIDTH_INVALID",
    "draught_dm": "DRAUGHT_INVALID",
}
_LAT_NONE, _LON_NONE = 910_000_000, 1_810_000_000
_SHIP_SOG_LAST_DKN = 1022

_BAD_TEXT = "\0"  # stands for a text that was left out; it is never in a table

Column = Any  # of pyarrow; its stubs know too few of the methods
Marks = npt.NDArray[np.str_]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a publisher; ``renamed`` holds other spellings of its own."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def name(self, spelling: str) -> str:
        return self.renamed.get(spelling, spelling)

    def check(self, spellings: list[str]) -> None:
        """Name all wrong columns at once."""
        found = [self.name(spelling) for spelling in spellings]
        wrong = [f"no {name}" for name in self.required if name not in found]
        wrong += [f"unknown {name[:40]}" for name in found if name not in (*self.required, *self.optional)]
        wrong += sorted({f"{name} twice" for name in found if found.count(name) > 1 and name in self.required})
        if wrong:
            reason = f"wrong columns: {', '.join(wrong)}."[: 4 * BOUNDS.text_chars]
            raise MalformedError(reason, field="header", remedy="Send the file with the publisher's columns.")


# NOAA misspelt one name for some years; older Danish files lack the distances to the edges of the hull
_NOAA_RENAMED = {late: early for early, late in _NOAA_NAMES.items()} | {"TranscieverClass": "TransceiverClass"}
_NOAA_COLUMNS = _Columns(tuple(_NOAA_NAMES), renamed=_NOAA_RENAMED)
_DMA_COLUMNS = _Columns(_DMA_NAMES, optional=tuple("ABCD"))


@dataclass(frozen=True, slots=True)
class _Rows:
    """An archive as columns of integers, ``_ABSENT`` and ``_BAD`` among them, and of text.

    Args:
        unit: what a row is called in a reject; ``place`` is its number.
        mobiles: A or B for vessels, or one of the marks for what is none.
    """

    unit: str
    place: Ints
    numbers: Mapping[str, Ints]
    texts: Mapping[str, _Text]
    mobiles: Marks


@dataclass(frozen=True, slots=True)
class _Text:
    """A column of cleaned text, and where it held characters that deceive a reader."""

    values: pa.StringArray
    bad: Mask


def read_noaa_csv(content: bytes, *, received_ms: int | None = None, source: str = "noaa") -> AisIntake:
    """Read a MarineCadastre file of daily positions in CSV.

    Args:
        received_ms: when the file arrived; rows dated more than ``BOUNDS.future_ms`` later are rejected.
        source: the name of the file, for the summary.

    Raises:
        TooLargeError: bytes or rows over the bounds of archives.
        MalformedError: other columns, or not CSV.
    """
    tally = Tally(source)
    table, place = _read_csv(content, _NOAA_COLUMNS, tally)
    return _intake(_noaa_rows(table, "line", place), tally, received_ms)


def read_noaa_parquet(content: bytes, *, received_ms: int | None = None, source: str = "noaa") -> AisIntake:
    """Read the same columns from Parquet; see ``read_noaa_csv``."""
    table = read_table(content, _PARQUET_LIMITS, with_metadata=True)
    _NOAA_COLUMNS.check(table.column_names)
    table = table.rename_columns([_NOAA_COLUMNS.name(spelling) for spelling in table.column_names])
    try:
        rows = _noaa_rows(table, "row", np.arange(1, table.num_rows + 1))
    except pa.ArrowException as error:
        raise MalformedError(f"a column has another type: {error}", field=source, remedy="See its CSV.") from None
    return _intake(rows, Tally(source), received_ms)


def read_dma_csv(content: bytes, *, received_ms: int | None = None, source: str = "dma") -> AisIntake:
    """Read a daily file of the Danish Maritime Authority.

    Base stations, aids to navigation and other senders that are no vessel are ignored. Every vessel's particulars and
    voyage are one row of ``vessels`` when first seen, and one more whenever they differ. See ``read_noaa_csv``.
    """
    tally = Tally(source)
    table, place = _read_csv(content, _DMA_COLUMNS, tally)
    return _intake(_dma_rows(table, place), tally, received_ms, with_vessels=True)


def _read_csv(content: bytes, columns: _Columns, tally: Tally) -> tuple[pa.Table, Ints]:
    """Split a CSV into columns of text; return them with the line number of each row.

    A row never spans lines: a line with an odd number of quotes, or with a return inside, is rejected, or it would
    swallow its neighbours.
    """
    content, place = _sound_lines(_utf8(content, tally), tally)
    header, _, body = content.partition(b"\n")
    spellings = next(csv.reader([header.decode().strip("\r")]))
    columns.check(spellings)
    names, place = [columns.name(spelling) for spelling in spellings], place[1:]
    if len(place) == 0:
        return pa.table({name: pa.array([], type=pa.string()) for name in names}), place
    misfits: list[int] = []

    def on_misfit(row: arrow_csv.InvalidRow) -> Literal["skip"]:
        index = (row.number or 1) - 1  # only a threaded reader would not know the number
        misfits.append(index)
        tally.reject(f"line {place[index]}", "COLUMNS", f"{row.actual_columns}, not {row.expected_columns}")
        return "skip"

    try:
        table = arrow_csv.read_csv(
            io.BytesIO(body),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=16 * BOUNDS.csv_line_bytes, column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(invalid_row_handler=on_misfit),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, ValueError) as error:
        raise MalformedError(f"is not CSV: {error}", remedy="Send the file as published.") from None
    return table, np.delete(place, misfits)


def _utf8(content: bytes, tally: Tally) -> bytes:
    if len(content) > BOUNDS.archive_bytes:
        raise TooLargeError(f"{len(content)} bytes, at most {BOUNDS.archive_bytes}.", remedy="Split the file.")
    try:
        content.decode()
    except UnicodeDecodeError:
        tally.remark("NOT_UTF8")
        content = content.decode(errors="replace").encode()
    return content.removeprefix(b"\xef\xbb\xbf")


def _sound_lines(content: bytes, tally: Tally) -> tuple[bytes, Ints]:
    """Leave out empty lines and those that no CSV reader could take alone; return the rest and their numbers."""
    lines = split(content)
    if len(lines) == 0:
        raise MalformedError("is empty.", remedy="Send the file as published.")
    if len(lines) > BOUNDS.archive_rows + 1:
        raise TooLargeError(f"{len(lines) - 1} rows, at most {BOUNDS.archive_rows}.", remedy="Split the file.")
    quotes, returns = (np.concatenate([[0], np.cumsum(lines.buffer == ord(mark))]) for mark in '"\r')
    is_long = lines.ends - lines.starts > BOUNDS.csv_line_bytes
    is_broken = ((quotes[lines.ends] - quotes[lines.starts]) % 2 == 1) | (returns[lines.ends] > returns[lines.starts])
    is_broken &= ~is_long
    tally.reject_rows("line", lines.numbers[is_long].tolist(), "LINE_TOO_LONG", f"over {BOUNDS.csv_line_bytes} bytes")
    tally.reject_rows("line", lines.numbers[is_broken].tolist(), "BROKEN_LINE", "an open quote or a bare return")
    sound = np.flatnonzero(~(is_long | is_broken))
    if len(sound) != lines.numbers[-1]:
        content = b"\n".join(lines.text(index) for index in sound)
    return content, lines.numbers[sound]


def _noaa_rows(table: pa.Table, unit: str, place: Ints) -> _Rows:
    numbers = {
        "mmsi": _numbers(table["MMSI"], 1),
        "observed_ms": _times(table["BaseDateTime"], _noaa_time),
        "lat_e7": _numbers(table["LAT"], 1e7),
        "lon_e7": _numbers(table["LON"], 1e7),
        "sog_dkn": _numbers(table["SOG"], 10),
        "cog_ddeg": _numbers(table["COG"], 10),
        "heading_deg": _numbers(table["Heading"], 1),
        "nav_status": _numbers(table["Status"], 1),
        "imo": _codes(table["IMO"], _imo),
        "ship_type": _numbers(table["VesselType"], 1),
        "length_m": _numbers(table["Length"], 1),
        "width_m": _numbers(table["Width"], 1),
        "draught_dm": _numbers(table["Draft"], 10),
    }
    texts = {"name": _text(table["VesselName"], _clean), "call_sign": _text(table["CallSign"], _clean)}
    mobiles = _mobiles(table["TransceiverClass"], lambda text: _NOAA_MOBILES.get(text, _UNKNOWN_MOBILE))
    return _Rows(unit, place, numbers, texts, mobiles)


def _dma_rows(table: pa.Table, place: Ints) -> _Rows:
    numbers = {
        "mmsi": _numbers(table["MMSI"], 1),
        "observed_ms": _times(table["# Timestamp"], _dma_time),
        "lat_e7": _numbers(table["Latitude"], 1e7),
        "lon_e7": _numbers(table["Longitude"], 1e7),
        "sog_dkn": _numbers(table["SOG"], 10),
        "cog_ddeg": _numbers(table["COG"], 10),
        "heading_deg": _numbers(table["Heading"], 1),
        "nav_status": _codes(table["Navigational status"], lambda text: _DMA_STATUS.get(text, _BAD)),
        "imo": _codes(table["IMO"], _imo),
        "ship_type": _codes(table["Ship type"], lambda text: _DMA_SHIP_TYPES.get(text, _BAD)),
        "length_m": _numbers(table["Length"], 1),
        "width_m": _numbers(table["Width"], 1),
        "draught_dm": _numbers(table["Draught"], 10),
    }
    texts = {
        "name": _text(table["Name"], _clean),
        "call_sign": _text(table["Callsign"], _clean),
        "destination": _text(table["Destination"], _clean),
        "eta": _text(table["ETA"], _dma_eta),
    }
    mobiles = _mobiles(table["Type of mobile"], lambda text: _DMA_MOBILES.get(text, _NO_VESSEL))
    return _Rows("line", place, numbers, texts, mobiles)


def _numbers(column: Column, scale: float) -> Ints:
    """Read decimal numbers and round them at this scale."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        gaps, readable = _mask(column.is_null()), _mask(column.is_valid())
    else:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        gaps = _mask(pc.equal(pc.fill_null(text, ""), pa.scalar("")))
        readable = _mask(pc.match_substring_regex(pc.fill_null(text, ""), _NUMBER))
        column = pc.if_else(pa.array(readable), text, None)
    values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy()
    gaps |= np.isnan(values)
    usable = readable & (np.abs(values) < _LARGEST)
    scaled = np.rint(np.where(usable & ~gaps, values, 0.0) * scale).astype(np.int64)
    return np.where(gaps, _ABSENT, np.where(usable, scaled, _BAD))


def _mask(column: Column) -> Mask:
    return np.array(column.to_numpy(), dtype=np.bool_)


def _each(column: Column, read: Callable[[str], T]) -> tuple[list[T], Ints]:
    """Apply a function once to each text that occurs; return the values, and for each row which of them it has."""
    coded = pc.fill_null(column.cast(pa.string()), "").combine_chunks().dictionary_encode()
    return [read(text.strip()) for text in coded.dictionary.to_pylist()], coded.indices.to_numpy()


def _codes(column: Column, read: Callable[[str], int]) -> Ints:
    values, rows = _each(column, lambda text: _ABSENT if text in _UNKNOWN else read(text))
    return np.array(values, dtype=np.int64)[rows]


def _mobiles(column: Column, read: Callable[[str], str]) -> Marks:
    values, rows = _each(column, read)
    return np.array(values, dtype=np.str_)[rows]


def _times(column: Column, read: Callable[[str], int]) -> Ints:
    if not pa.types.is_timestamp(column.type):
        return _codes(column, read)
    instants = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64())
    return np.array(pc.fill_null(instants, _BAD).to_numpy(), dtype=np.int64)


def _text(column: Column, read: Callable[[str], str | None]) -> _Text:
    values, rows = _each(column, read)
    bad = np.array([text == _BAD_TEXT for text in values], dtype=np.bool_)
    texts = pa.array([None if text == _BAD_TEXT else text for text in values], type=pa.string())
    return _Text(texts.take(pa.array(rows, type=pa.int32())), bad[rows])


def _clean(text: str) -> str | None:
    """Text up to its first ``@``, as in the message it came from."""
    text = text.split("@", 1)[0].strip()
    if text in _UNKNOWN:
        return None
    if len(text) > BOUNDS.text_chars or "\ufffd" in text or FORBIDDEN_TEXT.search(text) is not None:
        return _BAD_TEXT
    return text


def _imo(text: str) -> int:
    match = _IMO.fullmatch(text)
    if match is None:
        return _BAD
    return int(match.group(1)) or _ABSENT


def _noaa_time(text: str) -> int:
    return _instant(_NOAA_TIME, text, r"\1T\2Z")


def _dma_time(text: str) -> int:
    return _instant(_DMA_TIME, text, r"\3-\2-\1T\4Z")


def _instant(form: re.Pattern[str], text: str, template: str) -> int:
    match = form.fullmatch(text)
    try:
        return _BAD if match is None else parse_utc(match.expand(template))
    except MalformedError:
        return _BAD


def _dma_eta(text: str) -> str | None:
    """``MM-DDThh:mmZ``, as from the message: the year in the file is the publisher's guess."""
    match = _DMA_TIME.fullmatch(text)
    if match is None:
        return None if text in _UNKNOWN else _BAD_TEXT
    day, month, _, time = match.groups()
    return f"{month}-{day}T{time[:5]}Z"


class _Sieve:
    """Which rows are still to be accepted. A row leaves once, for the first reason that holds."""

    def __init__(self, tally: Tally, unit: str, place: Ints) -> None:
        self._tally = tally
        self._unit = unit
        self._place = place
        self.keep: Mask = np.ones(len(place), dtype=np.bool_)

    def ignore(self, mask: Mask, reason: str) -> None:
        self._tally.ignore(reason, int((mask & self.keep).sum()))
        self.keep &= ~mask

    def reject(self, mask: Mask, reason: str, detail: str) -> None:
        self._tally.reject_rows(self._unit, self._place[mask & self.keep].tolist(), reason, detail)
        self.keep &= ~mask


def _intake(rows: _Rows, tally: Tally, received_ms: int | None, *, with_vessels: bool = False) -> AisIntake:
    numbers = dict(rows.numbers)
    sieve = _Sieve(tally, rows.unit, rows.place)
    mobiles = rows.mobiles
    sieve.ignore(mobiles == _NO_VESSEL, "NO_VESSEL")
    sieve.reject(mobiles == _UNKNOWN_MOBILE, "TRANSCEIVER_UNKNOWN", "neither class A nor B")
    sieve.reject(_outside(numbers, "observed_ms"), "BAD_TIME", "no time of the published form")
    sieve.reject(_outside(numbers, "mmsi"), "BAD_MMSI", "no nine-digit identity")
    lat, lon = numbers["lat_e7"], numbers["lon_e7"]
    gone = (lat == _LAT_NONE) | (lon == _LON_NONE) | (lat == _ABSENT) | (lon == _ABSENT)
    sieve.ignore(gone, "POSITION_UNAVAILABLE")
    outside = _outside(numbers, "lat_e7") | _outside(numbers, "lon_e7")
    sieve.reject(outside, "POSITION_OUT_OF_RANGE", "latitude or longitude")
    for name, reason in _MOTION.items():
        numbers[name] = np.where(numbers[name] == _NOT_AVAILABLE[name], _ABSENT, numbers[name])
        wrong = _outside(numbers, name) & (numbers[name] != _ABSENT)
        sieve.reject(wrong, reason, f"{name} outside {RANGES[name][0]} to {RANGES[name][1]}")
    too_fast = (numbers["sog_dkn"] > _SHIP_SOG_LAST_DKN) & (mobiles != _AIRCRAFT)
    sieve.reject(too_fast, "SPEED_OUT_OF_RANGE", "over 102.2 knots and no aircraft")
    if received_ms is not None:
        latest_ms = received_ms + BOUNDS.future_ms
        sieve.reject(numbers["observed_ms"] > latest_ms, "FUTURE_TIME", f"later than {latest_ms} ms")
    tally.accept(int(sieve.keep.sum()))
    _leave_out(numbers, rows.texts, sieve.keep, tally)
    return _tables(numbers, rows, sieve.keep, tally, with_vessels=with_vessels)


def _outside(numbers: Mapping[str, Ints], name: str) -> Mask:
    low, high = RANGES[name]
    return (numbers[name] < low) | (numbers[name] > high)


def _leave_out(numbers: dict[str, Ints], texts: Mapping[str, _Text], keep: Mask, tally: Tally) -> None:
    """Turn particulars out of range into gaps, with a remark; zero means "not available" in all but the status."""
    for name, reason in _LENIENT.items():
        values = numbers[name]
        absent = (values == _ABSENT) | ((values == 0) & (name != "nav_status"))
        wrong = _outside(numbers, name) & ~absent
        tally.remark(reason, int((wrong & keep).sum()))
        numbers[name] = np.where(absent | wrong, _ABSENT, values)
    for text in texts.values():
        tally.remark("TEXT_INVALID", int((text.bad & keep).sum()))


def _tables(numbers: Mapping[str, Ints], rows: _Rows, keep: Mask, tally: Tally, *, with_vessels: bool) -> AisIntake:
    columns = {name: np.where(values[keep] == _ABSENT, NONE, values[keep]) for name, values in numbers.items()}
    texts = {name: text.values.filter(pa.array(keep)) for name, text in rows.texts.items()}
    positions = position_table(columns, rows.mobiles[keep] == "B", texts)
    vessels = _vessels(positions, texts) if with_vessels else vessel_table([], [])
    return AisIntake(positions=positions, vessels=vessels, summary=tally.finish())


def _vessels(positions: pa.Table, texts: Mapping[str, pa.StringArray]) -> pa.Table:
    """Each set of particulars and voyage once, dated by the first row that has it, in order of time."""
    schema = SCHEMAS[VESSELS]
    table = positions.select([name for name in schema.names if name in positions.column_names])
    for name in ("destination", "eta"):
        table = table.append_column(name, texts[name])
    keys = [name for name in schema.names if name != "observed_ms"]
    first = table.group_by(keys, use_threads=False).aggregate([("observed_ms", "min")])
    first = first.rename_columns([*keys, "observed_ms"]).select(schema.names)
    particulars = [name for name in keys if name != "mmsi"]
    told = np.zeros(first.num_rows, dtype=np.bool_)
    for name in particulars:
        told |= first[name].is_valid().to_numpy()
    first = first.filter(pa.array(told)).sort_by([("observed_ms", "ascending"), ("mmsi", "ascending")])
    return pa.Table.from_arrays([column.combine_chunks() for column in first.columns], schema=schema)
