"""The square that a chart shows: its address, its frame, and where things fall in it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.errors import MalformedError
from relto.web.viewport import E7, LIMIT_LAT, SMALLEST_SIDE, WORLD_SIDE, Viewport, latitude, northing, parse_area

viewports = st.builds(
    lambda lon, lat, side: Viewport.around(lon - side / 2, lat, lon + side / 2, lat),
    st.floats(-180, 179.9),
    st.floats(-75, 75),
    st.floats(SMALLEST_SIDE, WORLD_SIDE),
)


@given(viewports)
def test_an_area_in_an_address_comes_back_as_the_same_square(port: Viewport) -> None:
    again = parse_area(port.area)
    assert math.isclose(again.side, port.side, rel_tol=2e-3, abs_tol=1e-4)
    assert abs((again.lon - port.lon + 180) % 360 - 180) <= max(1e-4, port.side / 500)
    assert abs(again.ordinate - port.ordinate) <= max(2e-4, port.side / 100)


@given(st.floats(-LIMIT_LAT, LIMIT_LAT))
def test_latitudes_come_back_from_the_projection(lat: float) -> None:
    assert math.isclose(latitude(northing(lat)), lat, abs_tol=1e-9)


def test_an_area_is_wholly_inside_its_square() -> None:
    port = parse_area("110,5,126,21")
    for lat, lon in ((5, 110), (21, 126), (5, 126), (21, 110), (13, 118)):
        right, down = port.place(lat * E7, lon * E7)
        assert -1e-6 <= right <= 100 + 1e-6
        assert -1e-6 <= down <= 100 + 1e-6


def test_north_is_up_and_east_is_right() -> None:
    port = parse_area("110,5,126,21")
    middle, north, east = port.place(13 * E7, 118 * E7), port.place(14 * E7, 118 * E7), port.place(13 * E7, 119 * E7)
    assert north[1] < middle[1]
    assert east[0] > middle[0]
    assert middle[0] == pytest.approx(50)


def test_places_either_side_of_the_180th_meridian_are_neighbours() -> None:
    port = parse_area("170,-25,190,-10")
    west, east = port.place(-17 * E7, 1_799_000_000), port.place(-17 * E7, -1_799_000_000)
    assert east[0] - west[0] == pytest.approx(0.2 / port.side * 100)


@given(viewports, st.integers(-80 * E7, 80 * E7), st.integers(-180 * E7, 180 * E7 - 1))
def test_what_is_drawn_is_what_the_frame_asks_the_store_for(port: Viewport, lat_e7: int, lon_e7: int) -> None:
    asked = any(box.holds(lat_e7, lon_e7) for box in port.frame())
    right, down = port.place(lat_e7, lon_e7)
    if port.draws(right, down):
        assert asked
    elif not port.draws(50 + (right - 50) * 0.999, 50 + (down - 50) * 0.999):
        assert not asked or not abs(lat_e7) < 79 * E7 or port.side * 1.5 >= WORLD_SIDE


@given(viewports)
def test_the_frame_never_crosses_the_180th_meridian(port: Viewport) -> None:
    for box in port.frame():
        assert -180 * E7 <= box.west_e7 <= box.east_e7 <= 180 * E7
        assert box.south_e7 <= box.north_e7


@given(viewports, st.sampled_from((0.5, 2.0)), st.floats(-1, 1), st.floats(-1, 1))
def test_moving_and_zooming_stay_on_the_map(port: Viewport, factor: float, right: float, up: float) -> None:
    for other in (port.zoomed(factor), port.moved(right, up)):
        assert SMALLEST_SIDE <= other.side <= WORLD_SIDE
        assert -180 <= other.lon <= 180
        assert abs(other.ordinate) <= northing(LIMIT_LAT)
        parse_area(other.area)


def test_a_nautical_mile_is_a_minute_of_latitude() -> None:
    port = parse_area("110,5,126,21")
    minute = port.place(13 * E7, 118 * E7)[1] - port.place(13 * E7 + E7 // 60, 118 * E7)[1]
    assert port.radius(13 * E7, 1852) == pytest.approx(minute, rel=2e-3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "110,5,126",
        "110,5,126,21,3",
        "110;5;126;21",
        "1e2,5,126,21",
        "nan,5,126,21",
        "126,5,110,21",
        "110,5,110,21",
        "110,21,126,5",
        "110,5,126,87",
        "-361,5,-300,21",
        "110,5,541,21",
        "110,5,126,21 ",
        "٣,5,126,21",
        "1" * 400,
    ],
)
def test_an_area_that_is_none_is_refused_with_the_form_it_should_have(text: str) -> None:
    with pytest.raises(MalformedError) as found:
        parse_area(text)
    assert "west,south,east,north" in str(found.value)
    assert len(str(found.value)) < 300
