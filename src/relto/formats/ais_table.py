"""What an intake of AIS returns, and how columns with gaps become tables of the two kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relto.formats.ais_message import Vessel
from relto.formats.positions import POSITIONS, SCHEMAS, VESSELS
from relto.formats.rejects import Intake

NONE = -1  # not available; no column it stands in has negative values


@dataclass(frozen=True, slots=True)
class AisIntake:
    """The result of one intake: tables of the kinds ``maritime.positions`` and ``maritime.vessels``, and the counts."""

    positions: pa.Table
    vessels: pa.Table
    summary: Intake


def position_table(
    numbers: Mapping[str, npt.NDArray[np.int64]],
    is_class_b: npt.NDArray[np.bool_],
    texts: Mapping[str, pa.StringArray] = MappingProxyType({}),
) -> pa.Table:
    """Build a table of positions from the columns that the source has; the others are null."""
    schema = SCHEMAS[POSITIONS]
    rows = len(is_class_b)
    columns: list[pa.Array[Any]] = []
    for field in schema:
        if field.name == "transceiver":
            columns.append(pa.array(["A", "B"]).take(pa.array(is_class_b.astype(np.int8), type=pa.int8())))
        elif field.name in numbers:
            values = numbers[field.name]
            mask = values == NONE if field.nullable else None
            columns.append(pa.array(values.astype(field.type.to_pandas_dtype()), mask=mask))
        elif field.name in texts:
            columns.append(texts[field.name])
        else:
            columns.append(pa.nulls(rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def vessel_table(observed_ms: Sequence[int], vessels: Sequence[Vessel]) -> pa.Table:
    """Build a table of vessels from rows."""
    schema = SCHEMAS[VESSELS]
    columns = {name: [getattr(vessel, name) for vessel in vessels] for name in schema.names if name != "observed_ms"}
    return pa.table({**columns, "observed_ms": observed_ms}, schema=schema)
