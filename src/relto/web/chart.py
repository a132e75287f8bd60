"""The chart as geometry: where each thing is drawn and what it is called. Templates only write it down.

Places are percents of the square of ``relto.web.viewport``, so that symbols keep their size on every screen. No
boundary and no claim is drawn. Colour says the state, the shape says the source, and the list beside the chart says
everything again for whoever does not see it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from relto.clock import HOUR_MS
from relto.web.address import href
from relto.web.land import DRAWING, LITE_DRAWING, land_path
from relto.web.messages import Messages
from relto.web.notation import course, position
from relto.web.seas import sea_names
from relto.web.viewport import FRAME_HIGH, FRAME_WIDE, Viewport, latitude, northing
from relto.web.views import Activity, ChartView, Contact, Source, State, TrackPoint

MOST_SYMBOLS = 500
DENSITY_COLUMNS = 40
ZOOM = 2.0
PAN = 0.4
_SYMBOL_PERCENT = 1.2  # about the radius of a symbol; a smaller uncertainty would hide under it
_STATE_ORDER: dict[State, int] = {"routine": 0, "watch": 1, "alert": 2}
_AGES_MS = (HOUR_MS, 6 * HOUR_MS)
_STEPS_DEGREES = (30.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01)
_SCALES_NM = (2000, 1000, 600, 300, 200, 120, 60, 30, 20, 10, 6, 3, 2, 1)
_NM_M = 1852


@dataclass(frozen=True, slots=True)
class Symbol:
    """One contact: its place in percent, its turn in whole degrees, how stale it is (0 to 2), where it leads."""

    right: float
    down: float
    source: Source
    state: State
    turn: int
    stale: int
    selected: bool
    href: str
    words: str


@dataclass(frozen=True, slots=True)
class Halo:
    """Where a contact may be: a circle in percent."""

    right: float
    down: float
    radius: float
    state: State


@dataclass(frozen=True, slots=True)
class Words:
    """A text at a place in percent; ``kind`` is its class in the style sheet."""

    right: float
    down: float
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A path in drawing units and its class in the style sheet."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Controls:
    """Addresses that show this or another part of the sea; None where there is no more to show."""

    here: str
    closer: str | None
    wider: str | None
    north: str
    south: str
    west: str
    east: str
    home: str | None


@dataclass(frozen=True, slots=True)
class Legend:
    """How many contacts of each source are drawn, and how many there are in all."""

    sources: tuple[tuple[Source, int], ...]
    drawn: int
    total: int


@dataclass(frozen=True, slots=True)
class Scale:
    """A length on the ground at the middle of the chart, and in percent of the square."""

    length_nm: int
    percent: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn, from the bottom up."""

    viewport: Viewport
    drawing: int
    land: str
    graticule: str
    words: tuple[Words, ...]
    outlines: tuple[Shape, ...]
    density: tuple[Shape, ...]
    halos: tuple[Halo, ...]
    symbols: tuple[Symbol, ...]
    groups: tuple[Shape, ...]
    legend: Legend
    scale: Scale
    middle: str
    controls: Controls


def draw(view: ChartView, now_ms: int, messages: Messages, *, lite: bool = False) -> Chart:
    """Return the geometry of a chart; in the lite form contacts are a few paths without links."""
    port, drawing = view.viewport, LITE_DRAWING if lite else DRAWING
    single, many = _parted(list(_placed(view)), view.selected_id)
    return Chart(
        viewport=port,
        drawing=drawing,
        land=land_path(port, drawing),
        graticule=_graticule(port, drawing),
        words=(*_graticule_words(port), *_sea_words(view, messages), *_area_words(view)),
        outlines=(*_area_shapes(view, drawing), *_track_shapes(view, drawing)),
        density=_density(many, drawing),
        halos=tuple(halo for one in single if (halo := _halo(one, port)) is not None),
        symbols=tuple(
            _symbol(one, view, now_ms, messages) for one in single if not lite or one[0].item_id == view.selected_id
        ),
        groups=_groups(single, drawing) if lite else (),
        legend=_legend([*single, *many], view.contact_total),
        scale=_scale(port),
        middle=position(round(latitude(port.ordinate) * 1e7), round(port.lon * 1e7)),
        controls=_controls(view),
    )


_Placed = tuple[Contact, float, float]


def _placed(view: ChartView) -> Iterable[_Placed]:
    for contact in view.contacts:
        right, down = view.viewport.place(contact.lat_e7, contact.lon_e7)
        if view.viewport.draws(right, down):
            yield contact, right, down


def _parted(placed: list[_Placed], selected_id: str | None) -> tuple[list[_Placed], list[_Placed]]:
    """Part contacts into those drawn one by one, the most pressing last and on top, and those only counted."""
    placed.sort(key=lambda one: (one[0].item_id == selected_id, _STATE_ORDER[one[0].state], one[0].observed_ms))
    if len(placed) <= MOST_SYMBOLS:
        return placed, []
    pressing = [one for one in placed if one[0].state != "routine" or one[0].item_id == selected_id]
    single = pressing[-MOST_SYMBOLS:]
    return single, placed[: len(placed) - len(single)]


