"""The exercise comes out the same every time, in the forms of real feeds, true to its truth and plainly an exercise."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import ipaddress
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pyais
import pyarrow.parquet as pq
import pytest
import stix2
from stix2validator import ValidationOptions, validate_string

from relto.clock import format_utc, parse_utc
from relto.errors import OurError
from relto.exercise.area import Point, distance_m, moved, read_area
from relto.exercise.bundles import SHARED_DOMAIN, TLP_2_0, VICTIM_NAME, WITHDRAWN_ADDRESS
from relto.exercise.detection import CSV_COLUMNS
from relto.exercise.scenario import NATIONS, Detection, Feed, Scenario, Vessel, cyber, generate, withdrawal
from relto.exercise.voyage import motion, muster

START_MS = parse_utc("2026-10-20T03:00:00Z")
AIS_UNIT_DEG = 1 / 600_000
DATA = Path(str(files("relto.exercise"))) / "data"
MAX_SHIPPED_BYTES = 2_500_000

TAGGED = re.compile(rb"\\([^\\*]+)\*([0-9A-F]{2})\\(!([^!*]+)\*([0-9A-F]{2}))")


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return generate(7, START_MS)


@pytest.fixture(scope="module")
def bundles() -> dict[str, dict[str, Any]]:
    return {nation: json.loads(content) for nation, content in cyber(7, START_MS).items()}


def nmea_feeds(scenario: Scenario) -> list[Feed]:
    return [feed for feed in scenario.feeds if feed.name.endswith(".nmea")]


def xor(content: bytes) -> str:
    found = 0
    for byte in content:
        found ^= byte
    return f"{found:02X}"


def tag_fields(tag: bytes) -> dict[str, str]:
    return dict(field.split(":", 1) for field in tag.decode().split(","))


@pytest.fixture(scope="module")
def messages(scenario: Scenario) -> list[tuple[int, Any]]:
    return [message for feed in nmea_feeds(scenario) for message in heard(feed)]


def heard(feed: Feed) -> Iterator[tuple[int, Any]]:
    """Each message of a log as pyais reads it, with the time of its tag block."""
    parts: list[bytes] = []
    at_ms = 0
    for line in feed.content.splitlines():
        match = TAGGED.fullmatch(line)
        assert match
        tag = tag_fields(match[1])
        at_ms = int(tag["c"]) * 1000 if "c" in tag else at_ms
        parts.append(match[3])
        count, number = match[4].split(b",")[1:3]
        if count == number:
            yield at_ms, pyais.decode(*parts)
            parts.clear()
    assert not parts


def digest(scenario: Scenario) -> str:
    total = hashlib.sha256()
    for feed in scenario.feeds:
        total.update(f"{feed.nation}/{feed.name}\n".encode() + feed.content)
    return total.hexdigest()


def test_same_arguments_give_the_same_bytes() -> None:
    one, two = (generate(7, START_MS, vessels=40, hours=2) for _ in range(2))
    assert one == two
    assert cyber(7, START_MS) == cyber(7, START_MS)
    assert withdrawal(7, START_MS) == withdrawal(7, START_MS)


def test_same_bytes_under_another_hash_seed() -> None:
    code = (
        "import hashlib; from relto.exercise.scenario import generate, cyber; total = hashlib.sha256()\n"
        f"for feed in generate(3, {START_MS}, vessels=20, hours=1).feeds:\n"
        "    total.update(f'{feed.nation}/{feed.name}\\n'.encode() + feed.content)\n"
        f"total.update(b''.join(cyber(3, {START_MS}).values())); print(total.hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_another_seed_gives_another_exercise() -> None:
    one, two = (generate(seed, START_MS, vessels=20, hours=1) for seed in (1, 2))
    assert digest(one) != digest(two)
    assert cyber(1, START_MS)["JPN"] != cyber(2, START_MS)["JPN"]


def test_every_nation_reports_and_no_feed_is_empty(scenario: Scenario) -> None:
    by_nation = {nation: {feed.name for feed in scenario.feeds_of(nation)} for nation in NATIONS}
    assert all("ais-shore.nmea" in names for names in by_nation.values())
    assert {"ais-satellite.nmea", "rf.geojson"} <= by_nation["USA"]
    assert "sar.geojson" in by_nation["JPN"] & by_nation["AUS"]
    assert "sar.csv" in by_nation["IND"]
    assert all(feed.content for feed in scenario.feeds)
    assert sum(len(names) for names in by_nation.values()) == len(scenario.feeds)


def test_sentences_have_valid_checksums_and_lengths_in_the_order_of_hearing(scenario: Scenario) -> None:
    for feed in nmea_feeds(scenario):
        assert feed.content.endswith(b"\r\n")
        last_ms = scenario.start_ms
        for line in feed.content.split(b"\r\n")[:-1]:
            match = TAGGED.fullmatch(line)
            assert match, line
            assert xor(match[1]) == match[2].decode()
            assert xor(match[4]) == match[5].decode()
            assert len(match[3]) + 2 <= 82
            tag = tag_fields(match[1])
            if "c" in tag:
                assert last_ms <= int(tag["c"]) * 1000 < scenario.end_ms
                assert tag["s"].startswith(f"EX{feed.nation}") and len(tag["s"]) <= 15
                last_ms = int(tag["c"]) * 1000
            else:
                assert tag["g"].split("-")[0] != "1"


def test_positions_decode_to_the_truth(scenario: Scenario, messages: list[tuple[int, Any]]) -> None:
    vessels = {vessel.mmsi: vessel for vessel in scenario.vessels}
    kinds = set()
    for at_ms, message in messages:
        kinds.add(message.msg_type)
        if message.msg_type in (5, 24):
            continue
        vessel = vessels[message.mmsi]
        truth = motion(vessel, at_ms)
        assert abs(message.lon - truth.lon_deg) <= AIS_UNIT_DEG
        assert abs(message.lat - truth.lat_deg) <= AIS_UNIT_DEG
        assert abs(message.speed - truth.speed_kn) <= 0.051
        assert abs((message.course - truth.course_deg + 180) % 360 - 180) <= 0.051
        assert message.second == at_ms // 1000 % 60
        assert (message.msg_type == 18) == (vessel.transponder == "B")
    assert kinds == {1, 3, 5, 18, 24}


def test_statics_decode_to_the_truth(scenario: Scenario, messages: list[tuple[int, Any]]) -> None:
    vessels = {vessel.mmsi: vessel for vessel in scenario.vessels}
    for _, message in messages:
        vessel = vessels[message.mmsi]
        if message.msg_type == 5:
            assert message.destination.strip() == vessel.destination
            assert message.draught == pytest.approx(vessel.draught_dm / 10)
            assert message.imo == 0
        if message.msg_type == 5 or (message.msg_type == 24 and message.partno == 0):
            assert message.shipname.strip() == vessel.name
        if message.msg_type == 5 or (message.msg_type == 24 and message.partno == 1):
            assert message.ship_type == vessel.ship_type
            assert message.callsign.strip() == vessel.callsign
            assert message.to_bow + message.to_stern == vessel.length_m


def test_nobody_hears_a_silent_vessel(scenario: Scenario, messages: list[tuple[int, Any]]) -> None:
    vessels = {vessel.mmsi: vessel for vessel in scenario.vessels}
    spoke = set()
    for at_ms, message in messages:
        assert not vessels[message.mmsi].is_silent(at_ms)
        spoke.add(message.mmsi)
    unlit = [vessel for vessel in scenario.vessels if vessel.kind == "unlit"]
    assert len(unlit) >= 3
    assert not spoke & {vessel.mmsi for vessel in unlit}
    gone_dark = [vessel for vessel in scenario.vessels if vessel.behaviour == "transit" and vessel.silent]
    assert any(vessel.mmsi in spoke for vessel in gone_dark)


def test_names_and_numbers_are_plainly_of_an_exercise(scenario: Scenario) -> None:
    assert len({vessel.mmsi for vessel in scenario.vessels}) == len(scenario.vessels) == 180
    assert len({vessel.name for vessel in scenario.vessels}) == len(scenario.vessels)
    for vessel in scenario.vessels:
        assert re.fullmatch(r"[2-7]\d\d999\d{3}", str(vessel.mmsi))
        assert vessel.name.startswith("EXERCISE ") and len(vessel.name) <= 20
        assert re.fullmatch(r"EX\d{4}", vessel.callsign)


def test_the_largest_exercise_keeps_its_names_and_numbers_apart() -> None:
    vessels = muster(Random(1), read_area(), START_MS, START_MS + 3_600_000, 1000)
    assert len({vessel.mmsi for vessel in vessels}) == len({vessel.name for vessel in vessels}) == 1000
    assert max(len(vessel.name) for vessel in vessels) <= 20


def test_vessels_stay_in_the_area(scenario: Scenario) -> None:
    for vessel in scenario.vessels:
        for at_ms in range(scenario.start_ms, scenario.end_ms + 1, 1_800_000):
            here = motion(vessel, at_ms)
            assert 68 <= here.lon_deg <= 147 and -21 <= here.lat_deg <= 43
            assert here.speed_kn <= 21.5


def near_a_cable(place: Point, reach_m: float) -> bool:
    return any(
        distance_m(place, (start[0] + (end[0] - start[0]) * step / 400, start[1] + (end[1] - start[1]) * step / 400))
        < reach_m
        for cable in read_area().cables
        for start, end in zip(cable.points, cable.points[1:], strict=False)
        for step in range(401)
    )


def test_unlit_vessels_lie_about_the_cables(scenario: Scenario) -> None:
    for vessel in scenario.vessels:
        if vessel.kind == "unlit":
            middle = motion(vessel, (scenario.start_ms + scenario.end_ms) // 2)
            assert near_a_cable((middle.lon_deg, middle.lat_deg), 10_000)


def test_the_first_detection_is_the_unlit_contact_of_the_scenario(scenario: Scenario) -> None:
    first = scenario.detections[0]
    assert (first.id, first.nation, first.sensor, first.dark) == ("rf-000001", "USA", "rf", True)
    assert (first.lon_deg, first.lat_deg, first.observed_ms) == (120.45678, 12.34567, START_MS)
    assert "12.34567 N 120.45678 E" in first.remarks
    assert near_a_cable((first.lon_deg, first.lat_deg), 1000)


def test_dark_means_that_the_ais_was_off(scenario: Scenario) -> None:
    vessels = {vessel.mmsi: vessel for vessel in scenario.vessels}
    for detection in scenario.detections:
        silent = detection.mmsi is not None and vessels[detection.mmsi].is_silent(detection.observed_ms)
        assert detection.dark == silent
    for nation in ("USA", "JPN", "AUS"):
        assert {report.dark for report in scenario.detections if report.nation == nation} == {True, False}
    assert any(report.mmsi is None for report in scenario.detections)


def in_ellipse(detection: Detection, truth: Point) -> bool:
    """Whether the true place lies inside: |p - f1| + |p - f2| <= 2a, by the two foci."""
    a_m, b_m = detection.ellipse.semi_major_m, detection.ellipse.semi_minor_m
    turn = math.radians(detection.ellipse.orientation_deg)
    east, north = math.sin(turn), math.cos(turn)
    focus_m = (a_m**2 - b_m**2) ** 0.5
    seen = (detection.lon_deg, detection.lat_deg)
    foci = (moved(seen, east * side * focus_m, north * side * focus_m) for side in (1, -1))
    return sum(distance_m(truth, focus) for focus in foci) <= 2 * a_m


def test_the_truth_lies_in_the_ellipse_about_as_often_as_it_says(scenario: Scenario) -> None:
    vessels = {vessel.mmsi: vessel for vessel in scenario.vessels}
    inside = []
    for detection in scenario.detections:
        if detection.mmsi is not None:
            here = motion(vessels[detection.mmsi], detection.observed_ms)
            inside.append(in_ellipse(detection, (here.lon_deg, here.lat_deg)))
    assert len(inside) > 200
    assert 0.92 <= sum(inside) / len(inside) <= 0.98


def test_most_lit_detections_can_be_matched_with_something_heard(
    scenario: Scenario, messages: list[tuple[int, Any]]
) -> None:
    calls: dict[int, list[int]] = {}
    for at_ms, message in messages:
        calls.setdefault(message.mmsi, []).append(at_ms)
    lit = [report for report in scenario.detections if report.mmsi is not None and not report.dark]
    matched = [
        any(abs(at_ms - report.observed_ms) <= 3_600_000 for at_ms in calls.get(report.mmsi or 0, [])) for report in lit
    ]
    assert sum(matched) / len(lit) > 0.85


RF_KEYS = {"sensor", "observed", "ellipse", "confidence", "rf", "provider", "licence", "remarks", "exercise"}
SAR_KEYS = RF_KEYS - {"rf"} | {"length_m"}


def test_geojson_detections_have_the_agreed_form(scenario: Scenario) -> None:
    truth = {report.id: report for report in scenario.detections}
    seen = set()
    for feed in (feed for feed in scenario.feeds if feed.name.endswith(".geojson")):
        collection = json.loads(feed.content)
        assert collection["type"] == "FeatureCollection"
        for feature in collection["features"]:
            report = truth[feature["id"]]
            assert feature["type"] == "Feature"
            assert set(feature) == {"type", "id", "geometry", "properties"}
            assert feature["geometry"] == {"type": "Point", "coordinates": [report.lon_deg, report.lat_deg]}
            assert f"{report.sensor}.geojson" == feed.name and report.nation == feed.nation
            check_properties(feature["properties"], report)
            seen.add(report.id)
    assert seen == {report.id for report in scenario.detections if report.nation != "IND"}


def check_properties(properties: dict[str, Any], report: Detection) -> None:
    keys = RF_KEYS if report.sensor == "rf" else SAR_KEYS
    assert set(properties) - {"heading_deg"} == keys
    assert properties["exercise"] is True
    assert properties["observed"] == format_utc(report.observed_ms)
    ellipse = properties["ellipse"]
    assert set(ellipse) == {"semi_major_m", "semi_minor_m", "orientation_deg", "confidence_pct"}
    assert ellipse["semi_major_m"] >= ellipse["semi_minor_m"] > 0
    assert 0 <= ellipse["orientation_deg"] < 180 and ellipse["confidence_pct"] == 95
    assert 0 < properties["confidence"] < 1
    assert 0 <= properties.get("heading_deg", 0) < 360
    assert properties["provider"].startswith("EXERCISE ") and properties["remarks"].startswith("EXERCISE. ")
    if report.sensor == "rf":
        assert properties["licence"] == "gov-partners-only"
        assert set(properties["rf"]) == {"band", "frequency_mhz", "pulse"}
        assert set(properties["rf"]["pulse"]) == {"prf_hz", "width_us"}
        assert properties["rf"]["band"] in {"X", "S"}


def test_csv_detections_have_the_agreed_columns(scenario: Scenario) -> None:
    truth = {report.id: report for report in scenario.detections}
    (feed,) = [feed for feed in scenario.feeds if feed.name == "sar.csv"]
    rows = list(csv.DictReader(io.StringIO(feed.content.decode(), newline="")))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == sum(report.nation == "IND" for report in scenario.detections)
    for row in rows:
        report = truth[row["id"]]
        assert (float(row["lon"]), float(row["lat"])) == (report.lon_deg, report.lat_deg)
        assert parse_utc(row["observed"]) == report.observed_ms
        assert (row["heading_deg"] == "") == (report.heading_deg is None)
        assert row["remarks"].startswith("EXERCISE. ")


def test_feeds_number_their_detections_once_and_never_tell_the_truth(scenario: Scenario) -> None:
    ids = [report.id for report in scenario.detections]
    assert len(set(ids)) == len(ids)
    for sensor in ("rf", "sar"):
        reports = [report for report in scenario.detections if report.sensor == sensor]
        assert [report.id for report in reports] == sorted(report.id for report in reports)
        assert [report.observed_ms for report in reports] == sorted(report.observed_ms for report in reports)
    for feed in (feed for feed in scenario.feeds if not feed.name.endswith(".nmea")):
        assert b"dark" not in feed.content and b"mmsi" not in feed.content
        assert not any(str(vessel.mmsi).encode() in feed.content for vessel in scenario.vessels)


def test_remarks_write_positions_in_four_ways(scenario: Scenario) -> None:
    remarks = " ".join(report.remarks for report in scenario.detections)
    for form in (
        r"Position \d+\.\d{5} [NS] \d+\.\d{5} [EW]",
        r"Position \(-?\d+\.\d{5}, -?\d+\.\d{5}\)",
        r"Position \d\d°\d\d\.\d{3}'[NS] \d{3}°\d\d\.\d{3}'[EW]",
        r"Position \d\d-\d\d-\d\d[NS] \d{3}-\d\d-\d\d[EW]",
    ):
        assert re.search(form, remarks), form
    told = [report for report in scenario.detections if " N " in report.remarks and " E" in report.remarks]
    assert all(f"{report.lat_deg:.5f} N {report.lon_deg:.5f} E" in report.remarks for report in told)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("vessels", {"vessels": 19}),
        ("vessels", {"vessels": 1001}),
        ("hours", {"hours": 0}),
        ("hours", {"hours": 73}),
        ("start_ms", {"start_ms": -1000}),
        ("start_ms", {"start_ms": START_MS + 1}),
    ],
)
def test_arguments_out_of_range_are_named(field: str, arguments: dict[str, int]) -> None:
    with pytest.raises(OurError) as caught:
        generate(1, **{"start_ms": START_MS, **arguments})
    assert caught.value.field == field and caught.value.remedy


def test_the_smallest_exercise_has_all_its_parts() -> None:
    small = generate(5, START_MS, vessels=20, hours=1)
    behaviours = {vessel.behaviour for vessel in small.vessels}
    assert behaviours == {"loiter", "meet", "fishing", "transit"}
    assert small.detections[0].dark


def test_meeting_vessels_drift_within_500_metres_for_two_hours(scenario: Scenario) -> None:
    pairs = [vessel for vessel in scenario.vessels if vessel.behaviour == "meet"]
    assert pairs
    for carrier, fisher in zip(pairs[::2], pairs[1::2], strict=True):
        together = [
            at_ms
            for at_ms in range(scenario.start_ms, scenario.end_ms, 60_000)
            if apart_m(carrier, fisher, at_ms) < 500 and motion(carrier, at_ms).speed_kn < 2
        ]
        assert together[-1] - together[0] >= 7_200_000
        assert len(together) == (together[-1] - together[0]) // 60_000 + 1


def apart_m(one: Vessel, other: Vessel, at_ms: int) -> float:
    here, there = motion(one, at_ms), motion(other, at_ms)
    return distance_m((here.lon_deg, here.lat_deg), (there.lon_deg, there.lat_deg))


def every_bundle() -> dict[str, bytes]:
    return {**cyber(7, START_MS), "withdrawal": withdrawal(7, START_MS)}


@pytest.mark.parametrize("name", ["JPN", "USA", "AUS", "IND", "withdrawal"])
def test_bundles_are_valid_stix(name: str) -> None:
    content = every_bundle()[name].decode()
    assert stix2.parse(content, allow_custom=True)["type"] == "bundle"
    found = validate_string(content, ValidationOptions(version="2.1"))
    assert found.is_valid, found.errors


def references(item: dict[str, Any]) -> set[str]:
    single = {value for key, value in item.items() if key.endswith("_ref")}
    return single | {value for key, values in item.items() if key.endswith("_refs") for value in values}


@pytest.mark.parametrize("name", ["JPN", "USA", "AUS", "IND", "withdrawal"])
def test_bundles_hold_everything_they_refer_to_and_mark_everything(name: str) -> None:
    objects = json.loads(every_bundle()[name])["objects"]
    ids = {item["id"] for item in objects}
    assert len(ids) == len(objects)
    assert set().union(*map(references, objects)) <= ids
    for item in objects:
        assert item["type"] == "marking-definition" or len(item["object_marking_refs"]) == 1
        if item["type"] == "marking-definition":
            assert item["id"] == TLP_2_0[item["name"].removeprefix("TLP:").lower()]


def test_the_hidden_victim_has_the_shape_of_its_scenario(bundles: dict[str, dict[str, Any]]) -> None:
    objects = bundles["JPN"]["objects"]
    by_type: dict[str, list[dict[str, Any]]] = {}
    for item in objects:
        by_type.setdefault(item["type"], []).append(item)
    counts = {kind: len(items) for kind, items in by_type.items()}
    assert counts == {
        "indicator": 3, "malware": 1, "identity": 1, "sighting": 1, "relationship": 4, "marking-definition": 2,
    }  # fmt: skip
    patterns = sorted(item["pattern"].split(":")[0] for item in by_type["indicator"])
    assert patterns == ["[domain-name", "[file", "[ipv4-addr"]
    (victim,) = by_type["identity"]
    assert victim["name"] == VICTIM_NAME and victim["object_marking_refs"] == [TLP_2_0["red"]]
    assert by_type["sighting"][0]["where_sighted_refs"] == [victim["id"]]
    assert any(item["target_ref"] == victim["id"] for item in by_type["relationship"])
    for item in objects:
        if item is not victim and item["type"] != "marking-definition":
            assert item["object_marking_refs"] == [TLP_2_0["amber+strict"]]
            assert VICTIM_NAME not in json.dumps(item)


def test_two_nations_report_the_same_domain_under_their_own_identifiers(bundles: dict[str, dict[str, Any]]) -> None:
    found = [
        item["id"]
        for nation in ("JPN", "USA")
        for item in bundles[nation]["objects"]
        if SHARED_DOMAIN in item.get("pattern", "")
    ]
    assert len(set(found)) == 2


def test_the_withdrawal_revokes_the_address_under_its_own_identifier(bundles: dict[str, dict[str, Any]]) -> None:
    (revoked,) = [item for item in json.loads(withdrawal(7, START_MS))["objects"] if item["type"] == "indicator"]
    (first,) = [item for item in bundles["JPN"]["objects"] if item["id"] == revoked["id"]]
    assert WITHDRAWN_ADDRESS in first["pattern"] and "revoked" not in first
    assert revoked["revoked"] is True and revoked["modified"] > first["modified"]
    assert {**revoked, "modified": first["modified"]} == {**first, "revoked": True}


DOCUMENTATION = [ipaddress.ip_network(block) for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]


def test_bundles_name_no_real_host_or_organisation(bundles: dict[str, dict[str, Any]]) -> None:
    for bundle in bundles.values():
        text = json.dumps(bundle)
        for item in bundle["objects"]:
            if item["type"] in {"identity", "malware", "indicator", "vulnerability"}:
                assert item["name"].startswith("EXERCISE")
        for address in re.findall(r"\d+\.\d+\.\d+\.\d+(?:/\d+)?", text):
            network = ipaddress.ip_network(address, strict=False)
            assert address == "0.0.0.0/0" or any(network.subnet_of(block) for block in DOCUMENTATION)
        for host in re.findall(r"(?:domain-name:value = '|https://|@)([^'/]+)", text):
            assert host.endswith(".example")


def test_the_geography_says_that_it_is_invented() -> None:
    for name in ("indo_pacific.geojson", "cables.geojson"):
        for feature in json.loads((DATA / name).read_bytes())["features"]:
            assert feature["properties"]["exercise"] is True
    for lane in read_area().lanes:
        assert len(lane.points) == len(lane.half_width_m)


def test_every_shipped_file_has_its_source_and_its_sum() -> None:
    page = (DATA / "SOURCES.md").read_text()
    rows = {
        match[1]: (match[2], int(match[3].replace(",", "")), match[4])
        for match in re.finditer(
            r"^\| `([^`]+)` \|.*\| ([^|]+) \| ([\d,]+) \| `([0-9a-f]{64})` \|$", page, re.MULTILINE
        )
    }
    shipped = {path.relative_to(DATA).as_posix(): path for path in DATA.rglob("*") if path.is_file()}
    shipped.pop("SOURCES.md")
    assert set(rows) == set(shipped)
    for name, path in shipped.items():
        section, size, sum_ = rows[name]
        content = path.read_bytes()
        assert f"\n## {section}\n" in page
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sum_)
    assert sum(path.stat().st_size for path in shipped.values()) < MAX_SHIPPED_BYTES


def test_the_catalogue_cut_counts_what_it_holds() -> None:
    catalogue = json.loads(
        gzip.decompress((DATA / "kev/known_exploited_vulnerabilities-2025-08-25.json.gz").read_bytes())
    )
    assert catalogue["count"] == len(catalogue["vulnerabilities"]) == 60
    assert set(catalogue) == {"title", "catalogVersion", "dateReleased", "count", "vulnerabilities"}


NOAA_COLUMNS = (
    "MMSI", "BaseDateTime", "LAT", "LON", "SOG", "COG", "Heading", "VesselName", "IMO", "CallSign", "VesselType",
    "Status", "Length", "Width", "Draft", "Cargo", "TransceiverClass",
)  # fmt: skip


def test_the_position_cut_keeps_its_columns_and_leaves_pleasure_craft_out() -> None:
    table = pq.read_table(DATA / "ais/noaa_us_pacific_2022-01-03.parquet")
    assert table.num_rows == 6060
    assert tuple(table.column_names) == NOAA_COLUMNS
    assert set(table["TransceiverClass"].to_pylist()) == {"A"}
    assert min(table["VesselType"].to_pylist()) >= 52


def test_no_shipped_event_names_the_person_who_wrote_it() -> None:
    for path in (DATA / "misp").glob("*.gz"):
        event = json.loads(gzip.decompress(path.read_bytes()))["response"][0]["Event"]
        assert event.get("event_creator_email", "") in {"", "github@eset.com"}
