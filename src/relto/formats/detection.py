"""RF, SAR, VIIRS and optical detections: one GeoJSON Feature (RFC 7946) with a Point each.

``properties`` hold ``sensor`` (rf, sar, viirs, eo) and ``observed`` (RFC 3339, Z); further ``ellipse`` (of
``semi_major_m``, ``semi_minor_m``, ``orientation_deg`` clockwise from north, ``confidence_pct``), ``confidence``,
``length_m``, ``heading_deg``, ``rf`` (``band``, ``frequency_mhz``, ``pulse`` of ``prf_hz`` and ``width_us``),
``provider``, ``licence``, ``remarks``, ``exercise`` and ``marking``. An RF or SAR detection without the ellipse that
was delivered with it is refused: matched with a made-up one it would accuse ships that were not there.

``marking`` is what the provider demands: ``rel_to`` (parties), ``noforn``, ``tlp``, and ``portions``, each with a
``selector`` such as ``properties.rf.pulse``. The block itself becomes a portion as strict as all of them together, so
that it never tells somebody of a part that was held back from them. An unknown word in it refuses the record.

Positions are taken from the decimal digits as written, rounded half to even at 1e-7 degree; no binary fraction is ever
in between. A Feature keeps its own bytes; one read from CSV is written here.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypeVar

import msgspec

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.errors import MalformedError
from relto.formats.draft import Draft, Intake, joined, settle, short
from relto.formats.rejects import Tally
from relto.formats.slices import Cut, RefusedError, cut, is_whole, read_object
from relto.item import PARTY, Item, Place
from relto.labels import NOFORN, REL_TO, Category, Handling, handling, parse_tlp
from relto.strict import check_text

KIND = "maritime.detection"
MEDIA_TYPE = "application/geo+json"
SENSORS = ("rf", "sar", "viirs", "eo")

Json = dict[str, Any]
Row = list[str]
T = TypeVar("T")

_MARKING = "properties.marking"
_MEASURED = ("rf", "sar")  # sensors that deliver an ellipse with each detection
_EARTH_M = 40_075_017
_STEP = Decimal("1E-7")
_REMARKS_CHARS = 4096
_HANDLING_WORDS = frozenset({"rel_to", "noforn", "tlp"})
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_BLANK = b" \t\r\n\x1e"  # the last is the record separator of RFC 8142

_REQUIRED_COLUMNS = frozenset({"observed", "lat", "lon", "sensor"})
_ELLIPSE_COLUMNS = ("semi_major_m", "semi_minor_m", "orientation_deg", "confidence_pct")
_NUMBER_COLUMNS = ("confidence", "length_m", "heading_deg")
_FEATURE_ENCODER = msgspec.json.Encoder(decimal_format="number")

# Lowest and highest value of the numbers that a detection may hold, by their path in the properties.
_RANGES: dict[tuple[str, ...], tuple[float, float]] = {
    ("length_m",): (0, 5_000),
    ("heading_deg",): (0, 360),
    ("rf", "frequency_mhz"): (0, 300_000),
    ("rf", "pulse", "prf_hz"): (0, 10_000_000),
    ("rf", "pulse", "width_us"): (0, 1_000_000),
}
_TEXTS: dict[tuple[str, ...], int] = {
    ("rf", "band"): BOUNDS.text_chars,
    ("provider",): BOUNDS.text_chars,
    ("licence",): BOUNDS.text_chars,
    ("remarks",): _REMARKS_CHARS,
}


def sniff(content: bytes) -> str | None:
    """``"geojson"`` or ``"csv"`` if the beginning looks like detections in that form."""
    head = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
    if head.startswith(b"{"):
        return "geojson" if re.search(rb'"type"\s*:\s*"Feature(?:Collection)?"', head) else None
    columns = {name.strip(' "') for name in head.split(b"\n")[0].decode("utf-8", "replace").strip().split(",")}
    return "csv" if columns >= _REQUIRED_COLUMNS else None


def read_geojson(content: bytes, *, received_ms: int, source: str = "geojson") -> Intake:
    """Read a FeatureCollection, a Feature, or one Feature a line (also RFC 8142) into a draft for each Feature.

    Each record's content is its own slice of the source. Neighbours of a bad Feature are kept. Reasons: ``BAD_JSON``,
    ``TOO_LARGE``, ``NOT_AN_OBJECT``, ``NOT_A_FEATURE``, ``NOT_A_POINT``, ``POSITION_OUT_OF_RANGE``, ``BAD_TIME``,
    ``FUTURE_TIME``, ``SENSOR_UNKNOWN``, ``ELLIPSE_MISSING``, ``ELLIPSE_INVALID``, ``PROPERTY_INVALID``,
    ``BAD_MARKING``, ``BAD_ID``, ``DUPLICATE_ID``.
    """
    tally = Tally(source)
    try:
        features = features_of(content)
    except RefusedError as refused:
        tally.reject("file", refused.code, refused.detail)
        return Intake((), tally.finish())
    return intake_of(features, lambda content: _draft(content, received_ms), tally)


def read_csv(content: bytes, *, received_ms: int, source: str = "csv") -> Intake:
    """Read a table of detections (RFC 4180, UTF-8, comma) and write a Feature for each row.

    Columns in any order, the header required: ``observed, lat, lon, sensor``; further ``id``, those of the ellipse,
    ``confidence, length_m, heading_deg, provider, licence, remarks, exercise``. Other columns become texts under their
    own name. Empty cells are left out. Reasons: those of ``read_geojson``, and ``BAD_HEADER``, ``BAD_ROW``,
    ``BAD_NUMBER``, ``NOT_UTF8``.
    """
    tally = Tally(source)
    try:
        columns, rows = _table(content)
    except RefusedError as refused:
        tally.reject("file", refused.code, refused.detail)
        return Intake((), tally.finish())
    return intake_of(rows, lambda row: _draft(_feature_of(columns, row), received_ms), tally)


def write_geojson(items: Iterable[Item]) -> bytes:
    """One FeatureCollection of the contents of detections, byte for byte and in their order.

    Raises:
        MalformedError: an item is of another media type.
    """
    features: list[bytes] = []
    for item in items:
        if item.header.media_type != MEDIA_TYPE:
            raise MalformedError(f"{item.header.media_type} is no Feature.", field=item.header.id)
        features.append(item.content)
    return b'{"type":"FeatureCollection","features":[' + b",".join(features) + b"]}"


def intake_of(records: Iterable[tuple[str, T]], draft_of: Callable[[T], Draft], tally: Tally) -> Intake:
    """A draft for each record; one that is refused, or whose id stands twice, is counted and its neighbours stay."""
    drafts: list[Draft] = []
    seen: set[str] = set()
    for where, record in records:
        try:
            draft = draft_of(record)
            if draft.external_id and draft.external_id in seen:
                raise RefusedError("DUPLICATE_ID", f"{draft.external_id} stands twice")
        except RefusedError as refused:
            tally.reject(where, refused.code, refused.detail)
            continue
        seen.add(draft.external_id)
        drafts.append(draft)
        tally.accept()
    return Intake(tuple(drafts), tally.finish())


# --- forms of a file ---


def _check_size(content: bytes) -> None:
    if len(content) > BOUNDS.json_text_bytes:
        raise RefusedError("TOO_LARGE", f"{len(content)} bytes, at most {BOUNDS.json_text_bytes}")


def features_of(content: bytes) -> list[tuple[str, bytes]]:
    """Every Feature of a file as the bytes it stands in, with its place."""
    _check_size(content)
    lines = [(f"line {at}", line.strip(_BLANK)) for at, line in enumerate(content.split(b"\n"), 1)]
    lines = [(where, line) for where, line in lines if line]
    # Two lines are looked at so that a broken first one does not hide that each line is a record.
    if len(lines) > 1 and any(is_whole(line) for _, line in lines[:2]):
        return lines
    collection = _collection(content)
    if collection is None:
        return [("feature 0", content.strip(_BLANK))]
    return [(f"feature {at}", element) for at, element in enumerate(collection.elements)]


def _collection(content: bytes) -> Cut | None:
    found = cut(content, "features")
    if found is not None and read_object(found.around).get("type") != "FeatureCollection":
        raise RefusedError("NOT_A_FEATURE", "has features but is no FeatureCollection")
    return found


def _table(content: bytes) -> tuple[Row, Iterator[tuple[str, Row | None]]]:
    _check_size(content)
    try:
        lines = [line.removesuffix("\r") for line in content.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise RefusedError("NOT_UTF8", f"byte {error.start} is not UTF-8") from None
    columns = [name.strip() for name in _cells(lines[0]) or []]
    missing = _REQUIRED_COLUMNS - set(columns)
    if missing or "" in columns or len(set(columns)) != len(columns):
        raise RefusedError("BAD_HEADER", f"missing {sorted(missing)}, or a column without a name or twice")
    return columns, _rows(lines, len(columns))


def _rows(lines: Row, width: int) -> Iterator[tuple[str, Row | None]]:
    """Each record with its place; None where no reading of the line has the header's columns.

    A quoted cell may go over several lines, but a stray quote must not swallow the rows behind it.
    """
    at = 1
    while at < len(lines):
        end = _closing(lines, at)
        row = _cells("\n".join(lines[at:end]))
        if row is None or len(row) != width:
            row, end = None, at + 1
        if row is not None or lines[at].strip():
            yield f"line {at + 1}", row
        at = end


def _closing(lines: Row, at: int) -> int:
    """The line behind the record that begins at a line: where its quotes are even in number."""
    quotes = size = 0
    for end in range(at, len(lines)):
        quotes += lines[end].count('"')
        size += len(lines[end])
        if quotes % 2 == 0:
            return end + 1
        if size > BOUNDS.csv_line_bytes:
            break
    return at + 1


def _cells(record: str) -> Row | None:
    if len(record) > BOUNDS.csv_line_bytes:
        return None
    try:
        return next(csv.reader([record], strict=True), None)
    except csv.Error:
        return None


def _feature_of(columns: Row, row: Row | None) -> bytes:
    """Write the Feature of a row."""
    if row is None:
        raise RefusedError("BAD_ROW", f"is no row of {len(columns)} columns")
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True) if cell.strip()}
    place = [_number(name, cells.pop(name, "")) for name in ("lon", "lat")]
    identity = cells.pop("id", None)
    ellipse = {name: _number(name, cells.pop(name)) for name in _ELLIPSE_COLUMNS if name in cells}
    properties: Json = {"sensor": cells.pop("sensor", ""), "observed": cells.pop("observed", "")}
    if ellipse:
        properties["ellipse"] = ellipse
    for name, cell in cells.items():
        properties[name] = _cell(name, cell)
    return _FEATURE_ENCODER.encode(
        {"type": "Feature"}
        | ({"id": identity} if identity is not None else {})
        | {"geometry": {"type": "Point", "coordinates": place}, "properties": properties}
    )


def _cell(name: str, cell: str) -> Any:
    if name == "exercise" and cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    if name == "confidence" and _NUMBER.fullmatch(cell) is None:
        return cell
    return _number(name, cell) if name in _NUMBER_COLUMNS else cell


def _number(name: str, cell: str) -> Decimal:
    if _NUMBER.fullmatch(cell) is None:
        raise RefusedError("BAD_NUMBER", f"{name}: {cell[:40]!r} is no decimal number")
    return Decimal(cell)


# --- one Feature ---


def _draft(content: bytes, received_ms: int) -> Draft:
    feature = read_object(content)
    properties = feature.get("properties")
    if feature.get("type") != "Feature" or not isinstance(properties, dict):
        raise RefusedError("NOT_A_FEATURE", "is no Feature with properties")
    place = place_of(feature, content)
    observed_ms = observed_ms_of(properties, received_ms)
    _check_properties(properties)
    base, parts = marking_of(feature, properties)
    whole, portions = settle(base, parts)
    return Draft(
        kind=KIND,
        media_type=MEDIA_TYPE,
        content=content,
        observed_ms=observed_ms,
        until_ms=observed_ms,
        place=place,
        handling=whole,
        portions=portions,
        title=_title(properties),
        external_id=identity_of(feature),
    )


def place_of(feature: Json, content: bytes) -> Place:
    """The Point of a Feature, from the digits as written."""
    geometry = feature.get("geometry")
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        raise RefusedError("NOT_A_POINT", "the geometry is no Point")
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, list) or not 2 <= len(coordinates) <= 3 or not all(map(is_number, coordinates)):
        raise RefusedError("NOT_A_POINT", "the coordinates are not longitude and latitude")
    lon, lat = (Decimal(repr(number)) for number in coordinates[:2])
    if _is_finer(lon) or _is_finer(lat):
        # Near the middle between two steps the float could round to the other side of the digits as written.
        lon, lat = json.loads(content, parse_float=Decimal, parse_int=Decimal)["geometry"]["coordinates"][:2]
    if abs(lat) > 90 or abs(lon) > 180:
        raise RefusedError("POSITION_OUT_OF_RANGE", f"latitude {lat!s:.20}, longitude {lon!s:.20}")
    lat_e7, lon_e7 = to_e7(lat), to_e7(lon)
    return Place(lat_e7, lon_e7, lat_e7, lon_e7)


def _is_finer(degrees: Decimal) -> bool:
    exponent = degrees.as_tuple().exponent
    return isinstance(exponent, int) and exponent < -7


def to_e7(degrees: Decimal) -> int:
    """Degrees from -180 to 180 in units of 1e-7, rounded half to even from all the digits there are."""
    return int(degrees.quantize(_STEP, ROUND_HALF_EVEN).scaleb(7))


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def identity_of(feature: Json) -> str:
    """The source's own id, empty if it gave none."""
    identity = feature.get("id", "")
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise RefusedError("BAD_ID", "the id is neither text nor an integer")
    try:
        return check_text(str(identity), "id")
    except MalformedError as error:
        raise RefusedError("BAD_ID", error.reason) from None