def _symbol(one: _Placed, view: ChartView, now_ms: int, messages: Messages) -> Symbol:
    contact, right, down = one
    age_ms = now_ms - contact.observed_ms
    return Symbol(
        right=right,
        down=down,
        source=contact.source,
        state=contact.state,
        turn=_turn(contact),
        stale=sum(age_ms >= limit for limit in _AGES_MS),
        selected=contact.item_id == view.selected_id,
        href=_link(view, view.viewport, contact.item_id),
        words=messages.text(
            "chart.contact",
            name=contact.name or contact.item_id,
            source=messages.text(f"source.{contact.source}"),
            course=course(contact.course_ddeg) if contact.course_ddeg is not None else messages.text("chart.no_course"),
            age=messages.age(contact.observed_ms, now_ms),
            origin=contact.origin,
        ),
    )


def _turn(contact: Contact) -> int:
    return 0 if contact.source != "ais" or contact.course_ddeg is None else (contact.course_ddeg + 5) // 10 % 360


def _halo(one: _Placed, port: Viewport) -> Halo | None:
    contact, right, down = one
    radius = port.radius(contact.lat_e7, contact.uncertainty_m or 0)
    return Halo(right, down, min(radius, 200.0), contact.state) if radius > _SYMBOL_PERCENT else None


def _groups(placed: Iterable[_Placed], drawing: int) -> tuple[Shape, ...]:
    """All contacts of one source and state as one path: a tenth of the bytes of single symbols."""
    paths: dict[str, list[str]] = {}
    for contact, right, down in placed:
        x, y = round(right * drawing / 100), round(down * drawing / 100)
        paths.setdefault(f"{contact.source} {contact.state}", []).append(_mark(contact, x, y))
    return tuple(Shape(kind, "".join(parts)) for kind, parts in paths.items())


def _mark(contact: Contact, x: int, y: int) -> str:
    if contact.source == "ais":
        angle = math.radians(_turn(contact))
        nose = (round(9 * math.sin(angle)), round(-9 * math.cos(angle)))
        wing = (round(3 * math.cos(angle)), round(3 * math.sin(angle)))
        back = (wing[0] - nose[0], wing[1] - nose[1])
        return f"M{x + nose[0]} {y + nose[1]}l{back[0]} {back[1]} {-2 * wing[0]} {-2 * wing[1]}z".replace(" -", "-")
    if contact.source == "sar":
        return f"M{x - 3} {y - 3}h6v6h-6z"
    return f"M{x - 3} {y}a3 3 0 1 0 6 0 3 3 0 1 0-6 0"


def _density(placed: Iterable[_Placed], drawing: int) -> tuple[Shape, ...]:
    """Count contacts in square cells; five steps of strength, each twice as full as the one before."""
    width = 100 / DENSITY_COLUMNS
    counts = Counter((math.floor(right / width), math.floor(down / width)) for _, right, down in placed)
    side = drawing / DENSITY_COLUMNS
    steps: dict[int, list[str]] = {}
    for (column, row), count in sorted(counts.items()):
        step = min(5, count.bit_length())
        steps.setdefault(step, []).append(f"M{column * side:g} {row * side:g}h{side:g}v{side:g}h-{side:g}z")
    return tuple(Shape(f"d{step}", "".join(parts)) for step, parts in sorted(steps.items()))


def bar_shapes(activity: Activity) -> tuple[Shape, ...]:
    """Return the bars of the time line as two paths, quiet and with alerts, each bar 10 wide and up to 30 high."""
    most = max((bar.count for bar in activity.bars), default=0) or 1
    paths: dict[str, list[str]] = {"": [], "hot": []}
    for index, bar in enumerate(activity.bars):
        high = round(30 * bar.count / most)
        paths["hot" if bar.alerts else ""].append(f"M{index * 10 + 1} 30v-{high}h8v{high}z" if high else "")
    return tuple(Shape(kind, "".join(parts)) for kind, parts in paths.items())


def _graticule_step(port: Viewport) -> float:
    return next((step for step in _STEPS_DEGREES if port.side / step >= 3), _STEPS_DEGREES[-1])


def _meridians(port: Viewport) -> list[tuple[float, float]]:
    """Return the longitude and the place in percent of each meridian in the frame."""
    step, half = _graticule_step(port), port.side * FRAME_WIDE / 2
    first, last = math.ceil((port.lon - half) / step), math.floor((port.lon + half) / step)
    return [(n * step, 50 + 100 * (n * step - port.lon) / port.side) for n in range(first, last + 1)]


def _parallels(port: Viewport) -> list[tuple[float, float]]:
    """Return the latitude and the place in percent of each parallel in the frame."""
    step, half = _graticule_step(port), port.side * FRAME_HIGH / 2
    first = math.ceil(latitude(port.ordinate - half) / step)
    last = math.floor(latitude(port.ordinate + half) / step)
    return [(n * step, 50 - 100 * (northing(n * step) - port.ordinate) / port.side) for n in range(first, last + 1)]


