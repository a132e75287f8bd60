"""Detections: the digits as written, no ellipse that was not delivered, and markings that are never half understood."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.errors import MalformedError
from relto.formats import detection
from relto.formats.draft import Draft, Intake
from relto.item import Item, new_item
from relto.kinds.spec import shipped_kinds
from relto.labels import NOFORN, Category, Handling, Label, dominates

pytestmark = pytest.mark.pure

NOW_MS = parse_utc("2026-11-23T09:00:00Z")
ELLIPSE = {"semi_major_m": 900, "semi_minor_m": 300, "orientation_deg": 45, "confidence_pct": 95}
Json = dict[str, Any]


def feature(coordinates: list[Any] | None = None, *, id: object = "D1", **properties: Any) -> Json:
    stated = {"sensor": "rf", "observed": "2026-11-23T08:00:00Z", "ellipse": ELLIPSE} | properties
    return {
        "type": "Feature",
        "id": id,
        "geometry": {"type": "Point", "coordinates": [103.8, 1.25] if coordinates is None else coordinates},
        "properties": {name: value for name, value in stated.items() if value is not None},
    }


def write(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def read(content: bytes) -> Intake:
    return detection.read_geojson(content, received_ms=NOW_MS)


def draft_of(value: Json) -> Draft:
    (draft,) = read(write(value)).drafts
    return draft


# --- forms ---


def test_a_collection_is_cut_into_the_bytes_of_its_features() -> None:
    first, second = write(feature(id="a")), write(feature(id=2))
    drafts = read(b'{"type": "FeatureCollection", "features": [ %s ,%s]}' % (first, second)).drafts
    assert [draft.content for draft in drafts] == [first, second]
    assert [draft.external_id for draft in drafts] == ["a", "2"]
    assert (drafts[0].kind, drafts[0].media_type) == ("maritime.detection", "application/geo+json")
    assert drafts[0].kind in shipped_kinds()


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\n\x1e", b"\n\n"])
def test_one_feature_a_line_is_read_line_by_line(separator: bytes) -> None:
    lines = [json.dumps(feature(id=name)).encode() for name in "abc"]
    intake = read(separator.join([lines[0], b"{broken", *lines[1:]]))
    assert [draft.content for draft in intake.drafts] == lines
    assert intake.summary.rejected == {"BAD_JSON": 1}


def test_a_feature_by_itself_is_read() -> None:
    assert draft_of(feature()).content == write(feature())


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (write(feature()), "geojson"),
        (b'\xef\xbb\xbf {"type" : "FeatureCollection"', "geojson"),
        (b"lon,lat,observed,sensor,id\r\n", "csv"),
        (b"lon,lat,observed\r\n", None),
        (b'{"type":"bundle"}', None),
    ],
)
def test_detections_are_told_by_their_beginning(content: bytes, found: str | None) -> None:
    assert detection.sniff(content) == found


@pytest.mark.parametrize(
    "content",
    [
        b'{"type":"Topology","features":[]}',
        b'{"type":"FeatureCollection","features":[],"features":[]}',
        b'{"type":"FeatureCollection","features":[',
        b"\xff\xfe",
    ],
)
def test_a_file_that_is_no_collection_is_refused_whole(content: bytes) -> None:
    intake = read(content)
    assert not intake.drafts
    assert sum(intake.summary.rejected.values()) == 1


def test_written_features_are_read_again_byte_for_byte() -> None:
    drafts = [draft_of(feature(id=name)) for name in "ab"]
    again = read(detection.write_geojson(map(item_of, drafts))).drafts
    assert list(again) == drafts


def test_nothing_but_features_is_written() -> None:
    item = new_item(
        id="0" * 32,
        kind="cyber.vulnerability",
        origin="JPN",
        observed_ms=0,
        until_ms=0,
        label=Label(handling=Handling(), originators=("JPN",)),
        content=b"{}",
        media_type="application/json",
    )
    with pytest.raises(MalformedError):
        detection.write_geojson([item])


def item_of(draft: Draft) -> Item:
    return new_item(
        id="0" * 32,
        kind=draft.kind,
        origin="JPN",
        observed_ms=draft.observed_ms,
        until_ms=draft.until_ms,
        place=draft.place,
        label=Label(handling=draft.handling, originators=("JPN",)),
        content=draft.content,
        media_type=draft.media_type,
    )


# --- one detection ---


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (feature() | {"type": "feature"}, "NOT_A_FEATURE"),
        (feature() | {"properties": None}, "NOT_A_FEATURE"),
        ([feature()], "NOT_AN_OBJECT"),
        (feature() | {"geometry": None}, "NOT_A_POINT"),
        (feature() | {"geometry": {"type": "Polygon", "coordinates": []}}, "NOT_A_POINT"),
        (feature(["103.8", "1.25"]), "NOT_A_POINT"),
        (feature([True, 1]), "NOT_A_POINT"),
        (feature([1.0]), "NOT_A_POINT"),
        (feature([1.25, 103.8]), "POSITION_OUT_OF_RANGE"),  # latitude first
        (feature([180.00000001, 0]), "POSITION_OUT_OF_RANGE"),
        (feature(observed="2026-11-23T08:00:00+09:00"), "BAD_TIME"),
        (feature(observed="1969-12-31T23:59:59Z"), "BAD_TIME"),
        (feature(observed=1763884800), "BAD_TIME"),
        (feature(observed="2026-11-23T09:11:00Z"), "FUTURE_TIME"),
        (feature(sensor="sonar"), "SENSOR_UNKNOWN"),
        (feature(ellipse=None), "ELLIPSE_MISSING"),
        (feature(sensor="sar", ellipse=None), "ELLIPSE_MISSING"),
        (feature(ellipse=ELLIPSE | {"semi_minor_m": 0}), "ELLIPSE_INVALID"),
        (feature(ellipse=ELLIPSE | {"semi_minor_m": 901}), "ELLIPSE_INVALID"),
        (feature(ellipse=ELLIPSE | {"semi_major_m": "900"}), "ELLIPSE_INVALID"),
        (feature(ellipse=ELLIPSE | {"confidence_pct": 100}), "ELLIPSE_INVALID"),
        (feature(ellipse=ELLIPSE | {"orientation_deg": 361}), "ELLIPSE_INVALID"),
        (feature(ellipse=[1, 2, 3, 4]), "ELLIPSE_INVALID"),
        (feature(length_m=-1), "PROPERTY_INVALID"),
        (feature(rf={"frequency_mhz": "9410"}), "PROPERTY_INVALID"),
        (feature(rf="X"), "PROPERTY_INVALID"),
        (feature(exercise="yes"), "PROPERTY_INVALID"),
        (feature(confidence=[1]), "PROPERTY_INVALID"),
        (feature(remarks="x" * 4097), "PROPERTY_INVALID"),
        (feature(id=1.5), "BAD_ID"),
        (feature(id="x" * (BOUNDS.text_chars + 1)), "BAD_ID"),
    ],
)
def test_a_bad_feature_is_refused_and_its_neighbours_are_kept(value: Any, reason: str) -> None:
    good = [feature(id="a"), feature(id="b")]
    intake = read(write({"type": "FeatureCollection", "features": [good[0], value, good[1]]}))
    assert [draft.external_id for draft in intake.drafts] == ["a", "b"]
    assert intake.summary.rejected == {reason: 1}
    assert (intake.summary.read, intake.summary.rejects[0].where) == (3, "feature 1")


def test_the_same_id_twice_is_refused_and_features_without_one_are_not() -> None:
    features = [feature(id="a"), feature(id="a"), feature(id=""), feature(id="")]
    intake = read(write({"type": "FeatureCollection", "features": features}))
    assert (len(intake.drafts), intake.summary.rejected) == (3, {"DUPLICATE_ID": 1})


@pytest.mark.parametrize("sensor", ["viirs", "eo"])
def test_sensors_without_an_ellipse_need_none(sensor: str) -> None:
    assert draft_of(feature(sensor=sensor, ellipse=None)).place is not None


def test_a_title_says_what_was_seen_and_not_where() -> None:
    assert draft_of(feature(rf={"band": "X"}, length_m=142.5)).title == "RF X band 142.5 m"


@pytest.mark.parametrize(
    ("written", "lon_e7"),
    [
        ("103.80000005", 1_038_000_000),  # half: to even
        ("103.80000015", 1_038_000_002),
        ("103.8000000500000000000001", 1_038_000_001),  # a binary fraction would have lost the last digit
        ("103.8000001499999999999999", 1_038_000_001),
        ("1.038E2", 1_038_000_000),
        ("-0", 0),
    ],
)
def test_a_position_is_that_of_the_digits_as_written(written: str, lon_e7: int) -> None:
    content = write(feature([7, 1])).replace(b"7,\n", written.encode() + b",\n", 1)
    (draft,) = read(content).drafts
    assert draft.place is not None
    assert (draft.place.west_e7, draft.place.east_e7) == (lon_e7, lon_e7)
    assert draft.place.south_e7 == 10_000_000
    assert draft.content == content


@given(st.decimals(-180, 180, places=9, allow_nan=False, allow_infinity=False))
@settings(max_examples=60, deadline=None)
def test_every_position_is_rounded_half_to_even(lon: Decimal) -> None:
    content = write(feature([7, 1])).replace(b"7,\n", f"{lon:f}".encode() + b",\n", 1)
    (draft,) = read(content).drafts
    assert draft.place is not None
    assert draft.place.west_e7 == int((lon * 10**7).to_integral_value(ROUND_HALF_EVEN))


# --- markings ---


def test_what_the_provider_demands_is_the_handling() -> None:
    marking = {"rel_to": ["USA", "JPN"], "tlp": "amber"}
    draft = draft_of(feature(licence="HAWK-7", marking=marking))
    assert draft.handling == Handling(
        categories=(Category("REL TO", "permissive", ("JPN", "USA")),), tlp="AMBER", licences=("HAWK-7",)
    )


def test_a_part_is_a_portion_and_the_marking_as_strict_as_all_parts() -> None:
    parts = [
        {"selector": "properties.rf.pulse", "noforn": True},
        {"selector": "properties.remarks", "tlp": "RED"},
        {"selector": "properties.remarks", "rel_to": ["USA"]},
    ]
    pulse = {"band": "X", "pulse": {"prf_hz": 900, "width_us": 1}}
    draft = draft_of(feature(rf=pulse, remarks="seen twice", marking={"tlp": "GREEN", "portions": parts}))
    found = {portion.selector: portion.handling for portion in draft.portions}
    assert found.keys() == {"properties.rf.pulse", "properties.remarks", "properties.marking"}
    assert found["properties.remarks"] == Handling(categories=(Category("REL TO", "permissive", ("USA",)),), tlp="RED")
    assert all(dominates(found["properties.marking"], each) for each in found.values())
    assert Category(NOFORN, "restrictive") in found["properties.marking"].categories
    assert draft.handling == Handling(tlp="GREEN")


@pytest.mark.parametrize(
    "marking",
    [
        "NOFORN",
        {"releasable": ["USA"]},
        {"noforn": False},
        {"noforn": "true"},
        {"rel_to": "USA"},
        {"rel_to": ["usa; drop"]},
        {"tlp": 5},
        {"tlp": "x" * 300},
        {"portions": {}},
        {"portions": [{"selector": "properties.rf"}]},
        {"portions": [{"selector": "properties.absent", "noforn": True}]},
        {"portions": [{"selector": "properties.remarks", "noforn": True, "until": "2027"}]},
        {"portions": [{"noforn": True}]},
    ],
)
def test_a_marking_that_is_not_understood_refuses_the_record(marking: object) -> None:
    intake = read(write(feature(remarks="seen", rf={"band": "X"}, marking=marking)))
    assert not intake.drafts
    assert intake.summary.rejected == {"BAD_MARKING": 1}


def test_an_unknown_colour_restricts() -> None:
    assert draft_of(feature(marking={"tlp": "purple"})).handling.values("TLP", "restrictive") == ("PURPLE",)


# --- tables ---

HEADER = "id,observed,lat,lon,sensor,semi_major_m,semi_minor_m,orientation_deg,confidence_pct,remarks\r\n"
ROW = "D1,2026-11-23T08:00:00Z,1.25000000,103.80000005,rf,900,300,45,95,"


def table(*rows: str, header: str = HEADER) -> Intake:
    return detection.read_csv((header + "\r\n".join(rows)).encode(), received_ms=NOW_MS)


def test_a_row_becomes_a_feature_with_the_digits_of_the_row() -> None:
    (draft,) = table(ROW + '"seen, ""twice"""').drafts
    written = json.loads(draft.content, parse_float=str)
    assert written["geometry"]["coordinates"] == ["103.80000005", "1.25000000"]
    assert written["properties"]["ellipse"] == ELLIPSE
    assert written["properties"]["remarks"] == 'seen, "twice"'
    assert read(draft.content).drafts == (draft,)


