"""Reducing position batches: columns by view, rows by region, positions to the grid. Columnar throughout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relto.columns import read_table, write_table
from relto.item import Place
from relto.kinds.spec import Kind
from relto.release.cut import Cut, NothingLeft, Reduced
from relto.release.grid import snap_columns

Mask = npt.NDArray[np.bool_]


def reduce_table(content: bytes, cut: Cut) -> Reduced:
    """Reduce one Parquet batch. Rows of a reduced view are sorted by what is left, so that order tells nothing.

    Raises:
        NothingLeft: no row lies in the agreed regions, or no column is in the view.
    """
    before = read_table(content)
    table = _clip(before, cut)
    clipped = table.num_rows < before.num_rows
    names = [name for name in table.column_names if _keeps(name, cut)]
    if not table.num_rows or not names:
        raise NothingLeft
    removed = len(names) < table.num_columns
    table = _coarsen(table.select(names), cut)
    if cut.view != "full":
        table = table.sort_by([(name, "ascending") for name in table.column_names])
    if cut.view == "notice":
        table = table.group_by(table.column_names, use_threads=False).aggregate([])
    return Reduced(write_table(table), removed=removed, clipped=clipped)


def box_of(content: bytes, kind: Kind) -> Place | None:
    """The box around the rows of a batch, or None if the kind has no positions."""
    lats, lons = kind.paths("lat_e7"), kind.paths("lon_e7")
    if not lats or not lons:
        return None
    table = read_table(content)
    if lats[0] not in table.column_names or lons[0] not in table.column_names:
        return None
    south, north = _ends(table, lats[0])
    west, east = _ends(table, lons[0])
    return Place(south, west, north, east)


def _ends(table: pa.Table, name: str) -> tuple[int, int]:
    values = _integers(table, name)
    return int(values.min()), int(values.max())


def _keeps(name: str, cut: Cut) -> bool:
    field = next((each for each in cut.kind.fields if each.path == name), None)
    gone = cut.remove | cut.portions
    place = (*cut.kind.paths("lat_e7"), *cut.kind.paths("lon_e7"))
    if name in gone or (name in place and not gone.isdisjoint(place)):  # half a position cannot be coarsened
        return False
    if field is not None and field.role == "text" and cut.precision_m:
        return False
    return cut.keeps(field)


def _clip(table: pa.Table, cut: Cut) -> pa.Table:
    lats, lons = cut.kind.paths("lat_e7"), cut.kind.paths("lon_e7")
    if not cut.regions or not lats or not lons:
        return table
    lat, lon = _integers(table, lats[0]), _integers(table, lons[0])
    inside = np.zeros(table.num_rows, dtype=bool)
    for region in cut.regions:
        for box in region.boxes:
            inside |= _in_box(lat, lon, box)
    return table.filter(pa.array(inside))


def _in_box(lat: npt.NDArray[np.int64], lon: npt.NDArray[np.int64], box: Place) -> Mask:
    rows = (lat >= box.south_e7) & (lat <= box.north_e7)
    if box.west_e7 <= box.east_e7:
        return rows & (lon >= box.west_e7) & (lon <= box.east_e7)
    return rows & ((lon >= box.west_e7) | (lon <= box.east_e7))


def _coarsen(table: pa.Table, cut: Cut) -> pa.Table:
    for name in cut.kind.paths("time_ms"):
        if name in table.column_names and cut.time_step_ms > 1:
            table = _replace(table, name, _integers(table, name) // cut.time_step_ms * cut.time_step_ms)
    lats, lons = cut.kind.paths("lat_e7"), cut.kind.paths("lon_e7")
    if not cut.precision_m or not {*lats, *lons} & {*table.column_names}:
        return table
    lat, lon = snap_columns(_integers(table, lats[0]), _integers(table, lons[0]), cut.precision_m)
    return _replace(_replace(table, lats[0], lat), lons[0], lon)


def _integers(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return table[name].combine_chunks().to_numpy(zero_copy_only=False).astype(np.int64)


def _replace(table: pa.Table, name: str, values: npt.NDArray[np.int64]) -> pa.Table:
    column = table.schema.get_field_index(name)
    field = table.schema.field(column)
    return table.set_column(column, field, pa.array(values).cast(field.type))