def _graticule(port: Viewport, drawing: int) -> str:
    unit = drawing / 100
    left, top = (50 - 50 * FRAME_WIDE) * unit, (50 - 50 * FRAME_HIGH) * unit
    wide, high = 100 * FRAME_WIDE * unit, 100 * FRAME_HIGH * unit
    down = "".join(f"M{place * unit:.0f} {top:.0f}v{high:.0f}" for _, place in _meridians(port))
    across = "".join(f"M{left:.0f} {place * unit:.0f}h{wide:.0f}" for _, place in _parallels(port))
    return down + across


def _graticule_words(port: Viewport) -> Iterable[Words]:
    for lon, place in _meridians(port):
        if 12 < place < 96:
            yield Words(place, 1.9, _degrees((lon + 180) % 360 - 180, "EW"), "grad middle")
    for lat, place in _parallels(port):
        if 5 < place < 90:
            yield Words(99.4, place, _degrees(lat, "NS"), "grad end")


def _degrees(angle: float, signs: str) -> str:
    minutes = round(abs(angle) * 600) / 10
    whole, rest = divmod(minutes, 60)
    text = f"{whole:.0f}°{rest:04.1f}′" if rest % 1 else f"{whole:.0f}°{rest:02.0f}′" if rest else f"{whole:.0f}°"
    return text + (signs[angle < 0] if 0 < minutes < 180 * 60 else "")


def _sea_words(view: ChartView, messages: Messages) -> Iterable[Words]:
    for sea in sea_names(messages) if view.seas is None else view.seas:
        right, down = view.viewport.place(sea.lat_e7, sea.lon_e7)
        if sea.narrowest <= view.viewport.side <= sea.widest and abs(right - 50) < 70 and abs(down - 50) < 55:
            yield Words(right, down, sea.name, "sea large" if sea.large else "sea")


def _area_words(view: ChartView) -> Iterable[Words]:
    for area in view.areas:
        highest = max(area.corners, default=None)
        if highest is not None:
            right, down = view.viewport.place(*highest)
            yield Words(right, down - 1.4, area.name, "area-name")


def _area_shapes(view: ChartView, drawing: int) -> Iterable[Shape]:
    for area in view.areas:
        corners = [_point(view.viewport, corner, drawing) for corner in area.corners]
        if corners:
            yield Shape("area", f"M{' '.join(corners)}z")


def _track_shapes(view: ChartView, drawing: int) -> Iterable[Shape]:
    for gap, kind in ((False, "track"), (True, "track gap")):
        legs = [
            f"M{_fix(view.viewport, start, drawing)} {_fix(view.viewport, end, drawing)}"
            for start, end in pairwise(view.track)
            if end.after_gap == gap
        ]
        if legs:
            yield Shape(kind, "".join(legs))


def _fix(port: Viewport, fix: TrackPoint, drawing: int) -> str:
    return _point(port, (fix.lat_e7, fix.lon_e7), drawing)


def _point(port: Viewport, corner: tuple[int, int], drawing: int) -> str:
    right, down = port.place(*corner)
    return f"{right * drawing / 100:.0f} {down * drawing / 100:.0f}"


def _legend(placed: Iterable[_Placed], total: int) -> Legend:
    counts = Counter(contact.source for contact, _, _ in placed)
    shown: tuple[Source, ...] = ("ais", "rf", "sar") if not counts["other"] else ("ais", "rf", "sar", "other")
    return Legend(tuple((source, counts[source]) for source in shown), counts.total(), total)


def _scale(port: Viewport) -> Scale:
    """Choose the longest round length that takes at most a fifth of the square."""
    lat_e7 = round(latitude(port.ordinate) * 1e7)
    for length_nm in _SCALES_NM:
        percent = port.radius(lat_e7, length_nm * _NM_M)
        if percent <= 20:
            return Scale(length_nm, percent)
    return Scale(_SCALES_NM[-1], port.radius(lat_e7, _NM_M))


def _controls(view: ChartView) -> Controls:
    port = view.viewport

    def shows(other: Viewport) -> str:
        return _link(view, other, view.selected_id)

    closer, wider = port.zoomed(ZOOM), port.zoomed(1 / ZOOM)
    return Controls(
        here=shows(port),
        closer=shows(closer) if closer.side < port.side else None,
        wider=shows(wider) if wider.side > port.side else None,
        north=shows(port.moved(0, PAN)),
        south=shows(port.moved(0, -PAN)),
        west=shows(port.moved(-PAN, 0)),
        east=shows(port.moved(PAN, 0)),
        home=shows(view.home) if view.home is not None else None,
    )


def _link(view: ChartView, port: Viewport, item_id: str | None) -> str:
    return href(view.path, view.query, area=port.area, item=item_id)