def observed_ms_of(properties: Json, received_ms: int) -> int:
    """When it was observed, in ms; neither before 1970 nor yet to come."""
    observed = properties.get("observed")
    try:
        observed_ms = parse_utc(observed if isinstance(observed, str) else "")
    except MalformedError as error:
        raise RefusedError("BAD_TIME", error.reason) from None
    if observed_ms < 0:
        raise RefusedError("BAD_TIME", f"{observed} is before 1970")
    if observed_ms > received_ms + BOUNDS.future_ms:
        raise RefusedError("FUTURE_TIME", f"{observed} is yet to come")
    return observed_ms


def _check_properties(properties: Json) -> None:
    sensor = properties.get("sensor")
    if sensor not in SENSORS:
        raise RefusedError("SENSOR_UNKNOWN", f"{str(sensor)[:40]!r} is none of {', '.join(SENSORS)}")
    _check_ellipse(properties.get("ellipse"), required=sensor in _MEASURED)
    for path, (low, high) in _RANGES.items():
        value = _at(properties, path)
        if value is not None and not (is_number(value) and low <= value <= high):
            raise RefusedError("PROPERTY_INVALID", f"{'.'.join(path)} is no number from {low} to {high}")
    for path, limit_chars in _TEXTS.items():
        text = _at(properties, path)
        if text is not None and not (isinstance(text, str) and len(text) <= limit_chars):
            raise RefusedError("PROPERTY_INVALID", f"{'.'.join(path)} is no text of at most {limit_chars} characters")
    if not isinstance(properties.get("exercise", False), bool):
        raise RefusedError("PROPERTY_INVALID", "exercise is neither true nor false")
    confidence = properties.get("confidence", "")
    if not (isinstance(confidence, str) or is_number(confidence)):
        raise RefusedError("PROPERTY_INVALID", "confidence is neither a number nor a word")