def test_a_cell_may_go_over_lines_and_a_stray_quote_costs_only_its_row() -> None:
    rows = [ROW + '"two\r\nlines"', ROW.replace("D1", "D2") + '"stray', ROW.replace("D1", "D3"), "short,row", ""]
    intake = table(*rows)
    assert [draft.external_id for draft in intake.drafts] == ["D1", "D3"]
    assert json.loads(intake.drafts[0].content)["properties"]["remarks"] == "two\nlines"
    assert intake.summary.rejected == {"BAD_ROW": 2}


def test_two_stray_quotes_do_not_swallow_the_rows_between_them() -> None:
    rows = [ROW + '"stray', ROW.replace("D1", "D2") + "good", ROW.replace("D1", "D3") + 'the 5" gun']
    intake = table(*rows)
    assert [draft.external_id for draft in intake.drafts] == ["D2", "D3"]
    assert intake.summary.rejected == {"BAD_ROW": 1}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("id,observed,lat,lon\r\n", "BAD_HEADER"),
        ("observed,lat,lon,sensor,lat\r\n", "BAD_HEADER"),
        ("observed,lat,lon,sensor,\r\n", "BAD_HEADER"),
        ("", "BAD_HEADER"),
    ],
)
def test_a_table_without_a_clear_header_is_refused(header: str, reason: str) -> None:
    assert table(ROW, header=header).summary.rejected == {reason: 1}


