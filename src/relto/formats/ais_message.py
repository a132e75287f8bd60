"""The message layer of AIS (ITU-R M.1371-5): length, identity and content of one joined payload, decoded by pyais.

The length of the payload in bits is checked against the type first: a decoder that is given a cut payload finds
something in it. Values that mean "not available" become None; a course or heading that the standard does not allow is
left out with a remark, because the sentence was intact and the position in it is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyais import AISSentence
from pyais.exceptions import AISBaseException

from relto.formats.nmea import Ignored, Message, Refused

MMSI_LAST = 999_999_999
POSITION_TYPES = frozenset({1, 2, 3, 9, 18, 19, 27})
STATIC_TYPES = frozenset({5, 19, 24})
CLASS_B_TYPES = frozenset({18, 19})

# Bits from and to, by type; to the next whole armour character.
LENGTHS_BITS: dict[int, tuple[int, int]] = {
    1: (168, 168),
    2: (168, 168),
    3: (168, 168),
    4: (168, 168),
    5: (422, 426),
    6: (88, 1008),
    7: (72, 168),
    8: (56, 1008),
    9: (168, 168),
    10: (72, 72),
    11: (168, 168),
    12: (72, 1008),
    13: (72, 168),
    14: (40, 1008),
    15: (88, 168),
    16: (96, 168),
    17: (80, 816),
    18: (168, 168),
    19: (312, 312),
    20: (72, 168),
    21: (272, 364),
    22: (168, 168),
    23: (160, 168),
    24: (160, 168),
    25: (40, 168),
    26: (60, 1064),
    27: (96, 168),
}
# Of the types we keep, the lengths that exist between those two: well-known transponders send type 5 two bits short or
# pad it to a whole character, part A of type 24 with or without spare bits, and type 27 in a whole slot.
_EXACT_BITS = {5: (422, 424, 426), 24: (160, 168), 27: (96, 168)}
_PART_B_BITS = 168

LAT_LAST = 90 * 600_000
LON_LAST = 180 * 600_000
LAT_NONE = 91 * 600_000
LON_NONE = 181 * 600_000


@dataclass(frozen=True, slots=True)
class Position:
    """The columns of ``maritime.positions`` that a message fills, but time."""

    mmsi: int
    lat_e7: int
    lon_e7: int
    sog_dkn: int | None
    cog_ddeg: int | None
    heading_deg: int | None
    nav_status: int | None
    transceiver: str


@dataclass(frozen=True, slots=True)
class Vessel:
    """The columns of ``maritime.vessels``, but time."""

    mmsi: int
    imo: int | None = None
    name: str | None = None
    call_sign: str | None = None
    ship_type: int | None = None
    length_m: int | None = None
    width_m: int | None = None
    draught_dm: int | None = None
    destination: str | None = None
    eta: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a message tells; ``remarks`` are reservations by code."""

    position: Position | None
    vessel: Vessel | None
    remarks: tuple[str, ...]


