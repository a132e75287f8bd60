"""Contacts: the newest known place of each vessel or detection, out of the records that a reader may see."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
import pyarrow as pa

from relto.columns import read_table
from relto.item import Header

Sensor = Literal["ais", "rf", "sar"]


class Contact(msgspec.Struct, frozen=True):
    """One contact. ``mmsi`` is None for detections and where the view does not tell identities.

    ``uncertainty_m`` is the larger of the sensor's own and the precision to which it was released.
    """

    item_id: str
    origin: str
    sensor: Sensor
    lat_e7: int
    lon_e7: int
    observed_ms: int
    mmsi: int | None = None
    name: str | None = None
    course_ddeg: int | None = None
    speed_dkn: int | None = None
    uncertainty_m: int = 0


def newest(contacts: Iterable[Contact]) -> tuple[Contact, ...]:
    """Of each vessel only the newest contact; detections all. Newest first."""
    vessels: dict[int, Contact] = {}
    others: list[Contact] = []
    for contact in contacts:
        if contact.mmsi is None:
            others.append(contact)
        elif contact.mmsi not in vessels or vessels[contact.mmsi].observed_ms < contact.observed_ms:
            vessels[contact.mmsi] = contact
    found = [*vessels.values(), *others]
    return tuple(sorted(found, key=lambda each: (-each.observed_ms, each.item_id, each.mmsi or 0)))


def contacts_of(header: Header, content: bytes) -> Iterator[Contact]:
    """The contacts in one record; a kind without places has none."""
    if header.kind == "maritime.positions":
        yield from _vessels(header, read_table(content))
    elif header.kind == "maritime.detection":
        yield from _detection(header, json.loads(content))


def _precision_m(header: Header) -> int:
    return header.release.duties.precision_m if header.release else 0


def _vessels(header: Header, table: pa.Table) -> Iterator[Contact]:
    """The newest row of each vessel; without identities, every row."""
    columns: dict[str, list[Any]] = {name: table[name].to_pylist() for name in table.column_names}
    rows = range(table.num_rows)
    mmsis = columns.get("mmsi", [None] * table.num_rows)
    last = {mmsi: row for row, mmsi in enumerate(mmsis) if mmsi is not None}  # batches are in order of time
    for row in last.values() if "mmsi" in columns else rows:
        yield Contact(
            item_id=header.id,
            origin=header.origin,
            sensor="ais",
            lat_e7=columns["lat_e7"][row],
            lon_e7=columns["lon_e7"][row],
            observed_ms=columns["observed_ms"][row],
            mmsi=mmsis[row],
            name=_cell(columns, "name", row),
            course_ddeg=_cell(columns, "cog_ddeg", row),
            speed_dkn=_cell(columns, "sog_dkn", row),
            uncertainty_m=_precision_m(header),
        )


def _cell(columns: dict[str, list[Any]], name: str, row: int) -> Any:
    return columns[name][row] if name in columns else None


def _detection(header: Header, feature: dict[str, Any]) -> Iterator[Contact]:
    """One contact; a peer's feature without a sound position, or with figures that are none, gives none."""
    try:
        lon, lat = (float(degrees) for degrees in feature["geometry"]["coordinates"][:2])
        properties = dict(feature["properties"])
        ellipse_m = int(properties.get("ellipse", {}).get("semi_major_m", 0))
        heading = None if properties.get("heading_deg") is None else float(properties["heading_deg"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        return
    yield Contact(
        item_id=header.id,
        origin=header.origin,
        sensor="rf" if properties.get("sensor") == "rf" else "sar",
        lat_e7=round(lat * 1e7),
        lon_e7=round(lon * 1e7),
        observed_ms=header.observed_ms,
        course_ddeg=None if heading is None else int(heading * 10),
        uncertainty_m=max(ellipse_m, _precision_m(header)),
    )
