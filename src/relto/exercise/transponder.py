"""What an AIS transponder says, as NMEA 0183 sentences with tag blocks.

Messages 1, 3, 5, 18 and 24 of ITU-R M.1371-5, six-bit armour and ``!AIVDM`` of IEC 61162-1, tag blocks ``g``, ``s``
and ``c`` of NMEA 0183 4.10. The IMO number is always 0 (not available): no number is invented that a ship may bear.
"""

from __future__ import annotations

from datetime import UTC, datetime

from relto.clock import SECOND_MS
from relto.exercise.voyage import Motion, Vessel

PART_CHARS = 60
"""Armoured characters in one sentence, so that a sentence stays within the 82 characters of the standard."""

_UNDER_WAY, _AT_ANCHOR, _ENGAGED_IN_FISHING = 0, 1, 7
_TURN_UNKNOWN = -128
_SOTDMA_STATE = 3 << 14 | 2  # slot time-out 3, two stations received
_CARRIER_SENSE_STATE = 0b1110_0000_0000_0000_0110

Field = tuple[int, int]
"""A value and its width in bits; negative values are written in two's complement."""


def position_report(vessel: Vessel, motion: Motion, at_ms: int, *, scheduled: bool) -> list[Field]:
    """Message 1, or 3 if it was not ``scheduled``, or 18 of a class B transponder."""
    moving = motion.speed_kn >= 0.2
    place = [
        (min(round(motion.speed_kn * 10), 1022), 10),
        (1, 1),
        (to_ais_degrees(motion.lon_deg), 28),
        (to_ais_degrees(motion.lat_deg), 27),
        (round(motion.course_deg * 10) % 3600, 12),
        (round(motion.course_deg) % 360 if moving and vessel.transponder == "A" else 511, 9),
        (at_ms // SECOND_MS % 60, 6),
    ]
    if vessel.transponder == "B":
        head = [(18, 6), (0, 2), (vessel.mmsi, 30), (0, 8)]
        # carrier-sense unit without display, with DSC, the whole band and message 22
        return [
            *head,
            *place,
            (0, 2),
            (1, 1),
            (0, 1),
            (1, 1),
            (1, 1),
            (1, 1),
            (0, 1),
            (0, 1),
            (_CARRIER_SENSE_STATE, 20),
        ]
    status = _ENGAGED_IN_FISHING if vessel.kind == "fishing" else _UNDER_WAY if moving else _AT_ANCHOR
    head = [(1 if scheduled else 3, 6), (0, 2), (vessel.mmsi, 30), (status, 4), (_TURN_UNKNOWN, 8)]
    return [*head, *place, (0, 2), (0, 3), (0, 1), (_SOTDMA_STATE, 19)]


def static_reports(vessel: Vessel, at_ms: int) -> list[list[Field]]:
    """Message 5 of a class A transponder; messages 24 A and B of class B."""
    bow_m, port_m = vessel.length_m * 4 // 5, max(vessel.length_m // 14, 2)
    hull = [(bow_m, 9), (vessel.length_m - bow_m, 9), (port_m, 6), (port_m, 6)]
    if vessel.transponder == "B":
        part_b = [*_head(24, vessel), (1, 2), (vessel.ship_type, 8), *_text("EXR", 3), (1, 4), (vessel.mmsi % 1000, 20)]
        return [
            [*_head(24, vessel), (0, 2), *_text(vessel.name, 20)],
            [*part_b, *_text(vessel.callsign, 7), *hull, (1, 4), (0, 2)],
        ]
    arrives = datetime.fromtimestamp(at_ms // SECOND_MS + 2 * 86_400, UTC)
    eta = [(arrives.month, 4), (arrives.day, 5), (arrives.hour, 5), (0, 6)]
    names = [*_text(vessel.callsign, 7), *_text(vessel.name, 20), (vessel.ship_type, 8)]
    voyage = [*hull, (1, 4), *eta, (vessel.draught_dm, 8), *_text(vessel.destination, 20), (0, 1), (0, 1)]
    return [[*_head(5, vessel), (2, 2), (0, 30), *names, *voyage]]


def to_ais_degrees(angle_deg: float) -> int:
    """Degrees in AIS units, 1/600,000 degree (a ten-thousandth of a minute)."""
    return round(angle_deg * 600_000)


def sentences(fields: list[Field], *, source: str, at_ms: int, channel: str, sequence: int, group: int) -> list[bytes]:
    """The lines, ending in CR LF, in which a receiver passes a message on.

    Args:
        source: the receiver's name, at most 15 characters.
        at_ms: when it heard the message; the tag block has whole seconds.
        sequence: the sequential message identifier, 0 to 9; used if there are several parts.
        group: the number of the tag-block group; used if there are several parts.
    """
    payload, fill_bits = _armour(fields)
    parts = [payload[at : at + PART_CHARS] for at in range(0, len(payload), PART_CHARS)]
    heard = f"s:{source},c:{at_ms // SECOND_MS}"
    if len(parts) == 1:
        return [_line(heard, f"AIVDM,1,1,,{channel},{payload},{fill_bits}")]
    lines = []
    for number, part in enumerate(parts, 1):
        tag = f"g:{number}-{len(parts)}-{group}" + (f",{heard}" if number == 1 else "")
        fill = fill_bits if number == len(parts) else 0
        lines.append(_line(tag, f"AIVDM,{len(parts)},{number},{sequence},{channel},{part},{fill}"))
    return lines


def _head(message: int, vessel: Vessel) -> list[Field]:
    return [(message, 6), (0, 2), (vessel.mmsi, 30)]


def _text(text: str, chars: int) -> list[Field]:
    """Six-bit ASCII (ITU-R M.1371 table 47), padded with ``@``."""
    return [(ord(char) - 64 if char >= "@" else ord(char), 6) for char in text[:chars].ljust(chars, "@")]


def _armour(fields: list[Field]) -> tuple[str, int]:
    """Pack the fields and write six bits a character; the fill bits complete the last one."""
    packed = width = 0
    for value, bits in fields:
        packed = packed << bits | value & (1 << bits) - 1
        width += bits
    fill_bits = -width % 6
    packed <<= fill_bits
    sixes = ((packed >> shift) & 63 for shift in range(width + fill_bits - 6, -1, -6))
    return "".join(chr(six + 48 if six < 40 else six + 56) for six in sixes), fill_bits


def _line(tag: str, sentence: str) -> bytes:
    return f"\\{tag}*{_checksum(tag):02X}\\!{sentence}*{_checksum(sentence):02X}\r\n".encode("ascii")


def _checksum(text: str) -> int:
    found = 0
    for byte in text.encode("ascii"):
        found ^= byte
    return found
