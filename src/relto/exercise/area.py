"""Where the exercise takes place: lanes, fishing grounds, shore stations and invented cables.

The geography is GeoJSON beside this module, so that it opens in any map program: ``data/indo_pacific.geojson`` and
``data/cables.geojson``. Positions are WGS 84 degrees, longitude first (RFC 7946). Distances use a sphere with a flat
tangent plane at each point: good to 1 % over a leg, which is all that invented traffic needs.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any

import msgspec

Point = tuple[float, float]

METRES_PER_DEGREE = 111_195.0


class Lane(msgspec.Struct, frozen=True):
    """A shipping lane: ``points`` at sea, half as wide at each point as ``half_width_m`` says."""

    name: str
    points: tuple[Point, ...]
    half_width_m: tuple[int, ...]
    traffic: dict[str, int]
    vessels: int
    destinations: tuple[tuple[str, ...], tuple[str, ...]]


class Ground(msgspec.Struct, frozen=True):
    """A fishing ground: a disc at sea."""

    name: str
    points: Point
    radius_m: int
    traffic: int
    flags: tuple[str, ...]


class Station(msgspec.Struct, frozen=True):
    """An AIS receiver on shore and how far it hears."""

    name: str
    points: Point
    nation: str
    reach_m: int


class Cable(msgspec.Struct, frozen=True):
    """An invented cable on the sea bed. None of its points is a real route."""

    name: str
    points: tuple[Point, ...]
    carries: str
    watch_m: int


class Area(msgspec.Struct, frozen=True):
    """All of the exercise's geography, in the order of the files."""

    lanes: tuple[Lane, ...]
    grounds: tuple[Ground, ...]
    stations: tuple[Station, ...]
    cables: tuple[Cable, ...]


def read_area() -> Area:
    """Read the geography that ships with the package."""
    features = [*_features("indo_pacific.geojson"), *_features("cables.geojson")]

    def of(kind: str) -> list[dict[str, Any]]:
        return [
            {**feature["properties"], "points": feature["geometry"]["coordinates"]}
            for feature in features
            if feature["properties"]["kind"] == kind
        ]

    return Area(
        lanes=msgspec.convert(of("lane"), tuple[Lane, ...]),
        grounds=msgspec.convert(of("ground"), tuple[Ground, ...]),
        stations=msgspec.convert(of("station"), tuple[Station, ...]),
        cables=msgspec.convert(of("cable"), tuple[Cable, ...]),
    )


def _features(name: str) -> list[dict[str, Any]]:
    content = files(__package__).joinpath("data", name).read_bytes()
    features: list[dict[str, Any]] = msgspec.json.decode(content)["features"]
    return features


def offset_m(start: Point, end: Point) -> tuple[float, float]:
    """How far ``end`` lies east and north of ``start``, in metres."""
    shrink = math.cos(math.radians((start[1] + end[1]) / 2))
    return (end[0] - start[0]) * METRES_PER_DEGREE * shrink, (end[1] - start[1]) * METRES_PER_DEGREE


def distance_m(start: Point, end: Point) -> float:
    """The distance in metres."""
    return math.hypot(*offset_m(start, end))


def bearing_deg(start: Point, end: Point) -> float:
    """The course from one point to another, 0 <= course < 360, clockwise from north."""
    east_m, north_m = offset_m(start, end)
    return math.degrees(math.atan2(east_m, north_m)) % 360.0


def moved(start: Point, east_m: float, north_m: float) -> Point:
    """The point so many metres east and north of ``start``."""
    lat = start[1] + north_m / METRES_PER_DEGREE
    return start[0] + east_m / (METRES_PER_DEGREE * math.cos(math.radians((start[1] + lat) / 2))), lat


def moved_along(start: Point, course_deg: float, length_m: float) -> Point:
    """The point ``length_m`` away on a course."""
    course = math.radians(course_deg)
    return moved(start, length_m * math.sin(course), length_m * math.cos(course))


def between(start: Point, end: Point, share: float) -> Point:
    """The point at ``share`` of the way, 0 at ``start`` and 1 at ``end``."""
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
