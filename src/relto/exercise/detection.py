"""What radar satellites and radio-direction-finding satellites report, and the truth behind each report.

A reported position is the true one plus an error drawn from the reported ellipse: semi-axes at ``confidence_pct``,
orientation of the major axis in degrees clockwise from north. Positions have five decimals, everywhere the same.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from random import Random
from typing import Any

from relto.clock import SECOND_MS, format_utc
from relto.exercise.area import Point, distance_m, moved, moved_along
from relto.exercise.voyage import UNLIT_CONTACT, Radar, Vessel, motion

MINUTE_MS = 60 * SECOND_MS
CSV_COLUMNS = (
    "id", "observed", "lat", "lon", "sensor", "semi_major_m", "semi_minor_m", "orientation_deg", "confidence_pct",
    "confidence", "length_m", "heading_deg", "provider", "licence", "remarks",
)  # fmt: skip

_SIGMAS_AT_95_PCT = 2.4477  # two dimensions: sqrt(-2 ln 0.05)
_RF_CENTRES: tuple[Point, ...] = ((115.5, 13.0), (103.0, 3.5), (119.5, 3.0), (124.0, 24.0), (128.0, 33.0), (90.0, 9.0))
_RF_REACH_M = 1_250_000
_RF_PASS_MS = 4 * MINUTE_MS
_SCENE_REACH_M = 420_000
_SCENE_MS = MINUTE_MS


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Where the contact lies with ``confidence_pct`` percent; metres, and degrees clockwise from north."""

    semi_major_m: int
    semi_minor_m: int
    orientation_deg: int
    confidence_pct: int = 95


@dataclass(frozen=True, slots=True)
class Detection:
    """One report together with its truth.

    ``mmsi`` is the vessel that was seen, None for a false alarm; ``dark`` says that this vessel's AIS was off then.
    The other fields are what the report says; ``dark`` and ``mmsi`` never stand in a feed.
    """

    id: str
    nation: str
    sensor: str
    observed_ms: int
    lon_deg: float
    lat_deg: float
    ellipse: Ellipse
    confidence: float
    provider: str
    licence: str
    remarks: str
    mmsi: int | None
    dark: bool
    length_m: int | None = None
    heading_deg: int | None = None
    emitter: Radar | None = None


@dataclass(frozen=True, slots=True)
class Imager:
    """A nation's radar satellite: its first pass after the start, how often it comes, and where it looks."""

    nation: str
    first_ms: int
    every_ms: int
    centres: tuple[Point, ...]
    provider: str


IMAGERS = (
    Imager("JPN", 50 * MINUTE_MS, 150 * MINUTE_MS, ((121.0, 20.6), (124.8, 28.6), (117.6, 16.8)), "EXERCISE IMAGING T"),
    Imager("AUS", 80 * MINUTE_MS, 170 * MINUTE_MS, ((116.2, -8.6), (118.6, -1.5), (113.3, 11.4)), "EXERCISE IMAGING K"),
    Imager("IND", 30 * MINUTE_MS, 160 * MINUTE_MS, ((87.0, 17.5), (94.5, 7.0), (101.5, 2.4)), "EXERCISE IMAGING N"),
)
RF_PROVIDER = "EXERCISE RF SURVEY"
RF_LICENCE = "gov-partners-only"
SAR_LICENCE = "gov-own"
_RF_PASSES = (("USA", 0, 45 * MINUTE_MS), ("AUS", 65 * MINUTE_MS, 240 * MINUTE_MS))


def detect(rng: Random, vessels: tuple[Vessel, ...], start_ms: int, end_ms: int) -> tuple[Detection, ...]:
    """Everything that every nation's satellites report, in the order of observation, RF before SAR.

    The first report is always the unlit contact, observed at ``start_ms`` and reported without error.
    """
    radio = sorted(_survey(rng, vessels, start_ms, end_ms), key=lambda report: report.observed_ms)
    images = sorted(_image(rng, vessels, start_ms, end_ms), key=lambda report: report.observed_ms)
    return (*_numbered("rf", [_unlit_contact(vessels[0], start_ms), *radio]), *_numbered("sar", images))


def _numbered(prefix: str, reports: list[Detection]) -> Iterator[Detection]:
    return (replace(report, id=f"{prefix}-{number:06d}") for number, report in enumerate(reports, 1))


def _unlit_contact(vessel: Vessel, start_ms: int) -> Detection:
    lon_deg, lat_deg = UNLIT_CONTACT
    return Detection(
        id="",
        nation="USA",
        sensor="rf",
        observed_ms=start_ms,
        lon_deg=lon_deg,
        lat_deg=lat_deg,
        ellipse=Ellipse(2500, 900, 35),
        confidence=0.82,
        provider=RF_PROVIDER,
        licence=RF_LICENCE,
        remarks=f"EXERCISE. Steady navigation radar at {_decimal(UNLIT_CONTACT)}, within 1 km of the power cable.",
        mmsi=vessel.mmsi,
        dark=vessel.is_silent(start_ms),
        emitter=vessel.radar,
    )


