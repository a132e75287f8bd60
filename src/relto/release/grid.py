"""The fixed grid to which positions snap: no noise, so nothing can be averaged away, and no finer digit exists.

docs/spec/release.md, section 6. Repeated or pooled releases at one precision tell the cell and never more.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from relto.item import LAT_E7, LON_E7, Place

NOTICE_PRECISION_M = 79_000
_SCALE = 14_142_000  # sqrt(2) * 1e7, so that half the diagonal of a cell is the precision
_DEGREE_M = 111_700  # no degree of latitude on WGS 84 is longer
_TURN_E7 = 2 * LON_E7

Int64s = npt.NDArray[np.int64]


def row_height_e7(precision_m: int) -> int:
    """The height of the grid's rows, in 1e-7 degree."""
    return max(1, precision_m * _SCALE // _DEGREE_M)


def cell_width_e7(precision_m: int, row: int, height_e7: int) -> int:
    """The width of a row's cells, in 1e-7 degree: taken where the row is widest, at its edge nearest the equator."""
    edge_e7 = row * height_e7 if row >= 0 else (row + 1) * height_e7
    cosine = math.cos(math.radians(edge_e7 / 1e7))
    if cosine <= 0:
        return _TURN_E7
    return max(1, min(_TURN_E7, int(precision_m * _SCALE / (_DEGREE_M * cosine))))


def snap(lat_e7: int, lon_e7: int, precision_m: int) -> tuple[int, int]:
    """The centre of the cell that holds a position; at most ``precision_m`` metres from it."""
    height = row_height_e7(precision_m)
    row = lat_e7 // height
    width = cell_width_e7(precision_m, row, height)
    return _clamp(row * height + height // 2, LAT_E7), _clamp(lon_e7 // width * width + width // 2, LON_E7)


def snap_columns(lat_e7: Int64s, lon_e7: Int64s, precision_m: int) -> tuple[Int64s, Int64s]:
    """``snap`` for whole columns; each row of the grid is computed once."""
    height = row_height_e7(precision_m)
    rows = lat_e7 // height
    distinct, of = np.unique(rows, return_inverse=True)
    widths = np.array([cell_width_e7(precision_m, int(row), height) for row in distinct], dtype=np.int64)
    width = widths[of] if len(distinct) else lon_e7
    lats = np.clip(rows * height + height // 2, -LAT_E7, LAT_E7)
    lons = np.clip(lon_e7 // width * width + width // 2, -LON_E7, LON_E7)
    return lats, lons


def snap_place(place: Place, precision_m: int) -> Place:
    """A box whose edges are snapped; a point stays a point, and a box never turns itself inside out."""
    (south, south_west), (north, north_west) = (
        snap(lat_e7, place.west_e7, precision_m) for lat_e7 in (place.south_e7, place.north_e7)
    )
    _, south_east = snap(place.south_e7, place.east_e7, precision_m)
    _, north_east = snap(place.north_e7, place.east_e7, precision_m)
    # Both from the row of the wider cells: a west edge of one row may lie east of the east edge of another.
    if abs(place.south_e7) > abs(place.north_e7):
        return Place(south, south_west, north, south_east)
    return Place(south, north_west, north, north_east)


def _clamp(value: int, limit: int) -> int:
    return max(-limit, min(limit, value))