def _at(properties: Json, path: tuple[str, ...]) -> Any:
    """The value at a path, None where nothing stands; what stands on the way must be an object."""
    value: Any = properties
    for depth, name in enumerate(path):
        if not isinstance(value, dict):
            raise RefusedError("PROPERTY_INVALID", f"{'.'.join(path[:depth])} is no object")
        value = value.get(name)
        if value is None:
            return None
    return value


def _check_ellipse(ellipse: Any, *, required: bool) -> None:
    if ellipse is None:
        if required:
            raise RefusedError("ELLIPSE_MISSING", "no ellipse was delivered with it")
        return
    if not isinstance(ellipse, dict):
        raise RefusedError("ELLIPSE_INVALID", "is no object")
    for name in _ELLIPSE_COLUMNS:
        if not is_number(ellipse.get(name)):
            raise RefusedError("ELLIPSE_INVALID", f"{name} is no number")
    major_m, minor_m, orientation_deg, confidence_pct = (ellipse[name] for name in _ELLIPSE_COLUMNS)
    # An axis of nothing would claim certainty, and matching would divide by it.
    if not 0 < minor_m <= major_m <= _EARTH_M:
        raise RefusedError("ELLIPSE_INVALID", f"axes of {major_m} m and {minor_m} m")
    if not 0 <= orientation_deg <= 360 or not 0 < confidence_pct < 100:
        raise RefusedError("ELLIPSE_INVALID", f"orientation {orientation_deg} deg, confidence {confidence_pct} %")


