"""Positions back into sentences: type 1 for class A, type 18 for class B, each dated by a tag block.

ITU-R M.1371-5 annex 8 tables 48 and 71; NMEA 0183 version 4.10 for the tag block. Positions are rounded to 1/600000
degree, so writing what was read from sentences gives the same position again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relto.clock import SECOND_MS
from relto.formats.ais_scan import Ints
from relto.formats.nmea import ARMOUR, checksum

_ARMOUR = np.frombuffer(ARMOUR, dtype=np.uint8)
_SEXTETS = 28
_TURN_NONE = 128  # -128: no turn information
_END_OF_B = 1 << 26 | 0xE0006  # a carrier-sense unit, and the communication state that such units always send

_Fields = list[tuple[Ints, int]]


def write_nmea(positions: pa.Table) -> bytes:
    """Write one dated ``!AIVDM`` sentence a row, in the order of the rows.

    Speeds over 102.2 knots become 102.2, which by the standard means "or more".
    """
    is_class_b = np.array(positions["transceiver"].to_pylist(), dtype=np.str_) == "B"
    payloads = map(bytes, _payloads(positions, is_class_b))
    times = _column(positions, "observed_ms", 0).tolist()
    return b"".join(_line(time_ms, payload) for time_ms, payload in zip(times, payloads, strict=True))


def _line(time_ms: int, payload: bytes) -> bytes:
    time = b"%d" % (time_ms // SECOND_MS) if time_ms % SECOND_MS == 0 else b"%013d" % time_ms
    tag = b"c:" + time
    body = b"AIVDM,1,1,,A,%b,0" % payload
    return b"\\%b*%02X\\!%b*%02X\r\n" % (tag, checksum(tag), body, checksum(body))


def _payloads(positions: pa.Table, is_class_b: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The armoured characters of each row, 28 a message of 168 bits."""
    lat, lon = (_to_raw(_column(positions, name, 0)) for name in ("lat_e7", "lon_e7"))
    sog = np.where(positions["sog_dkn"].is_valid(), np.minimum(_column(positions, "sog_dkn", 0), 1022), 1023)
    cog, heading = _column(positions, "cog_ddeg", 3600), _column(positions, "heading_deg", 511)
    second = _column(positions, "observed_ms", 0) // SECOND_MS % 60
    nothing = np.zeros_like(lat)
    head: _Fields = [(np.where(is_class_b, 18, 1), 6), (nothing, 2), (_column(positions, "mmsi", 0), 30)]
    motion: _Fields = [(sog, 10), (nothing, 1), (lon, 28), (lat, 27), (cog, 12), (heading, 9), (second, 6)]
    only_a: _Fields = [(_column(positions, "nav_status", 15), 4), (nothing + _TURN_NONE, 8)]
    of_a = _pack([*head, *only_a, *motion, (nothing, 25)])
    of_b = _pack([*head, (nothing, 8), *motion, (nothing + _END_OF_B, 29)])
    return _ARMOUR[np.where(is_class_b[:, None], of_b, of_a)]


def _column(positions: pa.Table, name: str, absent: int) -> Ints:
    column = positions[name].fill_null(absent)  # type: ignore[arg-type]  # the stubs want a scalar of its own type
    return column.to_numpy().astype(np.int64)


def _to_raw(angle_e7: Ints) -> Ints:
    """1e-7 degree into the nearest 1/600000 degree."""
    raw: Ints = (angle_e7 * 3 + 25) // 50
    return raw


def _pack(fields: _Fields) -> npt.NDArray[np.uint8]:
    """Write fields of so many bits one behind the other, and cut them into sextets."""
    sextets = np.zeros((len(fields[0][0]), _SEXTETS), dtype=np.uint8)
    at = 0
    for value, width in fields:
        for bit in reversed(range(width)):
            sextets[:, at // 6] |= ((value >> bit & 1) << (5 - at % 6)).astype(np.uint8)
            at += 1
    return sextets
