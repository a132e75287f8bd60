"""Who sails in the exercise, and where each vessel truly is at any moment.

A track is a list of timed waypoints with straight legs between them; ``motion`` interpolates. Nothing here knows
what a sensor or a receiver makes of it. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from relto.exercise.area import (
    Area,
    Cable,
    Ground,
    Lane,
    Point,
    bearing_deg,
    between,
    distance_m,
    moved,
    moved_along,
    offset_m,
)

KNOT_M_PER_S = 1852 / 3600
MMSI_BLOCK = 999_000
"""Every MMSI is MID * 1,000,000 + 999,000 + number: a real country's digits, a block plainly invented."""
MOST_VESSELS = 1000
UNLIT_CONTACT: Point = (120.45678, 12.34567)
"""Where the first dark vessel lies at the start: the contact near an energy cable."""

# ITU maritime identification digits, one for each flag
_MID = {
    "AUS": 503, "CHN": 412, "HKG": 477, "IDN": 525, "IND": 419, "JPN": 431, "KOR": 440, "LBR": 636, "LKA": 417,
    "MHL": 538, "PAN": 351, "PHL": 548, "SGP": 563, "USA": 369, "VNM": 574,
}  # fmt: skip
_MERCHANT_FLAGS = ("PAN", "LBR", "MHL", "SGP", "HKG", "JPN", "KOR", "IND", "IDN", "PHL", "AUS", "USA")
_OPEN_FLAGS = ("PAN", "LBR", "MHL")
_NAMES = (
    "MERANTI", "KAPUR", "JATI", "SAKURA", "KOALA", "BANYAN", "HINOKI", "NARRA", "MOLAVE", "WATTLE", "KENARI",
    "MERBAU", "TSUBAKI", "MUGUNG", "KAURI", "PELICAN", "DUGONG", "GARUDA", "TARSIER", "MAYURA", "HANRA", "OSPREY",
    "KIJANG", "CENDANA", "PALAY", "SAMPAN", "LEMBAH", "BINTANG", "SUZUME", "JARRAH", "KAMBING", "NILGIRI", "DEODAR",
    "SILANG", "BAYANI", "HALYARD", "SEXTANT", "MAINSTAY", "CAPSTAN", "BOLLARD", "FATHOM", "LEEWARD", "SANDBAR",
    "ZEPHYR", "MONSOON", "TYPHOON", "LATERITE", "BASALT", "MAGNOLIA", "HERON",
)  # fmt: skip
# kind: AIS ship type, shortest and longest hull in metres, slowest and fastest speed in knots
_HULLS: dict[str, tuple[int, int, int, float, float]] = {
    "cargo": (70, 140, 366, 13.0, 20.0),
    "tanker": (80, 180, 333, 11.0, 14.5),
    "bulk": (70, 180, 300, 10.5, 13.5),
    "carrier": (70, 100, 150, 9.0, 11.0),
    "fishing": (30, 18, 62, 2.5, 5.0),
    "unlit": (30, 24, 85, 1.2, 3.0),
}


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where a vessel truly is at one instant (ms since the epoch, degrees)."""

    at_ms: int
    lon_deg: float
    lat_deg: float


@dataclass(frozen=True, slots=True)
class Motion:
    """Position in degrees, speed over ground in knots, course in degrees (0 <= course < 360)."""

    lon_deg: float
    lat_deg: float
    speed_kn: float
    course_deg: float


@dataclass(frozen=True, slots=True)
class Radar:
    """What a vessel's navigation radar sends; the same for the whole exercise, so that it can be recognised."""

    band: str
    frequency_mhz: float
    prf_hz: int
    width_us: float


@dataclass(frozen=True, slots=True)
class Vessel:
    """The truth about one vessel.

    ``kind`` is one of cargo, tanker, bulk, carrier, fishing, unlit; ``behaviour`` one of transit, fishing, loiter,
    meet. ``silent`` is the half-open interval (ms) in which its AIS is off, or None.
    """

    mmsi: int
    name: str
    callsign: str
    flag: str
    kind: str
    ship_type: int
    transponder: str
    length_m: int
    draught_dm: int
    destination: str
    behaviour: str
    radar: Radar
    silent: tuple[int, int] | None
    track: tuple[Waypoint, ...]

    def is_silent(self, at_ms: int) -> bool:
        """Whether the AIS is off at that instant: the truth that a dark detection is measured against."""
        return self.silent is not None and self.silent[0] <= at_ms < self.silent[1]