def _title(properties: Json) -> str:
    parts = [str(properties["sensor"]).upper()]
    band, length_m = _at(properties, ("rf", "band")), properties.get("length_m")
    parts += [f"{band} band"] if band else []
    parts += [f"{length_m:g} m"] if length_m is not None else []
    return short(" ".join(parts))


# --- marking ---


def marking_of(feature: Json, properties: Json) -> tuple[Handling, dict[str, Handling]]:
    """What the record itself says about its handling: of the whole, and of parts by selector."""
    licence = properties.get("licence")
    base = handling(licences=(licence,)) if licence else Handling()
    marking = properties.get("marking")
    if marking is None:
        return base, {}
    if not isinstance(marking, dict) or not marking.keys() <= _HANDLING_WORDS | {"portions"}:
        raise RefusedError("BAD_MARKING", "marking is no object of rel_to, noforn, tlp and portions")
    stated = marking.get("portions", [])
    if not isinstance(stated, list):
        raise RefusedError("BAD_MARKING", "portions is no list")
    parts: dict[str, Handling] = {}
    for portion in stated:
        selector = _selector(feature, portion)
        parts[selector] = joined([_stated(portion), parts.get(selector, Handling())])
    if parts:
        parts[_MARKING] = joined(parts.values())
    return joined([base, _stated(marking)]), parts


