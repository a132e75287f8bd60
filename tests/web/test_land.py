"""Land where there is land, water where there is water, and no line that is not a coast."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

import pytest

from relto.web.land import DRAWING, LITE_DRAWING, land_path
from relto.web.served import read_package_file
from relto.web.viewport import E7, FRAME_HIGH, FRAME_WIDE, Viewport, parse_area

LAND = {
    "Luzon": (16.5, 121.0),
    "Borneo": (1.0, 114.0),
    "Java": (-7.3, 110.0),
    "Honshu": (36.5, 138.5),
    "Queensland": (-20.0, 145.0),
    "Viti Levu": (-17.8, 178.0),
    "Chukotka": (66.8, -176.0),
    "Deccan": (18.0, 77.0),
    "Alaska": (65.0, -152.0),
    "Greenland": (72.0, -40.0),
    "Antarctica": (-78.5, 100.0),
}
WATER = {
    "Sulu Sea": (8.4, 120.2),
    "South China Sea": (14.0, 114.3),
    "Philippine Sea": (18.0, 132.0),
    "Bay of Bengal": (14.0, 88.5),
    "Coral Sea": (-16.0, 154.0),
    "Pacific": (0.0, -160.0),
    "Caspian Sea": (42.0, 50.5),
    "Bering Sea": (58.0, -178.0),
}


@cache
def outlines(port: Viewport, drawing: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Read the path back the slow way: absolute corners of each closed subpath."""
    found = []
    for start, steps in re.findall(r"M(-?\d+ -?\d+)l([^z]*)z", land_path(port, drawing)):
        x, y = (int(part) for part in start.split())
        numbers = [int(part) for part in re.findall(r"-?\d+", steps)]
        corners = [(x, y)]
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            corners.append((x, y))
        found.append(tuple(corners))
    return tuple(found)


def is_land(port: Viewport, drawing: int, lat: float, lon: float) -> bool:
    right, down = port.place(round(lat * E7), round(lon * E7))
    x, y = right * drawing / 100 + 0.01, down * drawing / 100 + 0.01
    crossings = 0
    for corners in outlines(port, drawing):
        for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                crossings += 1
    return crossings % 2 == 1


GRAIN_OF_THE_WORLD = ("Viti Levu", "Caspian Sea")  # too small to be asked for on a map of the world


@pytest.mark.parametrize("drawing", [DRAWING, LITE_DRAWING])
@pytest.mark.parametrize(
    ("place", "side"),
    [
        (place, side)
        for place in (*LAND, *WATER)
        for side in (3.0, 24.0, 120.0, 360.0)
        if side < 360.0 or place not in GRAIN_OF_THE_WORLD
    ],
)
def test_land_is_land_and_water_is_water_at_every_zoom(place: str, side: float, drawing: int) -> None:
    lat, lon = (LAND | WATER)[place]
    port = Viewport.around(lon - side / 2, lat, lon + side / 2, lat)
    assert is_land(port, drawing, lat, lon) == (place in LAND)


@pytest.mark.parametrize(
    "area", ["104,2,126,22", "110,5,122,17", "60,-40,180,50", "170,-25,190,-10", "-180,-70,180,75"]
)
def test_nothing_is_drawn_outside_the_frame(area: str) -> None:
    for corners in outlines(parse_area(area), DRAWING):
        for x, y in corners:
            assert abs(x - DRAWING / 2) <= DRAWING * FRAME_WIDE / 2 + 2
            assert abs(y - DRAWING / 2) <= DRAWING * FRAME_HIGH / 2 + 2


def test_the_fine_coast_is_drawn_only_where_it_reaches_every_edge() -> None:
    inside, across = parse_area("116,9,122,15"), parse_area("150,-10,156,-4")
    assert len(land_path(inside)) > 1000
    # at 155 E the fine outlines end: had they been taken, a straight north-south line would stand there
    place = across.place(0, 155 * E7)[0] * DRAWING / 100
    for corners in outlines(across, DRAWING):
        for (x1, y1), (x2, y2) in pairwise(corners):
            assert not (abs(x1 - place) < 3 and abs(x2 - place) < 3 and abs(y1 - y2) > 60)


def test_the_180th_meridian_cuts_no_land_in_two() -> None:
    port = Viewport.around(170, 64, 190, 70)
    assert is_land(port, DRAWING, 68.5, 179.5)
    assert is_land(port, DRAWING, 68.5, -179.5)
    meridian = port.place(0, 180 * E7)[0] * DRAWING / 100
    for corners in outlines(port, DRAWING):
        for (x1, y1), (x2, y2) in pairwise(corners):
            assert not (abs(x1 - meridian) < 3 and abs(x2 - meridian) < 3 and abs(y1 - y2) > 60)


def test_a_crowded_coast_stays_a_small_path() -> None:
    assert len(land_path(parse_area("104,2,126,22"))) < 60_000
    assert len(land_path(parse_area("104,2,126,22"), LITE_DRAWING)) < 16_000


@pytest.mark.parametrize("name", ["land_10m.path", "land_50m.path"])
def test_the_shipped_outlines_are_small_and_well_formed(name: str) -> None:
    content = read_package_file(name)
    assert len(content) < 250_000
    assert all(re.fullmatch(rb"M-?\d+ -?\d+l[-\d ]+z", line) for line in content.splitlines())
