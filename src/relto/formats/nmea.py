"""The sentence layer under AIS: one line of NMEA 0183 / IEC 61162-1, its tag block and its checksum, and fragments.

A line has one of four outcomes, each a type of its own: a ``Sentence`` that carries AIS, a ``Stamp`` that dates the
next line, ``Ignored`` and ``Refused``. Nothing in a line is looked at before its checksum holds.

Time is taken, in this order, from the ``c:`` of a line's own tag block (NMEA 4.10, seconds or milliseconds), from a
ten-digit last field behind the checksum, as shore networks of the United States write it (no checksum protects that
one), and from a Gatehouse ``$PGHP`` sentence directly before the message, which names the XOR of the checksums of all
its sentences.

Fragments are joined in order only, within a bounded number of lines and milliseconds: a fragment that was lost must not
let the halves of two vessels become one message.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import xor

from relto.bounds import BOUNDS
from relto.clock import from_datetime

ARMOUR = b"0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVW`abcdefghijklmnopqrstuvw"
_HEX = re.compile(rb"[0-9A-Fa-f]{2}")
_FORMATTER = re.compile(rb"[!-)+\--~]{2}VD[MO],")
_ENCAPSULATED = re.compile(
    rb"([!-)+\--~]{2}VD[MO]),([1-9]),([1-9]),([0-9]?),([0-9A-Za-z]?),([0-9:;<=>?@A-W`a-w]*),([0-5])"
)
_GROUP = re.compile(rb"\d{1,3}-\d{1,3}-(\d{1,12})")
_GATEHOUSE = re.compile(
    rb"PGHP,1,(19[7-9]\d|[2-9]\d{3}),(\d\d?),(\d\d?),(\d\d?),(\d\d?),(\d\d?),(\d{1,3})"
    rb",[^,]*,[^,]*,[^,]*,[^,]*,([0-9A-Fa-f]{1,2})"
)
_TRAILING_TIME = re.compile(rb",(?:[^,]*,)*(\d{10})")
_SECONDS_DIGITS = 11  # up to here a count is of seconds, from 12 to 14 digits of milliseconds


@dataclass(frozen=True, slots=True)
class Sentence:
    """One intact AIS sentence, of a message of ``total`` sentences.

    Args:
        line: its line in the source, from 1.
        talker: talker and formatter, such as ``AIVDM``.
        payload: armoured characters, six bits each; ``fill`` of the last bits carry nothing.
        checksum: the XOR of its bytes.
        group: the group of its tag block, empty if there is none.
        time_ms: when it was received, if the line itself says so.
        before: the stamp on the line directly before, if there is one.
    """

    line: int
    talker: bytes
    total: int
    number: int
    sequence: bytes
    channel: bytes
    payload: bytes
    fill: int
    checksum: int
    group: bytes
    time_ms: int | None
    before: Stamp | None

    @property
    def key(self) -> tuple[bytes, int, bytes, bytes, bytes]:
        """What all fragments of one message have in common."""
        return self.talker, self.total, self.sequence, self.channel, self.group


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time of the message that follows directly, if the checksums of its sentences come to this one by XOR."""

    time_ms: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """An intact line that carries nothing we keep."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that breaks a rule."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Message:
    """A whole AIS message: the payloads of its sentences joined. ``line`` is that of the first."""

    line: int
    payload: bytes
    fill: int
    time_ms: int | None


Line = Sentence | Stamp | Ignored | Refused


@dataclass(frozen=True, slots=True)
class _Tag:
    time_ms: int | None = None
    group: bytes = b""


_NO_TAG = _Tag()


def checksum(body: bytes) -> int:
    """XOR of all bytes, as IEC 61162-1 section 7.2.2.7 has it; folded by halves, which is quicker than byte by byte."""
    value = int.from_bytes(body, "big")
    shift = 4 << len(body).bit_length()
    while shift >= 8:
        value ^= value >> shift
        shift >>= 1
    return value & 0xFF


def parse_line(text: bytes, line: int, before: Stamp | None = None) -> Line:
    """Read one line without its end.

    Args:
        text: the line.
        line: its number, from 1.
        before: the stamp on the line directly before, if that was one.
    """
    if len(text) > BOUNDS.nmea_sentence_bytes:
        return Refused("LINE_TOO_LONG", f"{len(text)} bytes, at most {BOUNDS.nmea_sentence_bytes}")
    text = text.strip()
    if text[:1] in (b"#", b""):
        return Ignored("COMMENT")
    tag: _Tag | Refused = _NO_TAG
    if text[:1] == b"\\":
        end = text.find(b"\\", 1)
        tag = _tag(text[1:end]) if end > 0 else Refused("TAG_MALFORMED", "the tag block has no end")
        text = text[end + 1 :]
    if isinstance(tag, Refused):
        return tag
    if not text:
        return Ignored("TAG_ALONE")
    return _sentence(text, line, tag, before)


def _sentence(text: bytes, line: int, tag: _Tag, before: Stamp | None) -> Line:
    if text[:1] not in (b"!", b"$"):
        return Refused("NOT_A_SENTENCE", f"begins with {text[:12]!a}")
    star = text.find(b"*")
    if star < 0:
        return Refused("CHECKSUM_MISSING", "no * in the sentence")
    body, rest = text[1:star], text[star + 3 :]
    computed = checksum(body)
    if not _states(text[star + 1 : star + 3], computed) or rest[:1] not in (b"", b","):
        return Refused("CHECKSUM", f"{text[star : star + 4]!a}, computed {computed:02X}")
    if text[:1] == b"$":
        return _stamp(body) if body.startswith(b"PGHP,") else Ignored("OTHER_SENTENCE")
    fields = _ENCAPSULATED.fullmatch(body)
    if fields is None or fields[3] > fields[2] or (fields[3] < fields[2] and fields[7] != b"0"):
        return _misfit(body)
    trailing = _TRAILING_TIME.fullmatch(rest) if tag.time_ms is None and rest else None
    return Sentence(
        line=line,
        talker=fields[1],
        total=int(fields[2]),
        number=int(fields[3]),
        sequence=fields[4],
        channel=fields[5],
        payload=fields[6],
        fill=int(fields[7]),
        checksum=computed,
        group=tag.group,
        time_ms=tag.time_ms if trailing is None else int(trailing[1]) * 1000,
        before=before,
    )


def _states(digits: bytes, computed: int) -> bool:
    return _HEX.fullmatch(digits) is not None and int(digits, 16) == computed


def _misfit(body: bytes) -> Ignored | Refused:
    """Name what is wrong with a sentence that is not an AIS sentence by its form (IEC 61162-1 section 8.3)."""
    if not _FORMATTER.match(body):
        return Ignored("OTHER_SENTENCE")
    fields = body.split(b",")
    if len(fields) != 7:
        return Refused("BAD_FORM", f"{len(fields)} fields, not 7")
    wrong = fields[5].translate(None, ARMOUR)
    if wrong:
        return Refused("BAD_ARMOUR", f"payload holds {wrong[:4]!a}")
    return Refused("BAD_FORM", f"fields {b','.join(field[:4] for field in (*fields[1:5], fields[6]))!a}")


def _tag(block: bytes) -> _Tag | Refused:
    """Read a tag block without its backslashes; fields that we do not know are passed over."""
    body = block[:-3]
    if block[-3:-2] != b"*" or not _states(block[-2:], checksum(body)):
        return Refused("TAG_CHECKSUM", f"{block[-3:]!a}, computed {checksum(body):02X}")
    time_ms: int | None = None
    group = b""
    for field in body.split(b","):
        name, _, value = field.partition(b":")
        if name == b"c":
            if time_ms is not None or not value.isdigit() or len(value) > 14:
                return Refused("TAG_MALFORMED", f"time {value[:20]!a}")
            time_ms = int(value) * (1000 if len(value) <= _SECONDS_DIGITS else 1)
        elif name == b"g":
            match = _GROUP.fullmatch(value)
            if match is None or group:
                return Refused("TAG_MALFORMED", f"group {value[:20]!a}")
            group = match.group(1)
    return _Tag(time_ms, group)


def _stamp(body: bytes) -> Stamp | Refused:
    """Read a Gatehouse time sentence: ``PGHP,1,y,m,d,h,m,s,ms,country,region,pss,online,checksum of the next``."""
    match = _GATEHOUSE.fullmatch(body)
    if match is None:
        return Refused("BAD_TIME_SENTENCE", "not the fields of a time sentence")
    year, month, day, hour, minute, second, millisecond = (int(field) for field in match.groups()[:7])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        return Refused("BAD_TIME_SENTENCE", str(error))
    return Stamp(from_datetime(moment) + millisecond, int(match.group(8), 16))


class Fragments:
    """Joins the sentences of multi-part messages, interleaved as they may be; what it gave up is in ``lost``."""

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[bytes, int, bytes, bytes, bytes], list[Sentence]] = OrderedDict()
        self.lost: list[tuple[Sentence, str]] = []

    def add(self, sentence: Sentence) -> Message | None:
        """Take one sentence; return the message that it completes."""
        if sentence.total == 1:
            return _join([sentence])
        parts = self._pending.pop(sentence.key, [])
        if parts and not _follows(parts[-1], sentence):
            self._lose(parts)
            parts = []
        if sentence.number != len(parts) + 1:
            self.lost.append((sentence, f"sentence {sentence.number} of {sentence.total} came without the ones before"))
            return None
        parts.append(sentence)
        if len(parts) == sentence.total:
            return _join(parts)
        self._pending[sentence.key] = parts
        if len(self._pending) > BOUNDS.nmea_pending_groups:
            self._lose(self._pending.popitem(last=False)[1])
        return None

    def finish(self) -> None:
        """Give up all that is still incomplete."""
        for parts in self._pending.values():
            self._lose(parts)
        self._pending.clear()

    def _lose(self, parts: list[Sentence]) -> None:
        self.lost.append((parts[0], f"only {len(parts)} of {parts[0].total} sentences came"))


def _follows(last: Sentence, sentence: Sentence) -> bool:
    if sentence.number != last.number + 1 or sentence.line - last.line > BOUNDS.nmea_fragment_lines:
        return False
    if last.time_ms is None or sentence.time_ms is None:
        return True
    return abs(sentence.time_ms - last.time_ms) <= BOUNDS.nmea_fragment_gap_ms


def _join(parts: list[Sentence]) -> Message:
    times = [part.time_ms for part in parts if part.time_ms is not None]
    before = parts[0].before
    if not times and before is not None and before.checksum == reduce(xor, (part.checksum for part in parts)):
        times = [before.time_ms]
    payload = b"".join(part.payload for part in parts)
    return Message(parts[0].line, payload, parts[-1].fill, times[0] if times else None)