def _selector(feature: Json, portion: Any) -> str:
    """A portion's selector; one that names nothing is refused, since what it should protect stands elsewhere."""
    if not isinstance(portion, dict) or not portion.keys() <= _HANDLING_WORDS | {"selector"}:
        raise RefusedError("BAD_MARKING", "a portion is no object of selector, rel_to, noforn and tlp")
    if not portion.keys() & _HANDLING_WORDS:
        raise RefusedError("BAD_MARKING", "a portion demands nothing")
    selector = portion.get("selector")
    value: Any = feature
    for name in selector.split(".") if isinstance(selector, str) else ("",):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None or not isinstance(selector, str):
        raise RefusedError("BAD_MARKING", f"the selector {str(selector)[:60]!r} names nothing")
    return selector


def _stated(words: Json) -> Handling:
    """The handling that ``rel_to``, ``noforn`` and ``tlp`` state."""
    categories: list[Category] = []
    if "rel_to" in words:
        parties = words["rel_to"]
        if not isinstance(parties, list) or not all(isinstance(p, str) and PARTY.fullmatch(p) for p in parties):
            raise RefusedError("BAD_MARKING", "rel_to is no list of parties")
        categories.append(Category(REL_TO, "permissive", tuple(parties)))
    if words.get("noforn", True) is not True:
        raise RefusedError("BAD_MARKING", "noforn can only be true")
    if "noforn" in words:
        categories.append(Category(NOFORN, "restrictive"))
    colour = words.get("tlp")
    if colour is not None and not isinstance(colour, str):
        raise RefusedError("BAD_MARKING", "tlp is no text")
    try:
        tlp, unread = parse_tlp(colour) if colour is not None else ("", None)
        return handling(categories=(*categories, *([unread] if unread else [])), tlp=tlp)
    except MalformedError as error:
        raise RefusedError("BAD_MARKING", error.reason) from None