@pytest.mark.parametrize("lat", ["", "1,25", "0x1", "nan", "1e9999", "１.25", "+1.25", "01.25"])
def test_a_cell_that_is_no_decimal_number_is_refused(lat: str) -> None:
    intake = table(ROW.replace("1.25000000", f'"{lat}"'), ROW)
    assert intake.summary.rejected == {"BAD_NUMBER": 1}
    assert len(intake.drafts) == 1


def test_a_table_in_another_encoding_is_refused_and_a_byte_order_mark_is_not() -> None:
    content = (HEADER + ROW).encode()
    latin = detection.read_csv(content + "é".encode("latin-1"), received_ms=NOW_MS)
    assert latin.summary.rejected == {"NOT_UTF8": 1}
    assert detection.read_csv(b"\xef\xbb\xbf" + content, received_ms=NOW_MS).drafts


@given(st.binary(max_size=60), st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_no_bytes_break_the_readers_or_their_counts(noise: bytes, at: int) -> None:
    lines = b"\n".join(json.dumps(feature(id=n)).encode() for n in range(3))
    for content, reader in ((lines, detection.read_geojson), ((HEADER + ROW).encode(), detection.read_csv)):
        intake = reader(content[:at] + noise + content[at:], received_ms=NOW_MS)
        assert intake.summary.accepted == len(intake.drafts)
        assert intake.summary.read == intake.summary.accepted + sum(intake.summary.rejected.values())
