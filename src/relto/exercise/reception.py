"""Which AIS messages a nation hears: by its stations on shore, and by satellites when they pass.

The traffic is thinned as archives thin it: one position of a vessel in two or three minutes, statics each half hour.
Several stations may hear one message, and then it stands several times in the log, as in any real one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from relto.clock import SECOND_MS
from relto.exercise.area import METRES_PER_DEGREE, Area, Point, distance_m
from relto.exercise.transponder import Field, position_report, sentences, static_reports
from relto.exercise.voyage import Motion, Vessel, motion

MINUTE_MS = 60 * SECOND_MS
_POSITION_EVERY_MS = {"A": 2 * MINUTE_MS, "B": 3 * MINUTE_MS}
_STATIC_EVERY_MS = 30 * MINUTE_MS
_SHORE_CHANCE = 0.92
_PASS_LASTS_MS = 12 * MINUTE_MS
_PASS_REACH_M = 2_300_000
_PASS_CHANCE = 0.6  # messages collide in the wide view of a satellite
# nation: how often one of its satellites comes over
_PASS_EVERY_MS = {"USA": 22 * MINUTE_MS, "JPN": 60 * MINUTE_MS, "IND": 75 * MINUTE_MS}


@dataclass(frozen=True, slots=True)
class Receiver:
    """One set of ears: a shore station for the whole exercise, or a satellite for one pass."""

    nation: str
    log: str
    name: str
    place: Point
    reach_m: int
    chance: float
    from_ms: int
    to_ms: int

    def hears(self, rng: Random, at_ms: int, place: Point) -> bool:
        """Whether a message sent there and then arrives."""
        if not self.from_ms <= at_ms < self.to_ms:
            return False
        return distance_m(self.place, place) <= self.reach_m and rng.random() < self.chance


def listen(
    rng: Random, area: Area, vessels: tuple[Vessel, ...], start_ms: int, end_ms: int
) -> dict[tuple[str, str], bytes]:
    """Write each nation's logs, keyed by (nation, log name), every log in the order of hearing."""
    ears = _Ears(list(_shore(area, start_ms, end_ms)), list(_satellites(rng, start_ms, end_ms)))
    logs: dict[tuple[str, str], _Log] = defaultdict(_Log)
    calls = sorted(_calls(rng, vessels, start_ms, end_ms), key=lambda call: call.at_ms)
    for call in calls:
        heard = ears.hearing(rng, call.at_ms, (call.motion.lon_deg, call.motion.lat_deg))
        if heard:
            messages = call.messages()
            for receiver in heard:
                logs[receiver.nation, receiver.log].write(messages, receiver.name, call.at_ms, call.channel)
    return {key: b"".join(log.lines) for key, log in logs.items()}


class _Ears:
    """All receivers, found by the degree of latitude (shore) and by the time of a pass (satellites)."""

    def __init__(self, shore: list[Receiver], passes: list[Receiver]) -> None:
        self._shore: dict[int, list[Receiver]] = defaultdict(list)
        self._passes: dict[int, list[Receiver]] = defaultdict(list)
        for station in shore:
            lat_deg, reach_deg = station.place[1], station.reach_m / METRES_PER_DEGREE
            for degree in range(math.floor(lat_deg - reach_deg), math.floor(lat_deg + reach_deg) + 1):
                self._shore[degree].append(station)
        for one in passes:
            for slot in range(one.from_ms // _PASS_LASTS_MS, (one.to_ms - 1) // _PASS_LASTS_MS + 1):
                self._passes[slot].append(one)

    def hearing(self, rng: Random, at_ms: int, place: Point) -> list[Receiver]:
        """Who hears a message sent there and then, shore stations first."""
        near = self._shore.get(math.floor(place[1]), []) + self._passes.get(at_ms // _PASS_LASTS_MS, [])
        return [receiver for receiver in near if receiver.hears(rng, at_ms, place)]


@dataclass(frozen=True, slots=True)
class _Call:
    """One transmission; encoded only if somebody hears it."""

    at_ms: int
    motion: Motion
    channel: str
    messages: Callable[[], list[list[Field]]]


def _calls(rng: Random, vessels: tuple[Vessel, ...], start_ms: int, end_ms: int) -> Iterator[_Call]:
    for vessel in vessels:
        every_ms = _POSITION_EVERY_MS[vessel.transponder]
        at_ms = start_ms + rng.randrange(every_ms) // SECOND_MS * SECOND_MS
        static_ms = at_ms
        while at_ms < end_ms:
            if not vessel.is_silent(at_ms):
                here, channel = motion(vessel, at_ms), rng.choice("AB")
                yield _Call(at_ms, here, channel, _says_position(vessel, here, at_ms, rng.random() < 0.9))
                if at_ms >= static_ms:
                    static_ms = at_ms + _STATIC_EVERY_MS
                    yield _Call(at_ms, here, channel, _says_static(vessel, at_ms))
            at_ms += every_ms + rng.randint(-9, 9) * SECOND_MS


def _says_position(vessel: Vessel, here: Motion, at_ms: int, scheduled: bool) -> Callable[[], list[list[Field]]]:
    return lambda: [position_report(vessel, here, at_ms, scheduled=scheduled)]


def _says_static(vessel: Vessel, at_ms: int) -> Callable[[], list[list[Field]]]:
    return lambda: static_reports(vessel, at_ms)


class _Log:
    """The lines of one log, with the running numbers that its receiver would count."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._multipart = 0

    def write(self, messages: list[list[Field]], source: str, at_ms: int, channel: str) -> None:
        for fields in messages:
            lines = sentences(
                fields,
                source=source,
                at_ms=at_ms,
                channel=channel,
                sequence=self._multipart % 10,
                group=1000 + self._multipart % 9000,
            )
            self._multipart += len(lines) > 1
            self.lines.extend(lines)


def _shore(area: Area, start_ms: int, end_ms: int) -> Iterator[Receiver]:
    for station in area.stations:
        name = station.name.removeprefix("EX-").replace("-", "")
        yield Receiver(
            station.nation,
            "ais-shore.nmea",
            f"EX{name}"[:15],
            station.points,
            station.reach_m,
            _SHORE_CHANCE,
            start_ms,
            end_ms,
        )


def _satellites(rng: Random, start_ms: int, end_ms: int) -> Iterator[Receiver]:
    for nation, every_ms in _PASS_EVERY_MS.items():
        from_ms, number = start_ms + rng.randrange(every_ms // 2), 0
        while from_ms < end_ms:
            number += 1
            place = (rng.uniform(96, 134), rng.uniform(-4, 28))
            yield Receiver(
                nation,
                "ais-satellite.nmea",
                f"EX{nation}SAT{number % 3 + 1}",
                place,
                _PASS_REACH_M,
                _PASS_CHANCE,
                from_ms,
                from_ms + _PASS_LASTS_MS,
            )
            from_ms += every_ms + rng.randint(-5, 5) * MINUTE_MS
