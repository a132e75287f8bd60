"""The part of the sea that a chart shows: a square in Mercator's projection, written as ``west,south,east,north``.

Mercator keeps bearings, so an arrow drawn along a course points where the ship goes. One unit of the projection is
one degree of longitude at every latitude (Snyder, Map Projections, USGS PP 1395, page 41, on the sphere).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from relto.errors import MalformedError

E7 = 10_000_000
LIMIT_LAT = 80.0
WORLD_SIDE = 360.0
SMALLEST_SIDE = 0.02
# The square is wholly visible in a pane of any shape between these two; what is drawn reaches that far beyond it.
FRAME_WIDE = 1.5
FRAME_HIGH = 1.25

_NUMBER = r"(-?\d{1,3}(?:\.\d{1,7})?)"
_AREA = re.compile(",".join([_NUMBER] * 4), re.ASCII)
_FORM = "Write it as area=west,south,east,north in decimal degrees, as in area=104,2,126,22."


def northing(lat: float) -> float:
    """Return the Mercator ordinate of a latitude in degrees; latitudes past the limit are drawn at the limit."""
    return math.degrees(math.asinh(math.tan(math.radians(max(-LIMIT_LAT, min(LIMIT_LAT, lat))))))


def latitude(ordinate: float) -> float:
    """Return the latitude in degrees of a Mercator ordinate; the inverse of ``northing``."""
    return math.degrees(math.atan(math.sinh(math.radians(ordinate))))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole 1e-7 degrees with ``west_e7 <= east_e7``, never across the 180th meridian."""

    west_e7: int
    south_e7: int
    east_e7: int
    north_e7: int

    def holds(self, lat_e7: int, lon_e7: int) -> bool:
        """Say whether the position is inside or on the edge."""
        return self.south_e7 <= lat_e7 <= self.north_e7 and self.west_e7 <= lon_e7 <= self.east_e7


@dataclass(frozen=True, slots=True)
class Viewport:
    """A square: its middle as longitude and Mercator ordinate, and its side, all in degrees of longitude."""

    lon: float
    ordinate: float
    side: float

    @classmethod
    def around(cls, west: float, south: float, east: float, north: float) -> Viewport:
        """Return the smallest square, kept inside the drawable world, that holds all of the rectangle."""
        low, high = northing(south), northing(north)
        side = min(WORLD_SIDE, max(SMALLEST_SIDE, east - west, high - low))
        return cls(_turn((west + east) / 2), (low + high) / 2, side)._inside()

    @property
    def area(self) -> str:
        """The text of the query field ``area`` that ``parse_area`` reads back to this square."""
        half = self.side / 2
        corners = (
            self.lon - half,
            latitude(self.ordinate - half),
            self.lon + half,
            latitude(self.ordinate + half),
        )
        return ",".join(_short(corner) for corner in corners)

    def zoomed(self, factor: float) -> Viewport:
        """Return the square about the same middle with its side divided by ``factor``."""
        side = min(WORLD_SIDE, max(SMALLEST_SIDE, self.side / factor))
        return Viewport(self.lon, self.ordinate, side)._inside()

    def moved(self, right: float, up: float) -> Viewport:
        """Return the square moved by parts of its own side."""
        return Viewport(_turn(self.lon + right * self.side), self.ordinate + up * self.side, self.side)._inside()

    def place(self, lat_e7: int, lon_e7: int) -> tuple[float, float]:
        """Return where a position falls, in percent of the side from the upper left corner of the square."""
        right = _turn(lon_e7 / E7 - self.lon) / self.side
        up = (northing(lat_e7 / E7) - self.ordinate) / self.side
        return 50 + 100 * right, 50 - 100 * up

    def draws(self, right: float, down: float) -> bool:
        """Say whether a place in percent is inside the drawn frame around the square."""
        return abs(right - 50) <= 50 * FRAME_WIDE and abs(down - 50) <= 50 * FRAME_HIGH

    def frame(self) -> tuple[Box, ...]:
        """Return the drawn frame as one rectangle, or as two where it crosses the 180th meridian."""
        half = min(WORLD_SIDE, self.side * FRAME_WIDE) / 2
        rise = self.side * FRAME_HIGH / 2
        south, north = latitude(self.ordinate - rise), latitude(self.ordinate + rise)
        west, east = self.lon - half, self.lon + half
        if east - west >= WORLD_SIDE:
            spans = [(-180.0, 180.0)]
        elif west < -180:
            spans = [(west + 360, 180.0), (-180.0, east)]
        elif east > 180:
            spans = [(west, 180.0), (-180.0, east - 360)]
        else:
            spans = [(west, east)]
        return tuple(
            Box(math.floor(left * E7), math.floor(south * E7), math.ceil(right * E7), math.ceil(north * E7))
            for left, right in spans
        )

    def radius(self, lat_e7: int, distance_m: int) -> float:
        """Return a distance on the ground at a latitude, in percent of the side."""
        metres_per_unit = 111_195 * math.cos(math.radians(min(LIMIT_LAT, abs(lat_e7 / E7))))
        return 100 * distance_m / metres_per_unit / self.side

    def _inside(self) -> Viewport:
        """Keep the middle where at least half of the square is drawable."""
        limit = max(0.0, northing(LIMIT_LAT) - self.side / 2)
        return Viewport(self.lon, max(-limit, min(limit, self.ordinate)), self.side)


def parse_area(text: str) -> Viewport:
    """Read the query field ``area`` and return the smallest square that holds it.

    The east may be written past 180, so that an area can cross the 180th meridian.

    Raises:
        MalformedError: another form, a latitude past 86, or an area without extent.
    """
    match = _AREA.fullmatch(text)
    if match is None:
        raise MalformedError(f"{text[:60]!r} is not an area.", field="area", remedy=_FORM)
    west, south, east, north = (float(part) for part in match.groups())
    if not (west < east <= west + WORLD_SIDE + 0.001 and west >= -360.001 and east <= 540.001):
        raise MalformedError("its east is not east of its west.", field="area", remedy=_FORM)
    if not -86 <= south < north <= 86:  # a square of the whole world reaches 85.0511, whatever of it is drawn
        raise MalformedError("its north is not north of its south, within 86 degrees.", field="area", remedy=_FORM)
    return Viewport.around(west, south, east, north)


def _turn(lon: float) -> float:
    return (lon + 180) % 360 - 180


def _short(value: float) -> str:
    # adding 0.0 turns a negative zero, which rounding can leave, into zero
    return f"{round(value, 5) + 0.0:.5f}".rstrip("0").rstrip(".")
