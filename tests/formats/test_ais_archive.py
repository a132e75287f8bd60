"""Archives of decoded AIS: the publisher's columns, UTC, and no row out of range.

The first rows of NOAA are a cut of MarineCadastre for 2022-01-03 (United States government, public domain).
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relto.bounds import BOUNDS
from relto.errors import MalformedError, PeerError, TooLargeError
from relto.formats import ais_archive
from relto.formats.ais import AisIntake, read_dma_csv, read_noaa_csv, read_noaa_parquet
from relto.formats.positions import POSITIONS, SCHEMAS, VESSELS, read, write

pytestmark = pytest.mark.pure

NOAA_HEADER = (
    "MMSI,BaseDateTime,LAT,LON,SOG,COG,Heading,VesselName,IMO,CallSign,VesselType,Status,Length,Width,Draft,Cargo,"
    "TransceiverClass"
)
NOAA_ROWS = [
    "338148873,2022-01-03T00:00:00,33.60716,-117.91483,0.0,280.0,511,CAZADOR,,,37,,14,,,,B",
    "367379190,2022-01-03T00:00:00,30.3706,-88.56408,0.0,336.2,511,EAGLE,IMO8207721,WTD4583,31,0,28,11,3.3,52,A",
    "477219900,2022-01-03T00:00:00,33.76095,-118.2142,12.3,360.0,0,COSCO NETHERLANDS,IMO9516430,VRMR5,71,5,366,51,"
    "12.6,71,A",
]
DMA_HEADER = (
    "# Timestamp,Type of mobile,MMSI,Latitude,Longitude,Navigational status,ROT,SOG,COG,Heading,IMO,Callsign,Name,"
    "Ship type,Cargo type,Width,Length,Type of position fixing device,Draught,Destination,ETA,Data source type,A,B,C,D"
)
DMA_ROWS = [
    "31/12/2025 23:59:59,Class A,219024000,57.717413,10.586715,Engaged in fishing,0.0,1.5,4.8,309,9112345,OXYZ,"
    "HAVFISK,Fishing,,6,24,GPS,3.4,SKAGEN,01/01/2026 06:30:00,AIS,12,12,3,3",
    "01/01/2026 00:00:01,Base Station,2190064,56.716570,11.519047,Unknown value,,,,,Unknown,Unknown,,Undefined,,,,GPS,,"
    "Unknown,,AIS,,,,",
    "01/01/2026 00:00:02,Class B,219000002,91.0,0.0,Unknown value,,,,,Unknown,,,Undefined,,,,Undefined,,,,AIS,,,,",
    "01/01/2026 00:00:03,SAR Airborne,111219501,55.5,12.25,Unknown value,,140.0,90.0,,Unknown,,,Undefined,,,,,,,,AIS"
    ",,,,",
    "01/01/2026 00:00:04,Class A,219024000,57.8,10.6,Unknown value,,,,,9112345,OXYZ,HAVFISK,Fishing,,6,24,GPS,3.4,"
    "SKAGEN,01/01/2026 06:30:00,AIS,12,12,3,3",
]


def noaa(*rows: str, header: str = NOAA_HEADER, **options: Any) -> AisIntake:
    return read_noaa_csv("\n".join([header, *rows]).encode(), **options)


def changed(**columns: str) -> str:
    """The second row of NOAA with some columns changed."""
    row = dict(zip(NOAA_HEADER.split(","), NOAA_ROWS[1].split(","), strict=True)) | columns
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row.values())
    return text.getvalue()


def known(table: pa.Table) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def as_parquet(rows: list[str]) -> bytes:
    def typed(name: str, text: str) -> Any:
        if text == "":
            return None
        if name == "BaseDateTime":
            return datetime.fromisoformat(text)
        if name in ("LAT", "LON", "SOG", "COG", "Draft"):
            return float(text)
        return text if name in ("VesselName", "IMO", "CallSign", "TransceiverClass") else int(text)

    names = NOAA_HEADER.split(",")
    found = [{name: typed(name, text) for name, text in zip(names, row.split(","), strict=True)} for row in rows]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(found), sink)
    return sink.getvalue()


def test_rows_of_noaa_become_positions_with_their_particulars() -> None:
    intake = noaa(*NOAA_ROWS)
    midnight = int(datetime(2022, 1, 3, tzinfo=UTC).timestamp()) * 1000
    first, second, third = known(intake.positions)
    assert first == {
        "mmsi": 338148873,
        "observed_ms": midnight,
        "lat_e7": 336071600,
        "lon_e7": -1179148300,
        "sog_dkn": 0,
        "cog_ddeg": 2800,
        "transceiver": "B",
        "name": "CAZADOR",
        "ship_type": 37,
        "length_m": 14,
    }
    assert second == {
        "mmsi": 367379190,
        "observed_ms": midnight,
        "lat_e7": 303706000,
        "lon_e7": -885640800,
        "sog_dkn": 0,
        "cog_ddeg": 3362,
        "nav_status": 0,
        "transceiver": "A",
        "imo": 8207721,
        "name": "EAGLE",
        "call_sign": "WTD4583",
        "ship_type": 31,
        "length_m": 28,
        "width_m": 11,
        "draught_dm": 33,
    }
    assert (third["heading_deg"], third["sog_dkn"], third.get("cog_ddeg")) == (0, 123, None)
    assert (intake.summary.read, intake.summary.accepted, intake.vessels.num_rows) == (3, 3, 0)
    assert read(write(intake.positions), POSITIONS).equals(intake.positions)


def test_csv_and_parquet_of_the_same_rows_give_the_same_table() -> None:
    intake = read_noaa_parquet(as_parquet(NOAA_ROWS))
    assert intake.positions.equals(noaa(*NOAA_ROWS).positions)
    assert intake.summary.accepted == 3


def test_both_spellings_of_the_publisher_and_any_order_are_read() -> None:
    late = (
        "mmsi,base_date_time,longitude,latitude,sog,cog,heading,vessel_name,imo,call_sign,vessel_type,status,length,"
        "width,draft,cargo,transceiver"
    )
    row = "367379190,2022-01-03 00:00:00,-88.56408,30.3706,0.0,336.2,,EAGLE,IMO8207721,WTD4583,31,0,28,11,3.3,52,A"
    assert noaa(row, header=late).positions.equals(noaa(NOAA_ROWS[1]).positions)
    misspelt = NOAA_HEADER.replace("TransceiverClass", "TranscieverClass")
    assert noaa(NOAA_ROWS[1], header="\ufeff" + misspelt).positions.equals(noaa(NOAA_ROWS[1]).positions)


def test_wrong_columns_are_all_named_in_one_error() -> None:
    header = NOAA_HEADER.replace("LAT,LON", "Latitude,SOG")
    with pytest.raises(MalformedError, match="no LAT, no LON, unknown Latitude, SOG twice") as caught:
        noaa(header=header)
    assert caught.value.field == "header"
    with pytest.raises(MalformedError, match="no MMSI"):
        read_dma_csv(NOAA_HEADER.replace("MMSI", "mmsi").encode())
    with pytest.raises(MalformedError, match="no Heading"):
        read_noaa_parquet(
            (lambda sink: (pq.write_table(pa.table({"MMSI": [1]}), sink), sink.getvalue())[1])(io.BytesIO())
        )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (changed(MMSI="0"), "BAD_MMSI"),
        (changed(MMSI="1000000000"), "BAD_MMSI"),
        (changed(MMSI=""), "BAD_MMSI"),
        (changed(MMSI="3673x"), "BAD_MMSI"),
        (changed(BaseDateTime="2022-02-30T00:00:00"), "BAD_TIME"),
        (changed(BaseDateTime="2022-01-03T00:00:00+01:00"), "BAD_TIME"),
        (changed(BaseDateTime=""), "BAD_TIME"),
        (changed(LAT="90.1"), "POSITION_OUT_OF_RANGE"),
        (changed(LON="-180.0000001"), "POSITION_OUT_OF_RANGE"),
        (changed(LAT="1e1"), "POSITION_OUT_OF_RANGE"),
        (changed(LON="NaN"), "POSITION_OUT_OF_RANGE"),
        (changed(SOG="-0.1"), "SPEED_OUT_OF_RANGE"),
        (changed(SOG="102.4"), "SPEED_OUT_OF_RANGE"),
        (changed(COG="-49.6"), "COURSE_OUT_OF_RANGE"),
        (changed(COG="360.1"), "COURSE_OUT_OF_RANGE"),
        (changed(Heading="360"), "HEADING_OUT_OF_RANGE"),
        (changed(TransceiverClass="C"), "TRANSCEIVER_UNKNOWN"),
        (changed(TransceiverClass=""), "TRANSCEIVER_UNKNOWN"),
        (changed() + ",extra", "COLUMNS"),
        (changed().replace("EAGLE", '"EAGLE'), "BROKEN_LINE"),
        (changed(VesselName="EAGLE\rSCREAM").replace('"', ""), "BROKEN_LINE"),
        (changed(VesselName="E" * BOUNDS.csv_line_bytes), "LINE_TOO_LONG"),
    ],
    ids=lambda value: value if value.isupper() and value.isascii() and "," not in value else None,
)
def test_a_bad_row_is_named_and_costs_no_neighbour(row: str, reason: str) -> None:
    intake = noaa(NOAA_ROWS[0], "", row, NOAA_ROWS[2])
    assert intake.summary.rejected == {reason: 1}
    assert (intake.summary.rejects[0].where, intake.summary.accepted) == ("line 4", 2)
    assert intake.positions["mmsi"].to_pylist() == [338148873, 477219900]


def test_line_numbers_hold_behind_lines_that_were_left_out() -> None:
    broken = changed().replace("EAGLE", '"EAGLE')
    intake = noaa(broken, "", changed() + ",x", NOAA_ROWS[0], changed(MMSI="0"), changed() + ",x,y", changed(LAT="95"))
    assert sorted((reject.where, reject.reason) for reject in intake.summary.rejects) == [
        ("line 2", "BROKEN_LINE"),
        ("line 4", "COLUMNS"),
        ("line 6", "BAD_MMSI"),
        ("line 7", "COLUMNS"),
        ("line 8", "POSITION_OUT_OF_RANGE"),
    ]


def test_no_position_is_ignored() -> None:
    intake = noaa(changed(LAT="91"), changed(LON="181.0"), changed(LAT=""), changed(LON=""))
    assert (intake.summary.ignored, intake.summary.rejected) == ({"POSITION_UNAVAILABLE": 4}, {})


@pytest.mark.parametrize(
    ("column", "name", "values", "remark"),
    [
        ("IMO", "imo", {"IMO0000001": 1, "IMO999975000": 1, "x": 1, "IMO0000000": 0, "": 0}, "IMO_INVALID"),
        ("VesselType", "ship_type", {"1004": 1, "-1": 1, "0": 0, "": 0}, "SHIP_TYPE_INVALID"),
        ("Length", "length_m", {"1023": 1, "0": 0, "-3": 1}, "LENGTH_INVALID"),
        ("Width", "width_m", {"127": 1, "0": 0}, "WIDTH_INVALID"),
        ("Draft", "draught_dm", {"25.6": 1, "0.0": 0, "-0.1": 1}, "DRAUGHT_INVALID"),
        ("Status", "nav_status", {"16": 1, "-1": 1, "": 0}, "STATUS_INVALID"),
        ("VesselName", "name", {"A\u202eB": 1, "\x1b[2J": 1, "x" * 257: 1, "": 0, "@@@": 0}, "TEXT_INVALID"),
    ],
)
def test_particulars_out_of_range_are_left_out_with_a_remark(
    column: str, name: str, values: dict[str, int], remark: str
) -> None:
    for value, count in values.items():
        intake = noaa(changed(**{column: value}))
        assert intake.positions[name].to_pylist() == [None], value
        assert intake.summary.remarked == ({remark: 1} if count else {}), value
        assert intake.summary.accepted == 1


def test_a_quoted_name_may_hold_a_comma_and_a_quote() -> None:
    assert noaa(changed(VesselName='SMITH, "BIG" JOHN')).positions["name"].to_pylist() == ['SMITH, "BIG" JOHN']


def test_text_that_is_not_utf8_is_replaced_and_remarked() -> None:
    content = "\n".join([NOAA_HEADER, *NOAA_ROWS]).encode().replace(b"CAZADOR", b"CAZ\xc5DOR")
    intake = read_noaa_csv(content)
    assert intake.positions["name"].to_pylist() == [None, "EAGLE", "COSCO NETHERLANDS"]
    assert intake.summary.remarked == {"NOT_UTF8": 1, "TEXT_INVALID": 1}


def test_a_row_from_the_future_is_rejected() -> None:
    instant = int(datetime(2022, 1, 3, tzinfo=UTC).timestamp()) * 1000
    assert noaa(NOAA_ROWS[0], received_ms=instant - BOUNDS.future_ms).summary.accepted == 1
    assert noaa(NOAA_ROWS[0], received_ms=instant - BOUNDS.future_ms - 1).summary.rejected == {"FUTURE_TIME": 1}


def test_windows_lines_and_a_file_of_no_rows_are_read() -> None:
    assert read_noaa_csv("\r\n".join([NOAA_HEADER, *NOAA_ROWS, ""]).encode()).positions.equals(
        noaa(*NOAA_ROWS).positions
    )
    empty = noaa()
    assert (empty.summary.read, empty.positions.schema) == (0, SCHEMAS[POSITIONS])


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\x01", b'"'])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    for attempt in (read_noaa_csv, read_dma_csv, read_noaa_parquet):
        with pytest.raises(PeerError):
            attempt(content)


def test_archives_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small:
        archive_bytes = 4096
        archive_rows = 3
        csv_line_bytes = BOUNDS.csv_line_bytes

    monkeypatch.setattr(ais_archive, "BOUNDS", Small)
    with pytest.raises(TooLargeError, match="4 rows"):
        noaa(*NOAA_ROWS, NOAA_ROWS[0])
    with pytest.raises(TooLargeError, match="bytes"):
        noaa("x" * 4096)


def test_a_parquet_column_of_another_type_is_refused_or_its_rows_are() -> None:
    table = pq.read_table(io.BytesIO(as_parquet(NOAA_ROWS)))
    place = table.schema.get_field_index("LAT")
    for column in (pa.array([b"\xff"] * 3), pa.array([True] * 3), pa.array(["north"] * 3)):
        sink = io.BytesIO()
        pq.write_table(table.set_column(place, "LAT", column), sink)
        try:
            assert read_noaa_parquet(sink.getvalue()).summary.rejected == {"POSITION_OUT_OF_RANGE": 3}
        except MalformedError:
            continue


def test_danish_rows_become_positions_and_voyages() -> None:
    intake = read_dma_csv("\n".join([DMA_HEADER, *DMA_ROWS]).encode())
    summary = intake.summary
    assert (summary.read, summary.accepted) == (5, 3)
    assert summary.ignored == {"NO_VESSEL": 1, "POSITION_UNAVAILABLE": 1}
    first, aircraft, _ = known(intake.positions)
    last_second = int(datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000
    assert first == {
        "mmsi": 219024000,
        "observed_ms": last_second,
        "lat_e7": 577174130,
        "lon_e7": 105867150,
        "sog_dkn": 15,
        "cog_ddeg": 48,
        "heading_deg": 309,
        "nav_status": 7,
        "transceiver": "A",
        "imo": 9112345,
        "name": "HAVFISK",
        "call_sign": "OXYZ",
        "ship_type": 30,
        "length_m": 24,
        "width_m": 6,
        "draught_dm": 34,
    }
    assert (aircraft["sog_dkn"], aircraft["transceiver"]) == (1400, "A")
    assert known(intake.vessels) == [
        {
            "mmsi": 219024000,
            "observed_ms": last_second,
            "imo": 9112345,
            "name": "HAVFISK",
            "call_sign": "OXYZ",
            "ship_type": 30,
            "length_m": 24,
            "width_m": 6,
            "draught_dm": 34,
            "destination": "SKAGEN",
            "eta": "01-01T06:30Z",
        }
    ]
    assert read(write(intake.vessels), VESSELS).equals(intake.vessels)


def test_an_older_danish_file_has_no_distances_and_unknown_words_are_remarked() -> None:
    header = DMA_HEADER.removesuffix(",A,B,C,D")
    row = (
        DMA_ROWS[0].removesuffix(",12,12,3,3").replace("Engaged in fishing", "Dancing").replace("Fishing", "Submarine")
    )
    intake = read_dma_csv("\n".join([header, row]).encode())
    assert intake.summary.remarked == {"SHIP_TYPE_INVALID": 1, "STATUS_INVALID": 1}
    assert intake.summary.accepted == 1


def test_a_danish_ship_is_not_faster_than_ais_can_say() -> None:
    row = DMA_ROWS[3].replace("SAR Airborne", "Class A")
    assert read_dma_csv("\n".join([DMA_HEADER, row]).encode()).summary.rejected == {"SPEED_OUT_OF_RANGE": 1}
