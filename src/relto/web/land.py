"""Land as one SVG path, cut to what a chart draws. The coast is shipped with the package; see assets/SOURCES.md.

Two sets of outlines: a fine one that ends at the edges of the Indo-Pacific, taken when the whole drawing lies inside
it, and a coarser one of the world. They are never mixed in one drawing, so no seam can be taken for a coast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from relto.web.served import read_package_file
from relto.web.viewport import E7, FRAME_HIGH, FRAME_WIDE, LIMIT_LAT, Box, Viewport

DRAWING = 2000  # units along a side of the square: under a pixel on any screen
LITE_DRAWING = 400
GRAIN = 2  # points nearer to each other than so many units become one
_FINE_BOX = Box(88 * E7, -16 * E7, 155 * E7, 46 * E7)
_FINEST_WORLD_SIDE = 45.0  # wider squares cannot show what the fine outlines add

_Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coast:
    """Closed outlines in degrees of longitude and Mercator ordinate, with west, south, east, north of each."""

    outlines: tuple[_Points, ...]
    extents: _Points


@lru_cache(maxsize=64)
def land_path(viewport: Viewport, drawing: int = DRAWING) -> str:
    """Return the ``d`` of a path (even-odd) of all land in the frame; the square runs from 0 to ``drawing``."""
    coast = _coast_for(viewport)
    half_wide, half_high = viewport.side * FRAME_WIDE / 2, viewport.side * FRAME_HIGH / 2
    west, east = viewport.lon - half_wide, viewport.lon + half_wide
    south, north = viewport.ordinate - half_high, viewport.ordinate + half_high
    smallest = 2 * GRAIN * viewport.side / drawing
    parts: list[str] = []
    for turn in (-360.0, 0.0, 360.0):
        left, bottom, right, top = (coast.extents + np.array([turn, 0.0, turn, 0.0])).T
        seen = (right >= west) & (left <= east) & (top >= south) & (bottom <= north)
        seen &= np.maximum(right - left, top - bottom) >= smallest
        for index in np.flatnonzero(seen):
            outline = coast.outlines[index] + (turn, 0)
            parts.append(_draw(outline, viewport, drawing))
    return "".join(parts)


def _coast_for(viewport: Viewport) -> Coast:
    frame = viewport.frame()
    fine = viewport.side <= _FINEST_WORLD_SIDE and all(
        _FINE_BOX.holds(box.south_e7, box.west_e7) and _FINE_BOX.holds(box.north_e7, box.east_e7) for box in frame
    )
    return _fine() if fine else _world()


@cache
def _fine() -> Coast:
    return _read("land_10m.path", degrees_per_unit=0.001)


@cache
def _world() -> Coast:
    return _read("land_50m.path", degrees_per_unit=0.005)


def _read(name: str, degrees_per_unit: float) -> Coast:
    """Read outlines written one a line as ``M<lon> <lat>l<dlon> <dlat>...z`` in whole units."""
    outlines = []
    for line in read_package_file(name).decode("ascii").splitlines():
        numbers = np.array(re.findall(r"-?\d+", line), dtype=np.int64).reshape(-1, 2)
        degrees = np.cumsum(numbers, axis=0) * degrees_per_unit
        latitudes = np.radians(np.clip(degrees[:, 1], -LIMIT_LAT - 4, LIMIT_LAT + 4))
        outlines.append(np.column_stack([degrees[:, 0], np.degrees(np.arcsinh(np.tan(latitudes)))]))
    extents = np.array([[*outline.min(axis=0), *outline.max(axis=0)] for outline in outlines])
    return Coast(tuple(outlines), extents)


def _draw(outline: _Points, viewport: Viewport, drawing: int) -> str:
    """Return one closed subpath, or nothing for an island too small to be seen or wholly outside."""
    scale = drawing / viewport.side
    points = (outline - (viewport.lon, viewport.ordinate)) * (scale, -scale) + drawing / 2
    points = _cut_to_frame(points, drawing)
    whole = np.rint(points / GRAIN).astype(np.int64) * GRAIN
    whole = _without_straights(whole[np.any(whole != np.roll(whole, 1, axis=0), axis=1)])
    if len(whole) < 3:
        return ""
    steps = np.diff(whole, axis=0)
    text = " ".join(f"{right} {down}" for right, down in steps.tolist()).replace(" -", "-")
    return f"M{whole[0, 0]} {whole[0, 1]}l{text}z"


def _without_straights(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out points on the straight line between their neighbours, and the tips of spikes without area."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns: NDArray[np.bool_] = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return points[turns]


def _cut_to_frame(points: _Points, drawing: int) -> _Points:
    for axis, share in ((0, FRAME_WIDE), (1, FRAME_HIGH)):
        for sign in (1, -1):
            points = _cut(points, axis, drawing / 2 * (1 + sign * share), sign)
    return points


def _cut(points: _Points, axis: int, limit: float, sign: int) -> _Points:
    """Keep the part of a closed outline on one side of a line (Sutherland and Hodgman, 1974)."""
    depth = (limit - points[:, axis]) * sign
    inside = depth >= 0
    if inside.all():
        return points
    following, depth_after = np.roll(points, -1, axis=0), np.roll(depth, -1)
    crosses = inside != np.roll(inside, -1)
    span = np.where(crosses, depth - depth_after, 1.0)
    crossing = points + (following - points) * (depth / span)[:, None]
    both: _Points = np.stack([points, crossing], axis=1).reshape(-1, 2)
    kept: _Points = both[np.stack([inside, crosses], axis=1).reshape(-1)]
    return kept
