"""AIS sentences in and out: what is intact is kept, what is not is named, and neither way of reading differs.

The real sentences are short cuts of public test resources: AisLib of the Danish Maritime Authority (Apache-2.0), libais
(Apache-2.0) and gpsd (BSD-2-Clause).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import reduce
from operator import xor
from typing import Any

import numpy as np
import pyais
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.errors import TooLargeError
from relto.formats import ais
from relto.formats.ais import AisIntake, read_nmea, write_nmea
from relto.formats.ais_message import LENGTHS_BITS
from relto.formats.ais_scan import Lines, Scan, Stamps, scan
from relto.formats.nmea import Fragments, Sentence, checksum, parse_line
from relto.formats.positions import POSITIONS, SCHEMAS, read, write

pytestmark = pytest.mark.pure

ARMOUR = "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVW`abcdefghijklmnopqrstuvw"
RECEIVED_MS = 1_760_000_000_000

CLASS_A = b"!AIVDM,1,1,,A,15B4FT5000JRP>PE6E68Nbkl0PS5,0*70"
CLASS_A_ITDMA = b"!AIVDM,1,1,,B,35MC>W@01EIAn5VA4l`N2;>0015@,0*01"
CLASS_B = b"!AIVDM,1,1,,A,B5MtDJP0NEj`L76q6VRoKwbUoP06,0*54"
CLASS_B_EXTENDED = b"!AIVDM,1,1,,A,C5N3SRP02FJLhfT;;OaI7wc@62PaLELTBJ:V00000000S0D:R220,0*5F"
AIRCRAFT = b"!AIVDM,1,1,,A,90003uhWAcIJe8B;5>rk1D@200Sk,0*7E"
STATIC_A = (
    b"!AIVDM,2,1,9,B,55R3Vn82=ILTQ3KKS>1<D60Dq@E918U<F222221J1`?164vc03S1CCAD,0*2A",
    b"!AIVDM,2,2,9,B,`88888888888880,2*76",
)
NAME_B = b"!AIVDM,1,1,,B,H5NCRS0L4DhHu8<D00000000000,2*7F"
STATIC_B = b"!AIVDM,1,1,,B,H5NCRS4UG5CD=1BG45jioo1P6330,0*2C"
BASE_STATION = b"!AIVDM,1,1,,A,402u=TiuaA000r5UJ`H4`?7000S:,0*75"
INTACT = (CLASS_A, CLASS_A_ITDMA, CLASS_B, CLASS_B_EXTENDED, AIRCRAFT, NAME_B, STATIC_B)

DANISH = b"""$PGHP,1,2010,6,11,11,46,12,451,219,1,992190917,1,58*14
!AIVDM,1,1,,A,33nr7t001f13KNTOahh2@QpF00vh,0*58
$PGHP,1,2010,6,11,11,46,11,929,244,0,,1,72*21
!AIVDM,2,1,1,,53cMa3@000010WSW?V105=<45B2222222222220t388151:9e2UiDm851DTh,0*65
!AIVDM,2,2,1,,j1C32CQp888,2*17
$PGHP,1,2010,6,11,11,46,12,634,219,,2190071,1,2C*51
!BSVDM,1,1,,B,H3@w7l4N>?B4C?0?GG=0004H8440,0*2C
"""


def nmea_sum(body: bytes) -> int:
    return reduce(xor, body, 0)


def sentence(payload: str, fill: int = 0, *, head: str = "AIVDM,1,1,,A", tag: str = "", tail: str = "") -> bytes:
    body = f"{head},{payload},{fill}".encode()
    block = b"\\%b*%02X\\" % (tag.encode(), nmea_sum(tag.encode())) if tag else b""
    return b"%b!%b*%02X%b" % (block, body, nmea_sum(body), tail.encode())


def armoured(*fields: tuple[int, int]) -> tuple[str, int]:
    """Payload and fill bits of fields of so many bits."""
    bits = "".join(format(value & ((1 << width) - 1), f"0{width}b") for value, width in fields)
    fill = -len(bits) % 6
    bits += "0" * fill
    return "".join(ARMOUR[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6)), fill


def report(
    kind: int = 1,
    *,
    mmsi: int = 563_012_345,
    status: int = 0,
    sog: int = 100,
    lon: int = 62_000_000,
    lat: int = 740_000,
    cog: int = 900,
    heading: int = 90,
) -> bytes:
    """A position report of type 1, 2, 3 or 18, in the units of the message."""
    motion = [(sog, 10), (1, 1), (lon, 28), (lat, 27), (cog, 12), (heading, 9), (7, 6)]
    if kind == 18:
        return sentence(*armoured((kind, 6), (0, 2), (mmsi, 30), (0, 8), *motion, (0, 29)))
    return sentence(*armoured((kind, 6), (0, 2), (mmsi, 30), (status, 4), (-128, 8), *motion, (0, 25)))


def taken(*lines: bytes) -> AisIntake:
    return both_ways(b"\r\n".join(lines), RECEIVED_MS)


def known(table: pa.Table) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def reasons(intake: AisIntake) -> dict[str, int]:
    return dict(intake.summary.rejected)


def line_by_line(lines: Lines, stamps: Stamps) -> Scan:
    """A scan that takes nothing, so that every line goes the slow way."""
    nothing = scan(
        Lines(lines.buffer, lines.starts[:0], lines.ends[:0], lines.numbers[:0]), Stamps(*[np.zeros(0, int)] * 2)
    )
    return Scan(
        taken=np.zeros(len(lines), dtype=np.bool_),
        **{name: getattr(nothing, name) for name in Scan.__slots__ if name != "taken"},
    )


def both_ways(content: bytes, received_ms: int | None) -> AisIntake:
    """Read with the quick way and without it; the two must agree in every row and count."""
    quick = read_nmea(content, received_ms=received_ms, source="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ais, "scan", line_by_line)
        slow = read_nmea(content, received_ms=received_ms, source="test")
    assert quick.positions.equals(slow.positions)
    assert quick.vessels.equals(slow.vessels)
    assert (quick.summary.accepted, quick.summary.ignored) == (slow.summary.accepted, slow.summary.ignored)
    assert (quick.summary.remarked, quick.summary.rejected) == (slow.summary.remarked, slow.summary.rejected)
    assert sorted(quick.summary.rejects, key=str) == sorted(slow.summary.rejects, key=str)
    return quick


# --- what real sentences say


def test_each_type_of_position_is_read() -> None:
    intake = taken(CLASS_A, CLASS_A_ITDMA, CLASS_B, CLASS_B_EXTENDED, AIRCRAFT)
    assert [row | {"observed_ms": 0} for row in known(intake.positions)] == [
        {
            "mmsi": 354490000,
            "observed_ms": 0,
            "lat_e7": 368730000,
            "lon_e7": -763486667,
            "sog_dkn": 0,
            "cog_ddeg": 2170,
            "heading_deg": 345,
            "nav_status": 5,
            "transceiver": "A",
        },
        {
            "mmsi": 366268061,
            "observed_ms": 0,
            "lat_e7": 298413350,
            "lon_e7": -939687683,
            "sog_dkn": 85,
            "cog_ddeg": 3592,
            "heading_deg": 359,
            "nav_status": 0,
            "transceiver": "A",
        },
        {
            "mmsi": 366941290,
            "observed_ms": 0,
            "lat_e7": 481802267,
            "lon_e7": -1235293633,
            "sog_dkn": 121,
            "cog_ddeg": 2934,
            "transceiver": "B",
        },
        {
            "mmsi": 367059850,
            "observed_ms": 0,
            "lat_e7": 291831367,
            "lon_e7": -887362717,
            "sog_dkn": 9,
            "cog_ddeg": 1425,
            "transceiver": "B",
        },
        {
            "mmsi": 1015,
            "observed_ms": 0,
            "lat_e7": 193667917,
            "lon_e7": -920332650,
            "sog_dkn": 1070,
            "cog_ddeg": 773,
            "transceiver": "A",
        },
    ]
    assert intake.positions.schema.equals(SCHEMAS[POSITIONS])
    assert known(intake.vessels) == [
        {
            "mmsi": 367059850,
            "observed_ms": RECEIVED_MS,
            "name": "CAPT.J.RIMES",
            "ship_type": 70,
            "length_m": 26,
            "width_m": 8,
        }
    ]


def test_long_range_reports_have_their_own_scale() -> None:
    fields = [(27, 6), (0, 2), (563012345, 30), (0, 2), (1, 4), (-62000, 18), (-740, 17), (12, 6), (359, 9), (0, 2)]
    row = known(taken(sentence(*armoured(*fields))).positions)[0]
    assert (row["lat_e7"], row["lon_e7"]) == (-12_333_333, -1_033_333_333)
    assert (row["sog_dkn"], row["cog_ddeg"], row["nav_status"]) == (120, 3590, 1)
    absent = [*fields[:7], (63, 6), (511, 9), (0, 2)]
    assert not {"sog_dkn", "cog_ddeg"} & known(taken(sentence(*armoured(*absent))).positions)[0].keys()


def test_static_and_voyage_data_are_read() -> None:
    rows = known(taken(*STATIC_A, NAME_B, STATIC_B).vessels)
    assert rows[1:] == [
        {"mmsi": 367321740, "observed_ms": RECEIVED_MS, "name": "GAELFORCE"},
        {
            "mmsi": 367321740,
            "observed_ms": RECEIVED_MS,
            "call_sign": "WDE2177",
            "ship_type": 37,
            "length_m": 18,
            "width_m": 6,
        },
    ]
    decoded: Any = pyais.decode(*STATIC_A)
    assert rows[0]["mmsi"] == decoded.mmsi == 371_255_000
    assert (rows[0]["name"], rows[0]["call_sign"]) == (decoded.shipname, decoded.callsign)
    assert (rows[0]["length_m"], rows[0]["draught_dm"]) == (decoded.to_bow + decoded.to_stern, decoded.draught * 10)


def test_a_ship_type_that_nobody_named_is_kept_as_sent_and_text_ends_at_its_first_at_sign() -> None:
    def text(value: str, characters: int) -> list[tuple[int, int]]:
        return [(ord(character) & 0x3F, 6) for character in value.ljust(characters, "@")]

    fields = [(5, 6), (0, 2), (563012345, 30), (0, 2), (10_000_001, 30), *text("CALL", 7), *text("ONE@TWO", 20)]
    fields += [(199, 8), (0, 30), (1, 4), (2, 4), (30, 5), (24, 5), (60, 6), (0, 8), *text("", 20), (0, 2)]
    row = known(taken(sentence(*armoured(*fields))).vessels)[0]
    assert row == {
        "mmsi": 563012345,
        "observed_ms": RECEIVED_MS,
        "name": "ONE",
        "call_sign": "CALL",
        "ship_type": 199,
        "eta": "02-30",
    }


def test_what_is_not_available_is_null_and_what_is_not_allowed_is_left_out_with_a_remark() -> None:
    intake = taken(report(sog=1023, cog=3600, heading=511), report(18, cog=3601, heading=400))
    assert [set(row) & {"sog_dkn", "cog_ddeg", "heading_deg"} for row in known(intake.positions)] == [
        set(),
        {"sog_dkn"},
    ]
    assert intake.summary.remarked == {"COURSE_INVALID": 1, "HEADING_INVALID": 1, "RECEIVED_TIME": 2}


@pytest.mark.parametrize("kind", [1, 18])
def test_no_position_is_ignored_and_an_impossible_one_rejected(kind: int) -> None:
    intake = taken(
        report(kind, lon=181 * 600_000),
        report(kind, lat=91 * 600_000, lon=181 * 600_000),
        report(kind, lat=90 * 600_000 + 1),
        report(kind, lon=-180 * 600_000 - 1),
        report(kind, lat=90 * 600_000, lon=-180 * 600_000),
    )
    assert intake.summary.ignored == {"POSITION_UNAVAILABLE": 2}
    assert reasons(intake) == {"POSITION_OUT_OF_RANGE": 2}
    assert [(row["lat_e7"], row["lon_e7"]) for row in known(intake.positions)] == [(900_000_000, -1_800_000_000)]


def test_other_types_are_ignored_by_type_and_other_sentences_as_such() -> None:
    intake = taken(BASE_STATION, b"# comment", b"", b"$GPGLL,5250.53669,N,00542.34920,E,213950.00,A,A*67")
    assert intake.summary.ignored == {"TYPE_4": 1, "COMMENT": 1, "OTHER_SENTENCE": 1}
    assert intake.summary.read == 3


# --- what is refused


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (CLASS_A[:-2] + b"71", "CHECKSUM"),
        (CLASS_A[:-2] + b"7", "CHECKSUM"),
        (CLASS_A[:-2] + b"G0", "CHECKSUM"),
        (CLASS_A + b"0", "CHECKSUM"),
        (CLASS_A[:-3], "CHECKSUM_MISSING"),
        (CLASS_A[1:], "NOT_A_SENTENCE"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS"), "SHORT_PAYLOAD"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", 2), "SHORT_PAYLOAD"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS50"), "LONG_PAYLOAD"),
        (sentence(""), "SHORT_PAYLOAD"),
        (sentence("H5NCRS0L4DhHu8<D00000000000", 0), "ODD_PAYLOAD"),
        (sentence("H5NCRS4UG5CD=1BG45jioo1P633", 2), "SHORT_PAYLOAD"),
        (sentence("KEkV@caow3vMnRkg20", 4), "ODD_PAYLOAD"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PSX"), "BAD_ARMOUR"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS\xff"), "BAD_ARMOUR"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", 6), "BAD_FORM"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5,0"), "BAD_FORM"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", head="AIVDM,1,2,,A"), "BAD_FORM"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", head="AIVDM,0,1,,A"), "BAD_FORM"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", head="AIVDM,1,1,77,A"), "BAD_FORM"),
        (sentence("55R3Vn82=ILTQ3KKS", 2, head="AIVDM,2,1,9,B"), "BAD_FORM"),
        (report(mmsi=0), "BAD_MMSI"),
        (report(18, mmsi=1_000_000_000), "BAD_MMSI"),
        (sentence(*armoured((0, 6), (0, 2), (563012345, 30), (0, 130))), "UNKNOWN_TYPE"),
        (sentence(*armoured((28, 6), (0, 2), (563012345, 30), (0, 130))), "UNKNOWN_TYPE"),
        (b"!" + b"A" * BOUNDS.nmea_sentence_bytes, "LINE_TOO_LONG"),
        (CLASS_A + b"," + b"x" * BOUNDS.nmea_sentence_bytes + b",1760000000", "LINE_TOO_LONG"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", head="A*VDM,1,1,,A"), "CHECKSUM"),
        (b"\\c:1760000000*00\\" + CLASS_A, "TAG_CHECKSUM"),
        (b"\\c:1760000000\\" + CLASS_A, "TAG_CHECKSUM"),
        (b"\\" + CLASS_A, "TAG_MALFORMED"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", tag="c:12x"), "TAG_MALFORMED"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", tag="c:1,c:2"), "TAG_MALFORMED"),
        (sentence("15B4FT5000JRP>PE6E68Nbkl0PS5", tag="g:1-2,c:1760000000"), "TAG_MALFORMED"),
        (STATIC_A[0], "FRAGMENT_MISSING"),
        (STATIC_A[1], "FRAGMENT_MISSING"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_sentence_is_named_and_costs_no_neighbour(line: bytes, reason: str) -> None:
    intake = taken(CLASS_B, line, CLASS_A)
    assert reasons(intake) == {reason: 1}
    assert [(reject.where, reject.reason) for reject in intake.summary.rejects] == [("line 2", reason)]
    assert intake.positions["mmsi"].to_pylist() == [366941290, 354490000]


def spoiled(seed: int) -> Iterable[bytes]:
    """Real sentences with a wrong checksum, cut off at the end, or with a cut payload and a right checksum."""
    chance = random.Random(seed)
    while True:
        whole = chance.choice(INTACT)
        way = chance.randrange(3)
        if way == 0:
            yield whole[:-2] + b"%02X" % (int(whole[-2:], 16) ^ chance.randrange(1, 256))
        elif way == 1:
            yield whole[: chance.randrange(1, len(whole))]
        else:
            payload = whole.split(b",")[5].decode()
            yield sentence(payload[: chance.randrange(len(payload))], int(whole[-4:-3]))


def test_none_of_a_thousand_truncated_or_altered_sentences_is_accepted() -> None:
    bad = [line for line, _ in zip(spoiled(7), range(1000), strict=False)]
    intake = taken(*bad)
    assert (intake.summary.accepted, intake.positions.num_rows, intake.vessels.num_rows) == (0, 0, 0)
    assert sum(reasons(intake).values()) == 1000
    assert len(intake.summary.rejects) == 1000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([CLASS_A, DANISH, *STATIC_A]), max_size=8))
def test_no_bytes_raise_or_go_uncounted(parts: list[bytes]) -> None:
    intake = both_ways(b"\n".join(parts), RECEIVED_MS)
    summary = intake.summary
    assert summary.read == summary.accepted + sum(summary.ignored.values()) + sum(summary.rejected.values())
    assert read(write(intake.positions), POSITIONS).equals(intake.positions)


def test_too_many_bytes_are_refused_at_once() -> None:
    with pytest.raises(TooLargeError):
        read_nmea(bytes(BOUNDS.content_bytes + 1), received_ms=None, source="flood")


# --- time


def test_the_danish_stream_dates_the_message_that_its_checksum_names() -> None:
    intake = read_nmea(DANISH, received_ms=None, source="dma")
    assert intake.positions["observed_ms"].to_pylist() == [1276256772451]
    assert known(intake.vessels)[0] == {
        "mmsi": 246901005,
        "observed_ms": 1276256771929,
        "name": "PASSAAT",
        "call_sign": "PI8939",
        "ship_type": 60,
        "length_m": 33,
        "width_m": 6,
        "draught_dm": 10,
        "destination": "WEST TERSCHELLING",
        "eta": "04-20T09:45Z",
    }
    assert known(intake.vessels)[1]["observed_ms"] == 1276256772634
    assert intake.summary.ignored == {"TIME_SENTENCE": 3}


@pytest.mark.parametrize(
    "between",
    [
        b"$PGHP,1,2010,6,11,11,46,12,451,219,1,992190917,1,59*15",
        b"$PGHP,1,2010,6,11,11,46,12,451,219,1,992190917,1,58*14\n$GPGLL,5250.53669,N,00542.34920,E,213950.00,A,A*67",
    ],
    ids=["another checksum", "another line between"],
)
def test_a_time_sentence_dates_nothing_else(between: bytes) -> None:
    intake = read_nmea(between + b"\n" + DANISH.splitlines()[1], received_ms=None, source="dma")
    assert reasons(intake) == {"TIME_MISSING": 1}


def test_a_time_sentence_that_is_no_time_is_rejected() -> None:
    body = b"PGHP,1,2010,2,30,11,46,12,451,219,1,992190917,1,58"
    assert reasons(taken(b"$%b*%02X" % (body, nmea_sum(body)))) == {"BAD_TIME_SENTENCE": 1}


@pytest.mark.parametrize(
    ("tag", "tail", "observed_ms"),
    [
        ("s:r1,c:1272412827", "", 1272412827000),
        ("c:1272412827123,s:r1", "", 1272412827123),
        ("", ",b003669794,1272412827", 1272412827000),
        ("", ",d-112,S0705,t000218.00,1272412939", 1272412939000),
        ("c:1272412827", ",b003669794,1", 1272412827000),
        ("c:1272412827", ",1272412828", 1272412827000),
    ],
)
def test_a_line_says_its_own_time(tag: str, tail: str, observed_ms: int) -> None:
    for line in (CLASS_A, CLASS_B_EXTENDED):
        dated = sentence(line.split(b",")[5].decode(), tag=tag, tail=tail)
        assert both_ways(dated, None).positions["observed_ms"].to_pylist() == [observed_ms]


def test_a_message_that_nothing_dates_takes_the_time_of_reception_or_is_rejected() -> None:
    intake = taken(CLASS_A, *STATIC_A, CLASS_B_EXTENDED)
    assert set(intake.positions["observed_ms"].to_pylist()) == {RECEIVED_MS}
    assert intake.summary.remarked == {"RECEIVED_TIME": 3}
    without = both_ways(b"\n".join([CLASS_A, *STATIC_A]), None)
    assert (without.summary.accepted, reasons(without)) == (0, {"TIME_MISSING": 2})
    assert without.positions.num_rows == without.vessels.num_rows == 0


def test_a_time_in_the_future_is_rejected_only_beyond_the_bound() -> None:
    latest = RECEIVED_MS + BOUNDS.future_ms
    for line in (CLASS_A, CLASS_B_EXTENDED):
        payload = line.split(b",")[5].decode()
        lines = [sentence(payload, tag=f"c:{instant}") for instant in (latest, latest + 1)]
        intake = both_ways(b"\n".join(lines), RECEIVED_MS)
        assert intake.positions["observed_ms"].to_pylist() == [latest]
        assert reasons(intake) == {"FUTURE_TIME": 1}
        assert intake.summary.accepted == 1


# --- fragments


def test_parts_of_several_messages_may_be_interleaved() -> None:
    other = [
        part.replace(b",9,B,", b",9,A,")[:-2] + b"%02X" % nmea_sum(part.replace(b",9,B,", b",9,A,")[1:-3])
        for part in STATIC_A
    ]
    intake = taken(STATIC_A[0], other[0], CLASS_A, other[1], STATIC_A[1])
    assert intake.vessels["mmsi"].to_pylist() == [371255000, 371255000]
    assert intake.summary.accepted == 3


def grouped(part: bytes, tag: str) -> bytes:
    return b"\\%b*%02X\\%b" % (tag.encode(), nmea_sum(tag.encode()), part)


def test_tag_groups_keep_messages_with_the_same_sequence_apart() -> None:
    first, last = STATIC_A
    intake = taken(
        grouped(first, "g:1-2-11,c:1272412827"),
        grouped(first, "g:1-2-12,c:1272412828"),
        grouped(last, "g:2-2-11"),
        grouped(last, "g:2-2-12"),
    )
    assert intake.vessels["observed_ms"].to_pylist() == [1272412827000, 1272412828000]


@pytest.mark.parametrize(
    ("lines", "lost"),
    [
        ([STATIC_A[1], STATIC_A[0]], 2),
        ([STATIC_A[0], STATIC_A[0], STATIC_A[1]], 1),
        ([STATIC_A[0], STATIC_A[1], STATIC_A[1]], 1),
        ([STATIC_A[0], *[b"#"] * BOUNDS.nmea_fragment_lines, STATIC_A[1]], 2),
        ([sentence("0", head="AIVDM,3,2,9,B"), sentence("0", head="AIVDM,3,3,9,B")], 2),
        ([grouped(STATIC_A[0], "c:1272412827"), grouped(STATIC_A[1], "c:1272412838")], 2),
    ],
    ids=["out of order", "first twice", "last twice", "far apart", "first of three missing", "long apart"],
)
def test_parts_that_may_belong_to_two_messages_are_not_joined(lines: list[bytes], lost: int) -> None:
    intake = taken(*lines)
    assert reasons(intake) == {"FRAGMENT_MISSING": lost}
    assert intake.vessels.num_rows == (1 if lost == 1 else 0)


def test_parts_that_wait_are_bounded() -> None:
    fragments = Fragments()
    for group in range(BOUNDS.nmea_pending_groups + 3):
        first = parse_line(grouped(STATIC_A[0], f"g:1-2-{group}"), group + 1)
        assert isinstance(first, Sentence)
        assert fragments.add(first) is None
    assert [lost.line for lost, _ in fragments.lost] == [1, 2, 3]
    fragments.finish()
    assert len(fragments.lost) == BOUNDS.nmea_pending_groups + 3


# --- the quick way equals the slow way, and both equal pyais

FIELD = {
    "mmsi": st.integers(0, 2**30 - 1) | st.integers(1, 999_999_999),
    "status": st.integers(0, 15),
    "sog": st.integers(0, 1023),
    "lon": st.integers(-(2**27), 2**27 - 1) | st.integers(-108_000_000, 108_000_000) | st.just(108_600_000),
    "lat": st.integers(-(2**26), 2**26 - 1) | st.integers(-54_000_000, 54_000_000) | st.just(54_600_000),
    "cog": st.integers(0, 4095) | st.integers(0, 3600),
    "heading": st.integers(0, 511),
}
reports = st.builds(report, st.sampled_from([1, 2, 3, 18]), **FIELD)
tags = st.sampled_from(["", "c:1700000000", "c:1700000000001", "s:x,c:1700000000,n:3", "g:1-1-5,c:1700000000", "s:x"])
tails = st.sampled_from(["", "", ",1700000000", ",r1,1700000000", ",r1", ",170000000"])
heads = st.sampled_from(
    ["AIVDM,1,1,,A", "BSVDO,1,1,4,", "--VDM,1,1,,1", "AIVDM,1,1,,*", "AIVDX,1,1,,A", "AIVDM,2,1,3,A"]
)


@st.composite
def framed(draw: Callable[..., Any]) -> bytes:
    """A sentence in one of many forms, sometimes with one byte changed, sometimes with a Danish time before it."""
    payload = draw(reports).split(b",")[5].decode()
    line = sentence(payload, head=draw(heads), tag=draw(tags), tail=draw(tails))
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(line) - 1))
        line = line[:place] + draw(st.binary(min_size=0, max_size=2)) + line[place + 1 :]
    if draw(st.integers(0, 3)) == 0:
        body = b"PGHP,1,2023,11,14,22,13,20,5,219,,,1,%b" % draw(st.sampled_from([line[-2:], b"00"]))
        line = b"$%b*%02X\n%b" % (body, nmea_sum(body), line)
    return line + draw(st.sampled_from([b"\r\n", b"\n", b"\n\n", b" \r\n"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(framed(), max_size=12), st.sampled_from([None, 1_700_000_000_000]))
def test_the_quick_way_equals_the_slow_way_row_by_row_and_count_by_count(lines: list[bytes], now: int | None) -> None:
    both_ways(b"".join(lines), now)


@settings(max_examples=150, deadline=None)
@given(reports)
def test_the_quick_way_equals_pyais(line: bytes) -> None:
    decoded: Any = pyais.decode(line, error_if_checksum_invalid=True)
    intake = taken(line)
    if intake.positions.num_rows == 0:
        outside = abs(decoded.lat) > 90 or abs(decoded.lon) > 180
        assert outside or not 0 < decoded.mmsi <= 999_999_999
        return
    row = intake.positions.to_pylist()[0]
    assert (row["mmsi"], row["transceiver"]) == (decoded.mmsi, "B" if decoded.msg_type == 18 else "A")
    assert row["lat_e7"] == round(round(decoded.lat * 600_000) / 600_000 * 1e7)
    assert row["lon_e7"] == round(round(decoded.lon * 600_000) / 600_000 * 1e7)
    assert row["sog_dkn"] == (None if decoded.speed == 102.3 else round(decoded.speed * 10))
    assert row["cog_ddeg"] == (None if decoded.course >= 360 else round(decoded.course * 10))
    assert row["heading_deg"] == (None if decoded.heading >= 360 else decoded.heading)
    assert row["nav_status"] == (int(decoded.status) if decoded.msg_type != 18 else None)


def test_the_quick_way_takes_whole_batches_and_not_just_nothing() -> None:
    """The comparisons above would hold for a scan that leaves every line."""
    content = b"\n".join([CLASS_A, CLASS_B, BASE_STATION, b"\\c:1700000000*5F\\" + CLASS_A, STATIC_B])
    lines = ais.split(content)
    found = scan(lines, Stamps(*[np.full(len(lines), -1)] * 2))
    assert found.taken.tolist() == [True, True, True, True, False]
    assert found.not_kept == {4: 1}
    assert found.time_ms.tolist() == [-1, -1, 1_700_000_000_000]


@pytest.mark.parametrize("block", [1, 60, 61, 200])
def test_where_a_block_ends_makes_no_difference(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = DANISH + b"\n\n" + b"\n".join([*STATIC_A, CLASS_A[:-1], CLASS_B]) + b"\r\n" + DANISH
    whole = read_nmea(content, received_ms=RECEIVED_MS, source="test")
    monkeypatch.setattr(ais, "_BLOCK_BYTES", block)
    parts = read_nmea(content, received_ms=RECEIVED_MS, source="test")
    assert parts.positions.equals(whole.positions)
    assert parts.vessels.equals(whole.vessels)
    assert parts.summary == whole.summary
    assert whole.summary.rejects[0].where == "line 12"


def test_rows_are_in_the_order_of_their_lines() -> None:
    intake = taken(CLASS_B_EXTENDED, CLASS_A, AIRCRAFT, CLASS_B)
    assert intake.positions["mmsi"].to_pylist() == [367059850, 354490000, 1015, 366941290]
    assert taken(STATIC_A[0], NAME_B, STATIC_A[1]).vessels["mmsi"].to_pylist() == [371255000, 367321740]


def test_the_checksum_folds_to_the_xor_of_all_bytes() -> None:
    for size in range(130):
        body = bytes((7 * place + size) % 251 for place in range(size))
        assert checksum(body) == nmea_sum(body)


def test_every_type_of_the_standard_has_a_length() -> None:
    assert sorted(LENGTHS_BITS) == list(range(1, 28))
    assert all(38 < least <= most for least, most in LENGTHS_BITS.values())


# --- writing


row = st.fixed_dictionaries(
    {
        "mmsi": st.integers(1, 999_999_999),
        "observed_ms": st.integers(0, 4_000_000_000_000) | st.integers(0, 4_000_000_000).map(lambda s: s * 1000),
        "lat_e7": st.integers(-900_000_000, 900_000_000),
        "lon_e7": st.integers(-1_800_000_000, 1_800_000_000),
        "sog_dkn": st.none() | st.integers(0, 1022),
        "cog_ddeg": st.none() | st.integers(0, 3599),
        "heading_deg": st.none() | st.integers(0, 359),
        "transceiver": st.sampled_from("AB"),
    }
)


@settings(max_examples=80, deadline=None)
@given(st.lists(row, max_size=6), st.integers(0, 15))
def test_what_was_written_as_sentences_is_read_back_at_their_resolution(
    rows: list[dict[str, Any]], status: int
) -> None:
    for found in rows:
        found["nav_status"] = status if found["transceiver"] == "A" else None
    positions = pa.Table.from_pylist(rows, schema=SCHEMAS[POSITIONS])
    content = write_nmea(positions)
    again = read_nmea(content, received_ms=None, source="test")
    assert again.summary.accepted == len(rows) == again.summary.read
    for name in ("lat_e7", "lon_e7"):
        errors = [a - b for a, b in zip(again.positions[name].to_pylist(), positions[name].to_pylist(), strict=True)]
        assert all(abs(error) <= 9 for error in errors)  # half of 1/600000 degree is 8.3e-7
    exact = [name for name in SCHEMAS[POSITIONS].names if name not in ("lat_e7", "lon_e7")]
    assert again.positions.select(exact).equals(positions.select(exact))
    assert write_nmea(again.positions) == content


def test_what_was_written_is_understood_by_others() -> None:
    rows = [
        {"mmsi": 563012345, "observed_ms": 1_760_000_000_000, "lat_e7": 12_345_000, "lon_e7": -1_038_765_000}
        | {"sog_dkn": 123, "cog_ddeg": 3599, "heading_deg": 7, "nav_status": 5, "transceiver": "A"},
        {"mmsi": 3, "observed_ms": 1_760_000_000_001, "lat_e7": -5, "lon_e7": 5, "sog_dkn": 9999, "transceiver": "B"},
    ]
    first, second = write_nmea(pa.Table.from_pylist(rows, schema=SCHEMAS[POSITIONS])).splitlines()
    assert first.startswith(b"\\c:1760000000*59\\!AIVDM,1,1,,A,1")
    assert second.startswith(b"\\c:1760000000001*")
    one: Any = pyais.decode(first, error_if_checksum_invalid=True)
    two: Any = pyais.decode(second, error_if_checksum_invalid=True)
    assert (one.msg_type, one.mmsi, one.speed, one.course, one.heading) == (1, 563012345, 12.3, 359.9, 7)
    assert (one.lat, one.lon, int(one.status), one.second) == (1.2345, -103.8765, 5, 20)
    assert (two.msg_type, two.mmsi, two.speed, two.course, two.heading) == (18, 3, 102.2, 360.0, 511)
    assert (two.cs, two.radio) == (True, 0xE0006)