def decode(message: Message) -> Report | Ignored | Refused:
    """Check one message and decode it if it is of a type we keep."""
    bits = 6 * len(message.payload) - message.fill
    if bits < 38:
        return Refused("SHORT_PAYLOAD", f"{bits} bits, a type and a sender need 38")
    kind, mmsi = _head(message.payload)
    wrong = _wrong_length(kind, bits) or _wrong_sender(mmsi)
    if wrong is not None:
        return wrong
    if kind not in POSITION_TYPES and kind not in STATIC_TYPES:
        return Ignored(f"TYPE_{kind}")
    sentence = AISSentence(b"!AIVDM,1,1,,A,%b,%d*00" % (message.payload, message.fill))
    try:
        decoded: Any = sentence.decode()
    except (AISBaseException, ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        return Refused("UNDECODABLE", f"type {kind}: {type(error).__name__}")
    if kind == 24 and int(decoded.partno) == 1 and bits < _PART_B_BITS:
        return Refused("SHORT_PAYLOAD", f"{bits} bits, part B of type 24 needs {_PART_B_BITS}")
    return _report(kind, decoded, sentence.bv)


def is_not_kept(kind: int, bits: int) -> bool:
    """Whether an intact message of this type and length carries nothing we keep."""
    least, most = LENGTHS_BITS.get(kind, (0, -1))
    return kind not in POSITION_TYPES | STATIC_TYPES and least <= bits <= most


def _head(payload: bytes) -> tuple[int, int]:
    """Type and sender: the first 38 bits, of which each armour character holds six (IEC 61162-1 table 7)."""
    value = 0
    for character in payload[:7]:
        value = value << 6 | (character - 56 if character > 88 else character - 48)
    return value >> 36, (value >> 4) & 0x3FFFFFFF


def _wrong_length(kind: int, bits: int) -> Refused | None:
    least, most = LENGTHS_BITS.get(kind, (0, -1))
    if most < 0:
        return Refused("UNKNOWN_TYPE", f"type {kind}")
    if bits < least:
        return Refused("SHORT_PAYLOAD", f"{bits} bits, type {kind} needs {least}")
    if bits > most:
        return Refused("LONG_PAYLOAD", f"{bits} bits, type {kind} has at most {most}")
    if bits not in _EXACT_BITS.get(kind, (bits,)):
        return Refused("ODD_PAYLOAD", f"{bits} bits, type {kind} has {_EXACT_BITS[kind]}")
    return None


def _wrong_sender(mmsi: int) -> Refused | None:
    if 0 < mmsi <= MMSI_LAST:
        return None
    return Refused("BAD_MMSI", f"{mmsi} is no nine-digit identity")


def _report(kind: int, decoded: Any, bits: Any) -> Report | Ignored | Refused:
    remarks: list[str] = []
    position = _position(kind, decoded, remarks) if kind in POSITION_TYPES else None
    vessel = _vessel(kind, decoded, bits) if kind in STATIC_TYPES else None
    if isinstance(position, Refused):
        return position
    if vessel is not None and vessel == Vessel(vessel.mmsi):
        vessel = None
    if isinstance(position, Position) or vessel is not None:
        return Report(position if isinstance(position, Position) else None, vessel, tuple(remarks))
    return position or Ignored("STATIC_EMPTY")


def _position(kind: int, decoded: Any, remarks: list[str]) -> Position | Ignored | Refused:
    scale = 600 if kind == 27 else 600_000
    lat, lon = round(decoded.lat * scale), round(decoded.lon * scale)
    lat, lon = lat * (600_000 // scale), lon * (600_000 // scale)
    if lat == LAT_NONE or lon == LON_NONE:
        return Ignored("POSITION_UNAVAILABLE")
    if abs(lat) > LAT_LAST or abs(lon) > LON_LAST:
        return Refused("POSITION_OUT_OF_RANGE", f"latitude {decoded.lat}, longitude {decoded.lon}")
    return Position(
        mmsi=int(decoded.mmsi),
        lat_e7=to_e7(lat),
        lon_e7=to_e7(lon),
        sog_dkn=_speed(kind, decoded.speed),
        cog_ddeg=_course(kind, decoded.course, remarks),
        heading_deg=_heading(getattr(decoded, "heading", 511), remarks),
        nav_status=int(decoded.status) if kind in (1, 2, 3, 27) else None,
        transceiver="B" if kind in CLASS_B_TYPES else "A",
    )


def to_e7(raw: int) -> int:
    """Turn 1/600000 degree into the nearest 1e-7 degree; the two never lie half a step apart."""
    return (raw * 50 + 1) // 3


def _speed(kind: int, speed: float) -> int | None:
    """Tenths of a knot. Aircraft (type 9) and long-range reports (27) send whole knots."""
    if kind in (9, 27):
        knots = round(speed)
        return None if knots == (63 if kind == 27 else 1023) else knots * 10
    tenths = round(speed * 10)
    return None if tenths == 1023 else tenths


def _course(kind: int, course: float, remarks: list[str]) -> int | None:
    tenths = round(course * 10)
    if tenths == 3600 or (kind == 27 and tenths == 5110):
        return None
    if tenths > 3600:
        remarks.append("COURSE_INVALID")
        return None
    return tenths


def _heading(heading: int, remarks: list[str]) -> int | None:
    if heading == 511:
        return None
    if heading >= 360:
        remarks.append("HEADING_INVALID")
        return None
    return heading


def _vessel(kind: int, decoded: Any, bits: Any) -> Vessel:
    mmsi = int(decoded.mmsi)
    if kind == 24 and int(decoded.partno) == 0:
        return Vessel(mmsi, name=_text(decoded.shipname))
    # pyais folds unknown ship types into known ones, so the number is taken from the bits
    ship_type = int(bits.get({5: 232, 19: 263, 24: 40}[kind], 8)) or None
    length_m, width_m = _dimensions(decoded)
    if kind == 24:
        call_sign = _text(decoded.callsign)
        return Vessel(mmsi, call_sign=call_sign, ship_type=ship_type, length_m=length_m, width_m=width_m)
    if kind == 19:
        name = _text(decoded.shipname)
        return Vessel(mmsi, name=name, ship_type=ship_type, length_m=length_m, width_m=width_m)
    return Vessel(
        mmsi=mmsi,
        imo=decoded.imo if 1_000_000 <= decoded.imo <= 9_999_999 else None,
        name=_text(decoded.shipname),
        call_sign=_text(decoded.callsign),
        ship_type=ship_type,
        length_m=length_m,
        width_m=width_m,
        draught_dm=round(decoded.draught * 10) or None,
        destination=_text(decoded.destination),
        eta=_eta(decoded.month, decoded.day, decoded.hour, decoded.minute),
    )


def _dimensions(decoded: Any) -> tuple[int | None, int | None]:
    """Length and width in metres; craft that name their mother ship (98...) have none."""
    if not hasattr(decoded, "to_bow"):
        return None, None
    return (decoded.to_bow + decoded.to_stern) or None, (decoded.to_port + decoded.to_starboard) or None


def _text(text: str | None) -> str | None:
    """Six-bit text up to its first ``@``, which ends it (M.1371-5 annex 8 section 3.3.7)."""
    return (text or "").split("@", 1)[0].strip() or None


def _eta(month: int, day: int, hour: int, minute: int) -> str | None:
    """``MM-DDThh:mmZ``, without the time of day where it is not available; the year is never sent."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    date = f"{month:02d}-{day:02d}"
    return f"{date}T{hour:02d}:{minute:02d}Z" if hour <= 23 and minute <= 59 else date
