"""The second, naive look at a rendition before it may leave. It shares no code with the renderers.

It does not ask whether the rendition is right but whether it holds anything that must not be in it: a position finer
than agreed in any spelling, a field over the view, a value that was taken out, a row outside the agreed areas.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Set
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relto.columns import read_table
from relto.errors import invariant
from relto.item import VIEWS
from relto.release.cut import Cut

_EARTH_M = 6_378_137.0
_TELLING_CHARS = 4
_PAIR = 3_600_000_001  # packs a latitude and a longitude of 1e-7 degree into one integer


def check(original: bytes, rendition: bytes, cut: Cut) -> None:
    """Refuse a rendition that tells more than its cut allows.

    Raises:
        InvariantError: it does; the message names what kind of thing, never the value.
    """
    if cut.changes_nothing:
        invariant(original == rendition, "an unreduced rendition is the content itself")
    elif cut.kind.shape == "columns":
        _check_columns(original, rendition, cut)
    else:
        _check_json(original, rendition, cut)


def _check_json(original: bytes, rendition: bytes, cut: Cut) -> None:
    before, after = json.loads(original, parse_float=Decimal), json.loads(rendition, parse_float=Decimal)
    kept = dict(_leaves(after))
    for path in kept:
        invariant(not _forbidden(path, cut), "a removed field is not in a rendition")
    if cut.kind.shape == "stix":
        _check_objects(after, cut)
    if cut.portions and cut.kind.shape in ("stix", "misp"):
        text = "\0".join(_texts(after)).casefold()
        survivors = {str(each).casefold() for path, each in kept.items() if path.rpartition(".")[2] in _names(cut)}
        for value in _portion_values(before, cut):
            invariant(value in survivors or value not in text, "a removed portion is not mentioned")
    if cut.precision_m:
        _check_position(before, after, cut.precision_m)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for at, each in enumerate(value):
            name = each.get("uuid", each.get("id", at)) if isinstance(each, dict) else at
            yield from _leaves(each, f"{path}[{name}]")
    else:
        yield path, value


def _texts(value: Any) -> Iterator[str]:
    """Every string of a record as it reads, names included."""
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)


def _check_objects(bundle: Any, cut: Cut) -> None:
    """No STIX object over the view, of a removed type, or with a removed property; markings may stay with the rest."""
    views = {field.path: VIEWS.index(field.view) for field in cut.kind.fields}
    for each in bundle["objects"]:
        kind = each["type"]
        invariant(not any(f"{kind}.{name}" in cut.remove for name in each), "a removed property is not in a rendition")
        placed = kind == "location" and ("latitude" in each or "longitude" in each)
        invariant(not (cut.precision_m and placed), "a location is in no coarse rendition")
        if kind in ("marking-definition", "extension-definition"):
            continue
        over = cut.view != "full" and views.get(kind, len(VIEWS)) > VIEWS.index(cut.view)
        invariant(kind not in cut.remove and not over, "an object over the view is not in a rendition")


def _within(path: str, gone: Set[str]) -> bool:
    """Whether a path is, or stands in, one of these."""
    return path in gone or any(path[:at] in gone for at, char in enumerate(path) if char in ".[")


def _forbidden(path: str, cut: Cut) -> bool:
    """Whether a path stands in something removed, or, in records, in nothing that this view names."""
    plain = re.sub(r"\[[^\]]*\]", "[]", path)
    if _within(path, cut.remove | cut.portions) or _within(plain, cut.remove):
        return True
    if cut.kind.shape == "stix" or cut.keeps_unknown:
        return False
    views = [f.view for f in cut.kind.fields if plain == f.path or plain.startswith((f"{f.path}.", f"{f.path}["))]
    return not views or VIEWS.index(views[-1]) > VIEWS.index(cut.view)


def _names(cut: Cut) -> tuple[str, ...]:
    return ("uuid", "value") if cut.kind.shape == "misp" else ("id", "name", "value")


def _portion_values(before: Any, cut: Cut) -> Iterator[str]:
    """The identifying values, case folded, of everything that a portion took out as a whole: ids, names, values."""
    for path, value in _leaves(before):
        owner, _, name = path.rpartition(".")
        gone = _within(owner, cut.portions) if cut.kind.shape == "misp" else owner in cut.portions
        if gone and name in _names(cut) and len(str(value)) >= _TELLING_CHARS:
            yield str(value).casefold()


def _check_position(before: Any, after: Any, precision_m: int) -> None:
    geometry = after.get("geometry")
    plain = geometry is None or (geometry.keys() == {"type", "coordinates"} and len(geometry["coordinates"]) == 2)
    invariant(plain and (geometry is None or geometry["type"] == "Point"), "a coarse position is a point")
    true = _point(before)
    if true is None:
        invariant(geometry is None, "a position is not made up")
        return
    text = json.dumps(
        {name: each for name, each in after.items() if name != "geometry"}, ensure_ascii=False, default=str
    )
    for spelling in _spellings(*true):
        invariant(spelling not in text, "an exact position is in no spelling in a coarse rendition")
    told = _point(after)
    if told is not None:
        invariant(_distance_m(true, told) <= precision_m * 1.001, "a coarse position is within its precision")
        # A cell's centre is its own centre: whatever is finer than the grid would move when it is snapped again.
        invariant(_is_centre(told, precision_m), "a coarse position is the centre of a cell")


def _point(record: Any) -> tuple[float, float] | None:
    geometry = record.get("geometry") if isinstance(record, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        return None
    return float(geometry["coordinates"][1]), float(geometry["coordinates"][0])


def _spellings(lat: float, lon: float) -> Iterator[str]:
    """The position as text: decimals from the fourth on, integers of 1e-7 degree, degrees and minutes."""
    for value in (abs(lat), abs(lon)):
        for digits in (4, 5, 6, 7):
            cut_off = math.floor(value * 10**digits) / 10**digits
            shown = f"{cut_off:.{digits}f}"
            if not shown.endswith("00"):
                yield shown
        yield str(round(value * 1e7))
        degrees, minutes = int(value), (value - int(value)) * 60
        for shown in (f"{minutes:.2f}", f"{minutes:.3f}"):
            yield from (f"{degrees}°{shown}", f"{degrees} {shown}", f"{degrees}-{shown}")


def _distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    lat_a, lat_b = math.radians(a[0]), math.radians(b[0])
    half = math.sin((lat_a - lat_b) / 2) ** 2
    half += math.cos(lat_a) * math.cos(lat_b) * math.sin(math.radians(a[1] - b[1]) / 2) ** 2
    return 2 * _EARTH_M * math.asin(math.sqrt(min(1.0, half)))


def _is_centre(told: tuple[float, float], precision_m: int) -> bool:
    lat_e7, lon_e7 = round(told[0] * 1e7), round(told[1] * 1e7)
    high = max(1, precision_m * 14_142_000 // 111_700)
    row = lat_e7 // high
    equatorward = min(abs(row * high), abs((row + 1) * high)) / 1e7
    wide = min(3_600_000_000, max(1, int(precision_m * 14_142_000 / (111_700 * math.cos(math.radians(equatorward))))))
    centre_lat, centre_lon = row * high + high // 2, lon_e7 // wide * wide + wide // 2
    # a cell that goes over the edge of the map has its centre put back onto the edge
    is_lat = lat_e7 == max(-900_000_000, min(900_000_000, centre_lat))
    return is_lat and lon_e7 == max(-1_800_000_000, min(1_800_000_000, centre_lon))


def _check_columns(original: bytes, rendition: bytes, cut: Cut) -> None:
    before, after = read_table(original), read_table(rendition)
    named = {field.path: field for field in cut.kind.fields}
    for name in after.column_names:
        invariant(name not in cut.remove and name not in cut.portions, "a removed column is not in a rendition")
        over = VIEWS.index(named[name].view) > VIEWS.index(cut.view) if name in named else not cut.keeps_unknown
        invariant(not over, "a column over the view is not in a rendition")
    invariant(after.num_rows <= before.num_rows, "a rendition has no more rows than its content")
    step_ms = {"notice": 3_600_000, "summary": 600_000}.get(cut.view)
    for name in (f.path for f in cut.kind.fields if f.role == "time_ms" and f.path in after.column_names):
        times = after[name].to_numpy()
        invariant(step_ms is None or not np.any(times % step_ms), "a coarse time is on its step")
    if cut.precision_m and {"lat_e7", "lon_e7"} <= set(after.column_names):
        lats, lons = _e7(after, "lat_e7"), _e7(after, "lon_e7")
        for key in np.unique(lats * _PAIR + lons).tolist():
            lat_e7, lon_e7 = (key + _PAIR // 2) // _PAIR, (key + _PAIR // 2) % _PAIR - _PAIR // 2
            invariant(_is_centre((lat_e7 / 1e7, lon_e7 / 1e7), cut.precision_m), "a coarse position is a centre")
    if cut.regions and not cut.precision_m and {"lat_e7", "lon_e7"} <= set(after.column_names):
        lats, lons = _e7(after, "lat_e7"), _e7(after, "lon_e7")
        outside = np.ones(after.num_rows, dtype=bool)
        for box in (box for region in cut.regions for box in region.boxes):
            beside = (lons < box.west_e7) | (lons > box.east_e7)
            if box.west_e7 > box.east_e7:
                beside = (lons < box.west_e7) & (lons > box.east_e7)
            outside &= (lats < box.south_e7) | (lats > box.north_e7) | beside
        invariant(not outside.any(), "a row outside the agreed areas is not in a rendition")


def _e7(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return table[name].to_numpy().astype(np.int64)