def motion(vessel: Vessel, at_ms: int) -> Motion:
    """Where a vessel truly is; before its first and after its last waypoint it lies there."""
    track = vessel.track
    index = min(max(bisect_right(track, at_ms, key=lambda waypoint: waypoint.at_ms), 1), len(track) - 1)
    start, end = track[index - 1], track[index]
    whole_ms = max(end.at_ms - start.at_ms, 1)
    share = min(max((at_ms - start.at_ms) / whole_ms, 0.0), 1.0)
    here, there = (start.lon_deg, start.lat_deg), (end.lon_deg, end.lat_deg)
    length_m = distance_m(here, there)
    course_deg = bearing_deg(here, there) if length_m else 0.0
    return Motion(*between(here, there, share), length_m / (whole_ms / 1000) / KNOT_M_PER_S, course_deg)


Stop = tuple[Point, float]
"""The next point, and the speed in knots on the way to it."""


def muster(rng: Random, area: Area, start_ms: int, end_ms: int, vessels: int) -> tuple[Vessel, ...]:
    """Man the exercise: dark vessels first, then meeting pairs, fishing fleets and the traffic of the lanes."""
    roster = _Roster(rng, start_ms, end_ms)
    _unlit(roster, area, max(3, vessels * 6 // 100))
    _pairs(roster, area, max(1, vessels * 2 // 100))
    for ground in _peopled(rng, area.grounds, vessels * 28 // 100):
        roster.add("fishing", "fishing", rng.choice(ground.flags), _fishing(rng, ground))
    gone_dark = max(2, vessels * 5 // 100)
    lanes = rng.choices(area.lanes, [lane.vessels for lane in area.lanes], k=vessels - len(roster.vessels))
    for number, lane in enumerate(lanes):
        _merchant(roster, lane, goes_dark=number < gone_dark)
    return tuple(roster.vessels)


def _peopled(rng: Random, grounds: tuple[Ground, ...], count: int) -> list[Ground]:
    """The ground of each fishing vessel: one on every ground if there are enough, the others by its traffic."""
    others = rng.choices(grounds, [ground.traffic for ground in grounds], k=max(count - len(grounds), 0))
    return [*grounds[:count], *others]


class _Roster:
    """Gives each vessel its number, hull and radar, and turns its stops into a track."""

    def __init__(self, rng: Random, start_ms: int, end_ms: int) -> None:
        self.rng = rng
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.vessels: list[Vessel] = []

    def add(
        self,
        kind: str,
        behaviour: str,
        flag: str,
        stops: Iterator[Stop],
        *,
        destination: str = "",
        silent: tuple[int, int] | None = None,
    ) -> None:
        rng, number = self.rng, len(self.vessels)
        ship_type, shortest_m, longest_m, _, _ = _HULLS[kind]
        length_m = rng.randint(shortest_m, longest_m)
        round_, word = divmod(number, len(_NAMES))
        self.vessels.append(
            Vessel(
                mmsi=_MID[flag] * 1_000_000 + MMSI_BLOCK + number,
                name=f"EXERCISE {_NAMES[word]}" + (f" {round_ + 1}" if round_ else ""),
                callsign=f"EX{number:04d}",
                flag=flag,
                kind=kind,
                ship_type=ship_type,
                transponder="B" if ship_type == 30 and length_m < 45 else "A",
                length_m=length_m,
                draught_dm=min(max(length_m * 5 // 12, 20), 210),
                destination=destination,
                behaviour=behaviour,
                radar=_radar(rng, length_m),
                silent=silent,
                track=_timed(stops, self.start_ms, self.end_ms),
            )
        )


def _radar(rng: Random, length_m: int) -> Radar:
    if length_m > 150 and rng.random() < 0.35:
        return Radar("S", round(rng.uniform(3030, 3070), 1), rng.randrange(600, 1600, 10), rng.choice((0.25, 0.5, 1.0)))
    return Radar("X", round(rng.uniform(9380, 9440), 1), rng.randrange(700, 3000, 10), rng.choice((0.08, 0.25, 0.7)))


def _timed(stops: Iterator[Stop], start_ms: int, end_ms: int) -> tuple[Waypoint, ...]:
    """Sail the stops until the exercise ends; whoever arrives earlier lies there."""
    here, _ = next(stops)
    track = [Waypoint(start_ms, *here)]
    for there, speed_kn in stops:
        took_ms = max(1, round(distance_m(here, there) / (speed_kn * KNOT_M_PER_S) * 1000))
        track.append(Waypoint(track[-1].at_ms + took_ms, *there))
        here = there
        if track[-1].at_ms >= end_ms:
            return tuple(track)
    return (*track, Waypoint(end_ms + 1, *here))


def _merchant(roster: _Roster, lane: Lane, *, goes_dark: bool) -> None:
    rng, whole_ms = roster.rng, roster.end_ms - roster.start_ms
    kind = rng.choices(list(lane.traffic), list(lane.traffic.values()))[0]
    *_, slowest_kn, fastest_kn = _HULLS[kind]
    back = rng.random() < 0.5
    silent = None
    if goes_dark:
        off_ms = roster.start_ms + int(whole_ms * rng.uniform(0.25, 0.45))
        silent = (off_ms, off_ms + int(whole_ms * rng.uniform(0.35, 0.6)))
    stops = _transit(rng, lane, back, rng.uniform(slowest_kn, fastest_kn), whole_ms)
    destination = rng.choice(lane.destinations[back])
    roster.add(kind, "transit", rng.choice(_MERCHANT_FLAGS), stops, destination=destination, silent=silent)


def _transit(rng: Random, lane: Lane, back: bool, speed_kn: float, whole_ms: int) -> Iterator[Stop]:
    """Sail a lane on its right-hand side, from a place that leaves room for the whole exercise."""
    points, widths_m = (lane.points[::-1], lane.half_width_m[::-1]) if back else (lane.points, lane.half_width_m)
    path = _wavering(rng, _beside(points, widths_m, rng.uniform(0.15, 0.8)))
    ahead_m = [distance_m(start, end) for start, end in pairwise(path)]
    skip_m = rng.random() * max(0.0, sum(ahead_m) - speed_kn * KNOT_M_PER_S * whole_ms / 1000)
    leg = 0
    while leg < len(ahead_m) - 1 and skip_m > ahead_m[leg]:
        skip_m -= ahead_m[leg]
        leg += 1
    yield between(path[leg], path[leg + 1], skip_m / ahead_m[leg]), speed_kn
    for point in path[leg + 1 :]:
        yield point, speed_kn * rng.uniform(0.96, 1.04)


def _beside(points: Sequence[Point], widths_m: Sequence[int], share: float) -> list[Point]:
    """The line to the right of a lane, ``share`` of the half width away."""
    path = []
    for index, (point, width_m) in enumerate(zip(points, widths_m, strict=True)):
        east_m, north_m = offset_m(points[max(index - 1, 0)], points[min(index + 1, len(points) - 1)])
        scale = share * width_m / math.hypot(east_m, north_m)
        path.append(moved(point, north_m * scale, -east_m * scale))
    return path


def _wavering(rng: Random, path: Sequence[Point]) -> list[Point]:
    """Break long legs and shift the breaks a little, as set, drift and watch-keeping do."""
    points = [path[0]]
    for start, end in pairwise(path):
        length_m = distance_m(start, end)
        parts = max(1, int(length_m // 30_000))
        waver_m = min(length_m * 0.02, 700.0)
        for part in range(1, parts):
            east_m, north_m = rng.gauss(0, waver_m), rng.gauss(0, waver_m)
            points.append(moved(between(start, end, part / parts), east_m, north_m))
        points.append(end)
    return points


def _fishing(rng: Random, ground: Ground) -> Iterator[Stop]:
    """Work a ground: slow legs that turn by chance, and home when the edge is near."""
    centre = ground.points
    here = moved_along(centre, rng.uniform(0, 360), ground.radius_m * math.sqrt(rng.random()) * 0.9)
    course_deg = rng.uniform(0, 360)
    yield here, 0.0
    while True:
        speed_kn = rng.uniform(2.5, 5.0)
        course_deg += rng.gauss(0, 50)
        there = moved_along(here, course_deg, speed_kn * KNOT_M_PER_S * rng.uniform(1200, 3000))
        if distance_m(there, centre) > ground.radius_m:
            course_deg = bearing_deg(here, centre) + rng.gauss(0, 20)
            there = moved_along(here, course_deg, speed_kn * KNOT_M_PER_S * 1800)
        here = there
        yield here, speed_kn


def _unlit(roster: _Roster, area: Area, count: int) -> None:
    """Dark vessels over the cables: the first on the power cable, the others along the long one."""
    rng, always = roster.rng, (roster.start_ms, roster.end_ms + 1)
    telecom = next(cable for cable in area.cables if cable.carries == "telecom")
    power = next(cable for cable in area.cables if cable.carries == "power")
    roster.add("unlit", "loiter", "PAN", _loiter(rng, power, UNLIT_CONTACT), silent=always)
    for number in range(1, count):
        place = _along(telecom, 0.2 + 0.55 * number / count + rng.uniform(-0.02, 0.02))
        stops = _loiter(rng, telecom, moved(place, rng.gauss(0, 1500), rng.gauss(0, 1500)))
        roster.add("unlit", "loiter", rng.choice(_OPEN_FLAGS), stops, silent=always)


def _along(cable: Cable, share: float) -> Point:
    legs_m = [distance_m(start, end) for start, end in pairwise(cable.points)]
    rest_m = share * sum(legs_m)
    for (start, end), leg_m in zip(pairwise(cable.points), legs_m, strict=True):
        if rest_m <= leg_m:
            return between(start, end, rest_m / leg_m)
        rest_m -= leg_m
    return cable.points[-1]


def _loiter(rng: Random, cable: Cable, begin: Point) -> Iterator[Stop]:
    """Cross a cable again and again, slowly, within about 4 km of where it began."""
    start, end = min(pairwise(cable.points), key=lambda leg: distance_m(begin, between(leg[0], leg[1], 0.5)))
    along_deg, side = bearing_deg(start, end), 1
    yield begin, 0.0
    while True:
        place = moved_along(begin, along_deg, rng.uniform(-2500, 2500))
        side = -side
        yield moved_along(place, along_deg + 90 * side, rng.uniform(500, 1800)), rng.uniform(1.2, 3.0)


def _pairs(roster: _Roster, area: Area, count: int) -> None:
    """Carriers that meet fishing vessels at sea; at every second meeting the fishing vessel is silent."""
    rng, whole_ms = roster.rng, roster.end_ms - roster.start_ms
    far = [ground for ground in area.grounds if ground.name in {"celebes", "philippine-sea", "arafura"}]
    for number in range(count):
        ground = rng.choice(far)
        place = moved_along(ground.points, rng.uniform(0, 360), ground.radius_m * 0.6)
        begin_s, end_s = whole_ms / 1000 * rng.uniform(0.15, 0.25), whole_ms / 1000 * rng.uniform(0.75, 0.85)
        drift_deg = rng.uniform(0, 360)
        silent = (roster.start_ms, roster.end_ms + 1) if number % 2 else None
        for kind, beside_m, hushed in (("carrier", 0.0, None), ("fishing", 140.0, silent)):
            met = moved_along(place, drift_deg + 90, beside_m)
            stops = _meet(rng, met, drift_deg, begin_s, end_s, 9.0 if kind == "carrier" else 6.0)
            flag = rng.choice(_OPEN_FLAGS) if kind == "carrier" else rng.choice(ground.flags)
            roster.add(kind, "meet", flag, stops, silent=hushed)


def _meet(rng: Random, place: Point, drift_deg: float, begin_s: float, end_s: float, speed_kn: float) -> Iterator[Stop]:
    """Come to a place by ``begin_s``, drift at half a knot until ``end_s``, and leave."""
    run_m = speed_kn * KNOT_M_PER_S * begin_s
    yield moved_along(place, rng.uniform(0, 360), run_m), 0.0
    yield place, speed_kn
    parted = moved_along(place, drift_deg, 0.5 * KNOT_M_PER_S * (end_s - begin_s))
    yield parted, 0.5
    yield moved_along(parted, rng.uniform(0, 360), speed_kn * KNOT_M_PER_S * 6 * 3600), speed_kn
