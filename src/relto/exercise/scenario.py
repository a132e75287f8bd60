"""The exercise: seven nations of the Indo-Pacific, some hours of traffic, and each nation's feeds as files.

``generate`` and ``cyber`` are functions of their arguments alone: the same seed and start give the same bytes. What
they return is plainly an exercise (see the package) and of the very forms that real feeds have, so that a node takes
it in by the same parsers.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from relto.clock import EARLIEST_MS, HOUR_MS, LATEST_MS, SECOND_MS
from relto.errors import OurError
from relto.exercise.area import read_area
from relto.exercise.bundles import cyber, withdrawal
from relto.exercise.detection import Detection, detect, to_csv, to_geojson
from relto.exercise.reception import listen
from relto.exercise.voyage import MOST_VESSELS, Vessel, muster

__all__ = ["NATIONS", "Detection", "Feed", "Scenario", "Vessel", "cyber", "generate", "withdrawal"]

NATIONS = ("USA", "JPN", "AUS", "IND", "KOR", "PHL", "IDN")
FEWEST_VESSELS = 20
MOST_HOURS = 72
_CSV_NATIONS = frozenset({"IND"})


@dataclass(frozen=True, slots=True)
class Feed:
    """One file as a nation's own feed would hand it over; never empty.

    ``name`` is ``ais-shore.nmea``, ``ais-satellite.nmea``, ``rf.geojson``, ``sar.geojson`` or ``sar.csv``.
    """

    nation: str
    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Scenario:
    """The feeds, and the truth behind them: every vessel's track, and for every detection who it was and if dark."""

    seed: int
    start_ms: int
    end_ms: int
    feeds: tuple[Feed, ...]
    vessels: tuple[Vessel, ...]
    detections: tuple[Detection, ...]

    def feeds_of(self, nation: str) -> tuple[Feed, ...]:
        """The files of one nation, in the order of their names."""
        return tuple(feed for feed in self.feeds if feed.nation == nation)


def generate(seed: int, start_ms: int, *, vessels: int = 180, hours: int = 6) -> Scenario:
    """Let ``vessels`` sail for ``hours`` from ``start_ms`` and write what every nation's sensors make of it.

    Guarantees that the same arguments give the same bytes, and that the first detection is the unlit contact near
    the power cable: ``rf-000001`` of USA, observed at ``start_ms``, at 12.34567 N 120.45678 E.

    Raises:
        OurError: an argument is out of range, or ``start_ms`` is not a whole second.
    """
    _check(start_ms, vessels, hours)
    end_ms = start_ms + hours * HOUR_MS
    rng = Random(seed)  # noqa: S311 - an exercise must come out the same every time
    # a generator for each part, so that a change to one leaves the others as they were
    sailing, hearing, seeing = (Random(rng.getrandbits(64)) for _ in range(3))  # noqa: S311
    area = read_area()
    fleet = muster(sailing, area, start_ms, end_ms, vessels)
    logs = listen(hearing, area, fleet, start_ms, end_ms)
    detections = detect(seeing, fleet, start_ms, end_ms)
    feeds = [Feed(nation, name, "text/plain", content) for (nation, name), content in logs.items() if content]
    feeds += [feed for nation in NATIONS for feed in _detection_feeds(nation, detections)]
    feeds.sort(key=lambda feed: (NATIONS.index(feed.nation), feed.name))
    return Scenario(seed, start_ms, end_ms, tuple(feeds), fleet, detections)


def _detection_feeds(nation: str, detections: tuple[Detection, ...]) -> list[Feed]:
    feeds = []
    for sensor in ("rf", "sar"):
        own = [report for report in detections if report.nation == nation and report.sensor == sensor]
        if own and nation in _CSV_NATIONS:
            feeds.append(Feed(nation, f"{sensor}.csv", "text/csv", to_csv(own)))
        elif own:
            feeds.append(Feed(nation, f"{sensor}.geojson", "application/geo+json", to_geojson(own)))
    return feeds


def _check(start_ms: int, vessels: int, hours: int) -> None:
    ranges = {
        "vessels": (vessels, FEWEST_VESSELS, MOST_VESSELS),
        "hours": (hours, 1, MOST_HOURS),
        "start_ms": (start_ms, EARLIEST_MS, LATEST_MS - MOST_HOURS * HOUR_MS),
    }
    for field, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise OurError(f"{value} is out of range.", field=field, remedy=f"Choose {least} to {most}.")
    if start_ms % SECOND_MS:
        raise OurError("is not a whole second.", field="start_ms", remedy="AIS logs have whole seconds: end it in 000.")
