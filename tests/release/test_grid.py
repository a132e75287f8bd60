"""The grid: a cell tells its centre and never more, everywhere on the globe."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.item import LAT_E7, LON_E7, Place
from relto.release.grid import cell_width_e7, row_height_e7, snap, snap_columns, snap_place

pytestmark = pytest.mark.pure

LATS = st.integers(-LAT_E7, LAT_E7) | st.sampled_from([-LAT_E7, -LAT_E7 + 1, -1, 0, 1, LAT_E7 - 1, LAT_E7])
LONS = st.integers(-LON_E7, LON_E7) | st.sampled_from([-LON_E7, -LON_E7 + 1, -1, 0, 1, LON_E7 - 1, LON_E7])
PRECISIONS = st.sampled_from([1, 10, 100, 1000, 10_000, 79_000, 1_000_000])


def distance_m(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Along a great circle of the largest radius that WGS 84 has."""
    lat_a, lat_b = math.radians(a[0] / 1e7), math.radians(b[0] / 1e7)
    half = math.sin((lat_a - lat_b) / 2) ** 2
    half += math.cos(lat_a) * math.cos(lat_b) * math.sin(math.radians((a[1] - b[1]) / 1e7) / 2) ** 2
    return 2 * 6_399_594 * math.asin(math.sqrt(min(1.0, half)))


@given(LATS, LONS, PRECISIONS)
def test_the_error_is_within_the_precision_and_a_centre_is_its_own_centre(lat: int, lon: int, precision_m: int) -> None:
    told = snap(lat, lon, precision_m)
    assert distance_m((lat, lon), told) <= precision_m + 0.02  # a hundredth of a metre is 1e-7 degree
    assert snap(*told, precision_m) == told
    assert abs(told[0]) <= LAT_E7 and abs(told[1]) <= LON_E7


@given(LATS, LONS, PRECISIONS, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_every_position_of_a_cell_tells_the_same(lat: int, lon: int, precision_m: int, up: float, right: float) -> None:
    high = row_height_e7(precision_m)
    row = lat // high
    wide = cell_width_e7(precision_m, row, high)
    other = (row * high + int(up * high), lon // wide * wide + int(right * wide))
    if abs(other[0]) <= LAT_E7 and abs(other[1]) <= LON_E7:
        assert snap(*other, precision_m) == snap(lat, lon, precision_m)


@given(st.lists(st.tuples(LATS, LONS), max_size=20), PRECISIONS)
def test_columns_snap_as_single_positions_do(points: list[tuple[int, int]], precision_m: int) -> None:
    lats, lons = (np.array([point[at] for point in points], dtype=np.int64) for at in (0, 1))
    found = zip(*(column.tolist() for column in snap_columns(lats, lons, precision_m)), strict=True)
    assert list(found) == [snap(*point, precision_m) for point in points]


@given(LATS, LATS, LONS, LONS, PRECISIONS)
def test_a_box_stays_a_box_and_a_point_a_point(a: int, b: int, west: int, east: int, precision_m: int) -> None:
    place = Place(min(a, b), west, max(a, b), east)
    coarse = snap_place(place, precision_m)
    assert coarse.south_e7 <= coarse.north_e7
    assert (coarse.west_e7 <= coarse.east_e7) or west > east
    if place.is_point:
        assert coarse.is_point and (coarse.south_e7, coarse.west_e7) == snap(a, west, precision_m)
