"""The second look: renditions made wrong by hand are refused, whatever made them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from relto.agreements.terms import Region
from relto.columns import read_table, write_table
from relto.errors import InvariantError, MalformedError, TooLargeError
from relto.item import Place, View
from relto.kinds.spec import shipped_kinds
from relto.release.check import check
from relto.release.cut import Cut
from relto.release.grid import snap

pytestmark = pytest.mark.pure

KINDS = shipped_kinds()
LAT, LON = 123_456_789, 1_204_567_891
MISP_A, MISP_B = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
STIX_A = f"indicator--{MISP_A}"


def cut(kind: str, view: View = "full", precision_m: int = 0, **changes: Any) -> Cut:
    plain: dict[str, Any] = {"remove": frozenset(), "portions": frozenset(), "regions": ()}
    return Cut(kind=KINDS[kind], view=view, precision_m=precision_m, **plain | changes)


def feature(lat_e7: int, lon_e7: int, **properties: Any) -> dict[str, Any]:
    geometry = {"type": "Point", "coordinates": [lon_e7 / 1e7, lat_e7 / 1e7]}
    return {"type": "Feature", "geometry": geometry, "properties": {"sensor": "rf", **properties}}


def coarse(**properties: Any) -> dict[str, Any]:
    return feature(*snap(LAT, LON, 1000), **properties)


def checked(before: Any, after: Any, how: Cut) -> None:
    check(json.dumps(before).encode(), json.dumps(after, ensure_ascii=False).encode(), how)


BAD_RECORDS = {
    "remarks": coarse(remarks="at 12.3456789 120.4567891"),
    "cut off": coarse(remarks="at 12.3456"),
    "integers": coarse(remarks="123456789"),
    "degrees": coarse(remarks="12°20.741"),
    "a number": coarse(confidence=12.34567),
    "off the grid": feature(LAT + 10_000, LON),
    "exact": feature(LAT, LON),
    "too far": feature(*snap(LAT + 10_000_000, LON, 1000)),
    "unknown": coarse(unheard_of=1),
    "unknown and empty": coarse(unheard_of={}),
    "bbox": coarse() | {"bbox": [0, 0, 0, 0]},
    "another form": coarse() | {"geometry": {"type": "LineString", "coordinates": [[120.4567891, 12.3456789]]}},
    "more in it": coarse() | {"geometry": coarse()["geometry"] | {"note": "12.3456789"}},
    "on the date line": feature(LAT, 1_800_000_000),
}


@pytest.mark.parametrize("bad", BAD_RECORDS)
def test_a_coarse_record_that_tells_more_is_refused(bad: str) -> None:
    before, how = feature(LAT, LON), cut("maritime.detection", "detail", 1000)
    checked(before, coarse(confidence=0.5), how)
    with pytest.raises(InvariantError):
        checked(before, BAD_RECORDS[bad], how)


def test_a_removed_field_is_refused() -> None:
    how = cut("maritime.detection", remove=frozenset({"properties.rf"}))
    with pytest.raises(InvariantError):
        checked(feature(1, 1), feature(1, 1, rf={"band": "X"}), how)
    with pytest.raises(InvariantError):
        check(b"{}", b"[]", cut("maritime.detection"))


def columns(**changes: Any) -> bytes:
    plain = {"mmsi": [1, 2], "observed_ms": [0, 3_600_000], "lat_e7": [0, 9], "lon_e7": [0, 9]}
    return write_table(pa.table({name: each for name, each in (plain | changes).items() if each is not None}))


REGION = Region("R", (Place(0, 0, 5, 5),))


@pytest.mark.parametrize(
    ("after", "how"),
    [
        (columns(), cut("maritime.positions", "notice")),
        (columns(mmsi=None, observed_ms=[1, 2]), cut("maritime.positions", "notice")),
        (columns(name=["a", "b"]), cut("maritime.positions", "summary")),
        (columns(unheard_of=[1, 2]), cut("maritime.positions", "detail")),
        (columns(), cut("maritime.positions", remove=frozenset({"mmsi"}))),
        (columns(), cut("maritime.positions", precision_m=1000)),
        (columns(lat_e7=[7, 7], lon_e7=[1_800_000_000] * 2), cut("maritime.positions", precision_m=1000)),
        (columns(), cut("maritime.positions", regions=(REGION,))),
        (write_table(pa.table({"mmsi": [1, 2, 3]})), cut("maritime.positions", "summary")),
    ],
)
def test_a_batch_that_tells_more_is_refused(after: bytes, how: Cut) -> None:
    with pytest.raises(InvariantError):
        check(columns(), after, how)


def test_a_row_inside_the_region_passes() -> None:
    one = columns(mmsi=[1], observed_ms=[0], lat_e7=[5], lon_e7=[5])
    check(columns(), one, cut("maritime.positions", regions=(REGION,)))


@pytest.mark.parametrize("comment", ["like evil.example", "EVIL.Example", f"see {MISP_A}", 'says "evil.example"'])
def test_a_removed_misp_value_that_is_mentioned_is_refused(comment: str) -> None:
    gone = {"uuid": MISP_A, "type": "domain", "value": "evil.example"}
    stays = {"uuid": MISP_B, "type": "ip-dst", "value": "192.0.2.1"}
    before = {"Event": {"Attribute": [gone, stays | {"comment": comment}]}}
    how = cut("cyber.event", portions=frozenset({f"Event.Attribute[{MISP_A}]"}))
    checked(before, {"Event": {"Attribute": [stays]}}, how)
    with pytest.raises(InvariantError):
        checked(before, {"Event": {"Attribute": [stays | {"comment": comment}]}}, how)
    with pytest.raises(InvariantError):
        checked(before, before, cut("cyber.event", remove=frozenset({"Event.Attribute[].comment"})))


def test_a_removed_stix_object_that_is_mentioned_or_over_the_view_is_refused() -> None:
    gone = {"type": "indicator", "id": STIX_A, "name": "Quiet Harbour"}
    for text in (STIX_A, "seen by quiet harbour"):
        stays = {"type": "malware", "id": f"malware--{MISP_B}", "description": text}
        with pytest.raises(InvariantError):
            how = cut("cyber.bundle", portions=frozenset({f"objects[{STIX_A}]"}))
            checked({"objects": [gone, stays]}, {"objects": [stays]}, how)
    actor = {"objects": [{"type": "threat-actor", "id": f"threat-actor--{MISP_B}", "name": "X"}]}
    for how in (cut("cyber.bundle", "summary"), cut("cyber.bundle", remove=frozenset({"threat-actor.name"}))):
        with pytest.raises(InvariantError):
            checked(actor, actor, how)


def test_a_table_that_is_a_bomb_or_damaged_is_refused() -> None:
    good = columns()
    for at in (0, len(good) // 2, len(good) - 6):
        damaged = bytearray(good)
        damaged[at : at + 8] = b"\xff" * len(damaged[at : at + 8])
        with pytest.raises(MalformedError):
            read_table(bytes(damaged))
    for cut_off in (good[:-1], good[: len(good) // 2], b"", b"PAR1"):
        with pytest.raises(MalformedError):
            read_table(cut_off)
    with pytest.raises(TooLargeError):
        read_table(columns(), rows=1)
    with pytest.raises(TooLargeError):
        read_table(write_table(pa.table({"name": ["x" * 60_000] * 50_000})))
    assert read_table(write_table(pa.table({"name": ["a", None, "a"]})))["name"].to_pylist() == ["a", None, "a"]