def _survey(rng: Random, vessels: tuple[Vessel, ...], start_ms: int, end_ms: int) -> Iterator[Detection]:
    for nation, first_ms, every_ms in _RF_PASSES:
        pass_ms = start_ms + first_ms
        centres = cycle(_RF_CENTRES)
        while pass_ms + _RF_PASS_MS < end_ms:
            centre, tilt_deg = next(centres), rng.randrange(180)
            for vessel in vessels:
                observed_ms = pass_ms + rng.randint(1, _RF_PASS_MS // SECOND_MS) * SECOND_MS
                place = _place(vessel, observed_ms)
                if distance_m(place, centre) < _RF_REACH_M and rng.random() < 0.72:
                    yield _intercept(rng, nation, vessel, place, observed_ms, tilt_deg)
            pass_ms += every_ms


def _intercept(rng: Random, nation: str, vessel: Vessel, place: Point, observed_ms: int, tilt_deg: int) -> Detection:
    semi_major_m = rng.randrange(900, 6000, 50)
    ellipse = Ellipse(semi_major_m, int(semi_major_m * rng.uniform(0.25, 0.6)), (tilt_deg + rng.randint(-8, 8)) % 180)
    lon_deg, lat_deg = _smeared(rng, place, ellipse)
    return Detection(
        id="",
        nation=nation,
        sensor="rf",
        observed_ms=observed_ms,
        lon_deg=lon_deg,
        lat_deg=lat_deg,
        ellipse=ellipse,
        confidence=round(rng.uniform(0.6, 0.97), 2),
        provider=RF_PROVIDER,
        licence=RF_LICENCE,
        remarks=_remarks(rng, _RF_REMARKS, (lon_deg, lat_deg)),
        mmsi=vessel.mmsi,
        dark=vessel.is_silent(observed_ms),
        emitter=vessel.radar,
    )


def _image(rng: Random, vessels: tuple[Vessel, ...], start_ms: int, end_ms: int) -> Iterator[Detection]:
    for imager in IMAGERS:
        pass_ms = start_ms + imager.first_ms
        while pass_ms + len(imager.centres) * _SCENE_MS < end_ms:
            for number, centre in enumerate(imager.centres):
                yield from _scene(rng, imager, vessels, centre, pass_ms + number * _SCENE_MS)
            pass_ms += imager.every_ms


def _scene(
    rng: Random, imager: Imager, vessels: tuple[Vessel, ...], centre: Point, scene_ms: int
) -> Iterator[Detection]:
    """One image; long vessels show more surely than short ones, and now and then a wave shows as a vessel."""
    for vessel in vessels:
        observed_ms = scene_ms + rng.randint(1, _SCENE_MS // SECOND_MS - 1) * SECOND_MS
        here = motion(vessel, observed_ms)
        place = (here.lon_deg, here.lat_deg)
        if distance_m(place, centre) > _SCENE_REACH_M:
            continue
        if rng.random() < (0.96 if vessel.length_m > 100 else 0.85 if vessel.length_m > 30 else 0.6):
            echo = _echo(rng, imager, place, observed_ms)
            yield replace(
                echo,
                confidence=round(rng.uniform(0.7, 0.99), 2),
                length_m=max(8, round(vessel.length_m * math.exp(rng.gauss(0, 0.1)))),
                heading_deg=round(here.course_deg + rng.gauss(0, 6)) % 360 if rng.random() < 0.7 else None,
                mmsi=vessel.mmsi,
                dark=vessel.is_silent(observed_ms),
            )
        if rng.random() < 0.02:
            yield _echo(rng, imager, moved_along(place, rng.uniform(0, 360), rng.uniform(3000, 9000)), observed_ms)


def _echo(rng: Random, imager: Imager, place: Point, observed_ms: int) -> Detection:
    """A return that nobody stands behind; the caller fills in the vessel, if there is one."""
    semi_major_m = rng.randrange(120, 700, 10)
    ellipse = Ellipse(semi_major_m, int(semi_major_m * rng.uniform(0.5, 0.95)), rng.randrange(180))
    lon_deg, lat_deg = _smeared(rng, place, ellipse)
    return Detection(
        id="",
        nation=imager.nation,
        sensor="sar",
        observed_ms=observed_ms,
        lon_deg=lon_deg,
        lat_deg=lat_deg,
        ellipse=ellipse,
        confidence=round(rng.uniform(0.35, 0.7), 2),
        provider=imager.provider,
        licence=SAR_LICENCE,
        remarks=_remarks(rng, _SAR_REMARKS, (lon_deg, lat_deg)),
        mmsi=None,
        dark=False,
        length_m=rng.randint(12, 40),
    )


def _place(vessel: Vessel, at_ms: int) -> Point:
    here = motion(vessel, at_ms)
    return here.lon_deg, here.lat_deg


def _smeared(rng: Random, place: Point, ellipse: Ellipse) -> Point:
    """Add an error of the ellipse, and keep five decimals."""
    major_m = rng.gauss(0, ellipse.semi_major_m / _SIGMAS_AT_95_PCT)
    minor_m = rng.gauss(0, ellipse.semi_minor_m / _SIGMAS_AT_95_PCT)
    turn = math.radians(ellipse.orientation_deg)
    lon_deg, lat_deg = moved(
        place,
        major_m * math.sin(turn) + minor_m * math.cos(turn),
        major_m * math.cos(turn) - minor_m * math.sin(turn),
    )
    return round(lon_deg, 5), round(lat_deg, 5)


_RF_REMARKS = ("Steady navigation radar.", "Short intercept.", "Second collect asked for.", "Pulse train as last week.")
_SAR_REMARKS = ("Bright return.", "Weak return, rough sea.", "Wake visible.", "Second image asked for.")


def _remarks(rng: Random, phrases: tuple[str, ...], seen: Point) -> str:
    """What an analyst jots down; two in five write the position out, each in another way."""
    phrase = rng.choice(phrases)
    write = rng.choice((_decimal, _minutes, _seconds, _pair))
    return f"EXERCISE. {phrase}" + (f" Position {write(seen)}." if rng.random() < 0.4 else "")


def _decimal(place: Point) -> str:
    lon_deg, lat_deg = place
    return f"{abs(lat_deg):.5f} {'NS'[lat_deg < 0]} {abs(lon_deg):.5f} {'EW'[lon_deg < 0]}"


def _pair(place: Point) -> str:
    return f"({place[1]:.5f}, {place[0]:.5f})"


def _minutes(place: Point) -> str:
    lon_deg, lat_deg = place

    def written(angle_deg: float, digits: int, letter: str) -> str:
        degrees, thousandths = divmod(round(abs(angle_deg) * 60_000), 60_000)
        return f"{degrees:0{digits}d}°{thousandths / 1000:06.3f}'{letter}"

    return f"{written(lat_deg, 2, 'NS'[lat_deg < 0])} {written(lon_deg, 3, 'EW'[lon_deg < 0])}"


def _seconds(place: Point) -> str:
    lon_deg, lat_deg = place

    def written(angle_deg: float, digits: int, letter: str) -> str:
        minutes, seconds = divmod(round(abs(angle_deg) * 3600), 60)
        return f"{minutes // 60:0{digits}d}-{minutes % 60:02d}-{seconds:02d}{letter}"

    return f"{written(lat_deg, 2, 'NS'[lat_deg < 0])} {written(lon_deg, 3, 'EW'[lon_deg < 0])}"


def to_geojson(detections: list[Detection]) -> bytes:
    """A FeatureCollection (RFC 7946), one feature a line."""
    features = ",\n".join(json.dumps(_feature(detection), ensure_ascii=False) for detection in detections)
    return f'{{"type": "FeatureCollection", "features": [\n{features}\n]}}\n'.encode()


def _feature(detection: Detection) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "sensor": detection.sensor,
        "observed": format_utc(detection.observed_ms),
        "ellipse": asdict(detection.ellipse),
        "confidence": detection.confidence,
    }
    if detection.length_m is not None:
        properties["length_m"] = detection.length_m
    if detection.heading_deg is not None:
        properties["heading_deg"] = detection.heading_deg
    if detection.emitter is not None:
        radar = detection.emitter
        pulse = {"prf_hz": radar.prf_hz, "width_us": radar.width_us}
        properties["rf"] = {"band": radar.band, "frequency_mhz": radar.frequency_mhz, "pulse": pulse}
    properties |= {"provider": detection.provider, "licence": detection.licence, "remarks": detection.remarks}
    return {
        "type": "Feature",
        "id": detection.id,
        "geometry": {"type": "Point", "coordinates": [detection.lon_deg, detection.lat_deg]},
        "properties": {**properties, "exercise": True},
    }


def to_csv(detections: list[Detection]) -> bytes:
    """The same reports as comma-separated values (RFC 4180); what is not known stays empty."""
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, CSV_COLUMNS)
    rows.writeheader()
    for detection in detections:
        place = {"lat": f"{detection.lat_deg:.5f}", "lon": f"{detection.lon_deg:.5f}"}
        known = {**asdict(detection), **asdict(detection.ellipse), **place}
        known["observed"] = format_utc(detection.observed_ms)
        rows.writerow({column: known[column] for column in CSV_COLUMNS})
    return text.getvalue().encode()
