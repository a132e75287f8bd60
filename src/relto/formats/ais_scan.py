"""The quick way: whole columns of the position reports 1, 2, 3 and 18 at once, with numpy.

Every single sentence of 168 bits is looked at; of those, types that carry nothing we keep are counted here too.

It takes a line only when every rule of ``nmea`` and ``ais_message`` holds, and leaves every other line for them: a
rejection is always named there. What it takes equals what they would have made of it, message by message; a test
holds the two together. Field offsets are those of ITU-R M.1371-5, annex 8, tables 48 and 71.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relto.bounds import BOUNDS
from relto.formats.ais_message import LAT_LAST, LAT_NONE, LON_LAST, LON_NONE, MMSI_LAST, is_not_kept
from relto.formats.ais_table import NONE
from relto.formats.nmea import ARMOUR

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_PAYLOAD = 28  # characters of 168 bits
_TAIL = _PAYLOAD + 5  # ",0*hh"
_PADDING = 64
_OUTSIDE = 255
_COMMA, _STAR, _BACKSLASH, _COLON = b",*\\:"


def _table(characters: bytes, values: list[int]) -> Bytes:
    table = np.full(256, _OUTSIDE, dtype=np.uint8)
    table[list(characters)] = values
    return table


_SEXTETS = _table(ARMOUR, list(range(64)))
_HEX = _table(b"0123456789ABCDEFabcdef", [*range(16), *range(10, 16)])
_DIGITS = _table(b"0123456789", list(range(10)))
_CHANNELS = _table(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", [0] * 62)
_NOT_KEPT = np.array([is_not_kept(kind, 6 * _PAYLOAD) for kind in range(64)])
_TALKERS = _table(bytes(sorted(set(range(33, 127)) - {_COMMA, _STAR})), [0] * 92)


@dataclass(frozen=True, slots=True)
class Lines:
    """A text and where its lines lie in it; empty ones are left out.

    Args:
        buffer: the bytes, padded so that a look past the last line is harmless.
        starts, ends: offsets of each line, without its end.
        numbers: from 1, the empty ones counted.
    """

    buffer: Bytes
    starts: Ints
    ends: Ints
    numbers: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def text(self, index: np.intp | int) -> bytes:
        """The bytes of one line."""
        return self.buffer[self.starts[index] : self.ends[index]].tobytes()

    def begin_with(self, prefix: bytes) -> Mask:
        """Which lines begin so."""
        found = np.ones(len(self), dtype=np.bool_)
        for place, character in enumerate(prefix):
            found &= self.buffer[self.starts + place] == character
        return found


@dataclass(frozen=True, slots=True)
class Stamps:
    """For each line the time and the checksum that the line directly before gives it, ``NONE`` where it gives none."""

    time_ms: Ints
    checksum: Ints


@dataclass(frozen=True, slots=True)
class Scan:
    """What was taken: columns of the accepted positions, ``NONE`` for not available.

    Args:
        taken: lines that are dealt with.
        unavailable: how many of them are intact but hold no position.
        not_kept: how many of them are of each type that carries nothing we keep.
        line: index of the line of each position.
    """

    taken: Mask
    unavailable: int
    not_kept: dict[int, int]
    line: Ints
    time_ms: Ints
    mmsi: Ints
    lat_e7: Ints
    lon_e7: Ints
    sog_dkn: Ints
    cog_ddeg: Ints
    heading_deg: Ints
    nav_status: Ints
    is_class_b: Mask
    has_invalid_course: Mask
    has_invalid_heading: Mask


@dataclass(frozen=True, slots=True)
class _Frames:
    """Lines of the right form and checksum: line index, offset of the payload, and time."""

    line: Ints
    payload: Ints
    time_ms: Ints

    def where(self, mask: Mask) -> _Frames:
        return _Frames(self.line[mask], self.payload[mask], self.time_ms[mask])


def split(content: bytes, first_number: int = 1) -> Lines:
    """Find the lines of a text; they end in LF or CR LF."""
    buffer = np.frombuffer(content + bytes(_PADDING), dtype=np.uint8)
    breaks = np.flatnonzero(buffer[: len(content)] == 10)
    if not content.endswith(b"\n"):
        breaks = np.append(breaks, len(content))
    starts = np.concatenate([np.zeros(1, dtype=np.int64), breaks[:-1] + 1])
    ends = breaks - (buffer[breaks - 1] == 13)
    numbers = np.arange(first_number, first_number + len(starts))
    full = ends > starts
    return Lines(buffer, starts[full], ends[full], numbers[full])


def scan(lines: Lines, stamps: Stamps) -> Scan:
    """Take all position reports that are beyond doubt."""
    frames = _frames(lines, stamps)
    sextets = np.lib.stride_tricks.sliding_window_view(lines.buffer, _PAYLOAD)[frames.payload]
    values = _SEXTETS.take(sextets)
    intact = values.max(axis=1, initial=0) < 64
    words = _words(values[intact])
    frames = frames.where(intact)
    kind, mmsi = _bits(words, 0, 6), _bits(words, 8, 30)
    is_class_b = kind == 18
    lon = np.where(is_class_b, _signed(words, 57, 28), _signed(words, 61, 28))
    lat = np.where(is_class_b, _signed(words, 85, 27), _signed(words, 89, 27))
    unavailable = (lat == LAT_NONE) | (lon == LON_NONE)
    inside = (np.abs(lat) <= LAT_LAST) & (np.abs(lon) <= LON_LAST)
    has_sender = (mmsi > 0) & (mmsi <= MMSI_LAST)
    good = has_sender & (is_class_b | ((kind >= 1) & (kind <= 3))) & (unavailable | inside)
    ignored = has_sender & _NOT_KEPT[kind]
    taken = np.zeros(len(lines), dtype=np.bool_)
    taken[frames.line[good | ignored]] = True
    keep = good & ~unavailable
    words, is_class_b = words[:, keep], is_class_b[keep]
    sog, cog, heading = (_shifted(words, start, width, is_class_b) for start, width in ((50, 10), (116, 12), (128, 9)))
    return Scan(
        taken=taken,
        unavailable=int((good & unavailable).sum()),
        not_kept={int(number): int((kind[ignored] == number).sum()) for number in np.unique(kind[ignored])},
        line=frames.line[keep],
        time_ms=frames.time_ms[keep],
        mmsi=mmsi[keep],
        lat_e7=(lat[keep] * 50 + 1) // 3,
        lon_e7=(lon[keep] * 50 + 1) // 3,
        sog_dkn=np.where(sog == 1023, NONE, sog),
        cog_ddeg=np.where(cog >= 3600, NONE, cog),
        heading_deg=np.where(heading >= 360, NONE, heading),
        nav_status=np.where(is_class_b, NONE, _bits(words, 38, 4)),
        is_class_b=is_class_b,
        has_invalid_course=cog > 3600,
        has_invalid_heading=(heading >= 360) & (heading != 511),
    )


def _words(values: Bytes) -> Ints:
    """Pack 28 sextets a message into three words of 60, 60 and 48 bits."""
    columns = np.ascontiguousarray(values.T)
    words = np.zeros((3, values.shape[0]), dtype=np.int64)
    for place, column in enumerate(columns):
        word = words[place // 10]
        np.left_shift(word, 6, out=word)
        np.bitwise_or(word, column, out=word)
    words[2] <<= 12
    return words


def _bits(words: Ints, start: int, width: int) -> Ints:
    """The unsigned field that begins at bit ``start`` of every message."""
    first, last = start // 60, (start + width - 1) // 60
    tail = 60 * (last + 1) - start - width
    value = words[last] >> tail
    if first != last:
        value = value | (words[first] << (60 - tail))
    field: Ints = value & ((1 << width) - 1)
    return field


def _signed(words: Ints, start: int, width: int) -> Ints:
    sign = 1 << (width - 1)
    field: Ints = (_bits(words, start, width) ^ sign) - sign
    return field


def _shifted(words: Ints, start: int, width: int, is_class_b: Mask) -> Ints:
    """A field that lies four bits earlier in type 18 than in types 1 to 3."""
    return np.where(is_class_b, _bits(words, start - 4, width), _bits(words, start, width))


def _frames(lines: Lines, stamps: Stamps) -> _Frames:
    """Check form, checksum and tag block of all lines, and date those that hold."""
    buffer, ends = lines.buffer, lines.ends
    xors = np.bitwise_xor.accumulate(buffer)
    at, tag_ms, good = _tags(lines, xors)
    good &= ends - lines.starts <= BOUNDS.nmea_sentence_bytes
    payload, formed = _headers(buffer, at)
    tail = payload + _PAYLOAD
    good &= formed & (tail + 5 <= ends)
    line = np.flatnonzero(good)
    at, payload, tail, ends = at[line], payload[line], tail[line], ends[line]
    stated = _hex(buffer, tail + 3)
    holds = (stated == (xors[tail + 1] ^ xors[at])) & (buffer[tail] == _COMMA)
    holds &= (buffer[tail + 1] == ord("0")) & (buffer[tail + 2] == _STAR)
    trailing_ms, closed = _trailing(buffer, tail + 5, ends)
    time_ms = np.where(tag_ms[line] == NONE, trailing_ms, tag_ms[line])
    stamped = (time_ms == NONE) & (stamps.checksum[line] == stated)
    time_ms = np.where(stamped, stamps.time_ms[line], time_ms)
    return _Frames(line, payload, time_ms).where(holds & closed)


def _headers(buffer: Bytes, at: Ints) -> tuple[Ints, Mask]:
    """Match ``!ccVDM,1,1,[d],[c],`` or VDO; return where the payload begins, and where all of it matched."""
    formed = (buffer[at] == ord("!")) & (_TALKERS[buffer[at + 1]] == 0) & (_TALKERS[buffer[at + 2]] == 0)
    for place, character in enumerate(b"VD"):
        formed &= buffer[at + 3 + place] == character
    formed &= (buffer[at + 5] == ord("M")) | (buffer[at + 5] == ord("O"))
    for place, character in enumerate(b",1,1,"):
        formed &= buffer[at + 6 + place] == character
    place_of = at + 11
    for allowed in (_DIGITS, _CHANNELS):
        filled = buffer[place_of] != _COMMA
        formed &= ~filled | (allowed[buffer[place_of]] != _OUTSIDE)
        place_of = place_of + filled
        formed &= buffer[place_of] == _COMMA
        place_of = place_of + 1
    return place_of, formed


def _hex(buffer: Bytes, at: Ints) -> Ints:
    """The two hexadecimal digits at each place; over 255 if they are none."""
    high, low = _HEX[buffer[at]].astype(np.int64), _HEX[buffer[at + 1]].astype(np.int64)
    return np.where((high == _OUTSIDE) | (low == _OUTSIDE), 256, high * 16 + low)


def _decimal(buffer: Bytes, at: Ints, digits: int) -> Ints:
    """The number of so many digits at each place; ``NONE`` if they are none."""
    value = np.zeros(len(at), dtype=np.int64)
    whole = np.ones(len(at), dtype=np.bool_)
    for place in range(digits):
        digit = _DIGITS[buffer[at + place]]
        whole &= digit != _OUTSIDE
        value = value * 10 + digit
    return np.where(whole, value, NONE)


def _trailing(buffer: Bytes, at: Ints, ends: Ints) -> tuple[Ints, Mask]:
    """The ten digits behind the last comma after the checksum, and the lines that end there or carry those."""
    closed = ends == at
    time_ms = np.full(len(at), NONE, dtype=np.int64)
    more = np.flatnonzero(~closed)
    if len(more):
        at, mark = at[more], np.maximum(ends[more] - 11, 0)
        seconds = _decimal(buffer, mark + 1, 10)
        dated = (buffer[at] == _COMMA) & (mark >= at) & (buffer[mark] == _COMMA) & (seconds != NONE)
        time_ms[more] = np.where(dated, seconds * 1000, NONE)
        closed[more] = dated
    return time_ms, closed


def _tags(lines: Lines, xors: Bytes) -> tuple[Ints, Ints, Mask]:
    """Where each sentence begins, the time of its tag block, and which lines may be taken.

    A line may be taken without a tag block, or with one whose checksum holds and that has a time and no group.
    """
    buffer = lines.buffer
    tagged = np.flatnonzero(buffer[lines.starts] == _BACKSLASH)
    at = lines.starts.copy()
    time_ms = np.full(len(lines), NONE, dtype=np.int64)
    good = np.ones(len(lines), dtype=np.bool_)
    if len(tagged) == 0:
        return at, time_ms, good
    start = lines.starts[tagged]
    slashes = np.append(np.flatnonzero(buffer == _BACKSLASH), len(buffer))
    slash = slashes[np.searchsorted(slashes, start) + 1]
    closed = (slash < lines.ends[tagged]) & (slash >= start + 5)
    slash = np.where(closed, slash, start + 5)
    star = slash - 3
    holds = closed & (buffer[star] == _STAR) & (_hex(buffer, star + 1) == (xors[star - 1] ^ xors[start]))
    tag_ms = _tag_times(buffer, start, star)
    at[tagged] = slash + 1
    time_ms[tagged] = tag_ms
    good[tagged] = holds & (tag_ms != NONE)
    return at, time_ms, good


def _tag_times(buffer: Bytes, start: Ints, star: Ints) -> Ints:
    """The ``c:`` of each tag block, ten digits of seconds or thirteen of ms; ``NONE`` if in doubt or in a group."""
    colons = np.flatnonzero(buffer == _COLON)
    colons = colons[colons >= 2]
    begins = (buffer[colons - 2] == _COMMA) | (buffer[colons - 2] == _BACKSLASH)
    times, groups = (colons[begins & (buffer[colons - 1] == ord(name))] for name in "cg")
    first = np.searchsorted(times, start)
    single = (np.searchsorted(times, star) - first) == 1
    grouped = np.searchsorted(groups, star) > np.searchsorted(groups, start)
    at = np.append(times, 0)[first] + 1
    at = np.where(single, at, start)
    found = np.full(len(start), NONE, dtype=np.int64)
    for digits, unit_ms in ((10, 1000), (13, 1)):
        end = at + digits
        value = _decimal(buffer, np.minimum(at, len(buffer) - 14), digits)
        ends = (end == star) | ((end < star) & (buffer[np.minimum(end, len(buffer) - 1)] == _COMMA))
        found = np.where(ends & (value != NONE), value * unit_ms, found)
    return np.where(single & ~grouped, found, NONE)
