"""Reducing JSON records: fields by view, positions to the grid, texts that tell a position held back whole."""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from relto.clock import format_utc, parse_utc
from relto.errors import MalformedError
from relto.kinds.spec import Field
from relto.release.cut import Cut, NothingLeft, Reduced
from relto.release.grid import snap

Path = tuple[str, ...]

# Anything a person could read a position out of: decimals, degrees and minutes, integers of 1e-7 degree, MGRS.
POSITION_LIKE = re.compile(
    r"\d{1,3}[.,]\d{2,}"
    r"|\d{1,3}\s*(?:°|º|deg|d)\s*\d"
    r"|\d{1,3}[\s:'’′-]\d{1,2}(?:[.,]\d+)?\s*['’′]?\s*[NSEW]\b"
    r"|\b[NSEW]\s?\d{1,3}"
    r"|\d{1,3}\s?[NSEW]\b"
    r"|\d{7,10}"
    r"|\b\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2}\d{2,10}\b",
    re.IGNORECASE,
)


def reduce_record(content: bytes, cut: Cut) -> Reduced:
    """Reduce one JSON object. Paths are those of the kind; ``[]`` stands for the elements of a list.

    Raises:
        NothingLeft: no field of it is in the view.
    """
    record = json.loads(content, parse_float=Decimal)
    knife = _Knife(cut)
    kept = knife.keep(record, (), ())
    if not kept:
        raise NothingLeft
    return Reduced(write_json(kept), removed=knife.removed)


def write_json(value: Any) -> bytes:
    """Compact JSON; decimals as their shortest plain digits."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_number).encode()


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{type(value).__name__} in a record")


_GONE = object()


class _Knife:
    """Walks a record once; remembers whether it took anything out."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self.removed = False
        self._fields = {tuple(_steps(field.path)): field for field in cut.kind.fields}

    def keep(self, value: Any, path: Path, exact: Path) -> Any:
        """The part of a value that stays; ``path`` is its place in the kind, ``exact`` its place in this record."""
        if self._taken_out(path, exact):
            return self._gone()
        field = self._field(path)
        if field is not None and field.role == "position" and len(path) == len(_steps(field.path)):
            return self._position(value, field)
        if isinstance(value, dict | list) and not value:
            return self._leaf(value, field)  # its name tells something, too
        if isinstance(value, dict):
            return self._children({k: self.keep(v, (*path, k), (*exact, k)) for k, v in value.items()}, value)
        if isinstance(value, list):
            kept = [self.keep(each, (*path, "[]"), (*exact, _key(each, at))) for at, each in enumerate(value)]
            return self._children([each for each in kept if each is not _GONE], value)
        return self._leaf(value, field)

    def _taken_out(self, path: Path, exact: Path) -> bool:
        named = ".".join(path).replace(".[]", "[]")
        precise = ".".join(exact).replace(".[", "[")
        return named in self.cut.remove or precise in self.cut.remove or precise in self.cut.portions

    def _children(self, kept: Any, before: Any) -> Any:
        if isinstance(kept, dict):
            kept = {k: v for k, v in kept.items() if v is not _GONE}
        return kept if kept or not before else _GONE

    def _field(self, path: Path) -> Field | None:
        """The field that names this path or what it stands in."""
        return next((self._fields[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._fields), None)

    def _leaf(self, value: Any, field: Field | None) -> Any:
        if not self.cut.keeps(field):
            return self._gone()
        if not isinstance(value, str):
            return value
        if field is not None and field.role == "time":
            return self._time(value)
        if self.cut.precision_m and tells_position(value, field):
            return self._gone()
        return value

    def _time(self, text: str) -> Any:
        try:
            instant_ms = parse_utc(text)
        except MalformedError:
            return self._gone()
        coarse_ms = self.cut.coarse_ms(instant_ms)
        return text if coarse_ms == instant_ms else format_utc(coarse_ms)

    def _position(self, value: Any, field: Field) -> Any:
        if not self.cut.keeps(field):
            return self._gone()
        if not self.cut.precision_m:
            return value
        if not isinstance(value, dict) or value.get("type") != "Point":
            return self._gone()
        lon, lat = value["coordinates"][:2]
        lat_e7, lon_e7 = snap(_e7(lat), _e7(lon), self.cut.precision_m)
        return {"type": "Point", "coordinates": [lon_e7 / 1e7, lat_e7 / 1e7]}

    def _gone(self) -> Any:
        self.removed = True
        return _GONE


def _e7(degrees: Any) -> int:
    """1e-7 degree, rounded as the header's place is: half to even."""
    return int(Decimal(degrees).scaleb(7).to_integral_value(ROUND_HALF_EVEN))


def tells_position(text: str, field: Field | None) -> bool:
    """Whether a text could tell where: for free text any two groups of digits are enough."""
    if field is not None and field.role == "text" and len(re.findall(r"\d+", text)) >= 2:
        return True
    return POSITION_LIKE.search(text) is not None


def _steps(path: str) -> list[str]:
    return path.replace("[]", ".[]").split(".")


def _key(element: Any, at: int) -> str:
    """How a list's element is named in selectors: by its uuid or id, else by its number."""
    if isinstance(element, dict):
        for name in ("uuid", "id"):
            if isinstance(element.get(name), str):
                return f"[{element[name]}]"
    return f"[{at}]"
