"""AIS into positions and vessels, and positions back into sentences.

Bytes in, values out. Each message of the input ends in one of three counts (see ``rejects``); nothing is guessed, and
a bad sentence costs no neighbour. Form, checksum and length are checked before anything is decoded. The time of a row
is that of reception: the UTC second inside a position report is the transponder's own and is not used.

``read_noaa_csv``, ``read_noaa_parquet`` and ``read_dma_csv`` read archives, where others have decoded already.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from relto.bounds import BOUNDS, MIB
from relto.errors import TooLargeError
from relto.formats.ais_archive import read_dma_csv, read_noaa_csv, read_noaa_parquet
from relto.formats.ais_message import Position, Report, decode
from relto.formats.ais_scan import Ints, Lines, Mask, Stamps, scan, split
from relto.formats.ais_table import NONE, AisIntake, position_table, vessel_table
from relto.formats.ais_write import write_nmea
from relto.formats.nmea import Fragments, Ignored, Message, Refused, Sentence, Stamp, parse_line
from relto.formats.rejects import Tally

__all__ = ["AisIntake", "read_dma_csv", "read_nmea", "read_noaa_csv", "read_noaa_parquet", "write_nmea"]

_BLOCK_BYTES = MIB
_NUMBERS = ("mmsi", "lat_e7", "lon_e7", "sog_dkn", "cog_ddeg", "heading_deg", "nav_status")
_GATEHOUSE = b"$PGHP"


def read_nmea(content: bytes, *, received_ms: int | None, source: str) -> AisIntake:
    """Read AIS sentences: VDM and VDO of any talker, with tag blocks, time sentences and several parts.

    Args:
        content: lines that end in LF or CR LF.
        received_ms: when the bytes arrived. Messages that nothing dates get this time and are counted under the remark
            ``RECEIVED_TIME``; without it they are rejected as ``TIME_MISSING``. With it, messages dated more than
            ``BOUNDS.future_ms`` later are rejected as ``FUTURE_TIME``.
        source: the name of the feed, for the summary.

    Returns:
        Positions from types 1, 2, 3, 9, 18, 19 and 27 and vessels from 5, 19 and 24, in the order of their lines.

    Raises:
        TooLargeError: more than ``BOUNDS.content_bytes``.
    """
    if len(content) > BOUNDS.content_bytes:
        raise TooLargeError(f"{len(content)} bytes, at most {BOUNDS.content_bytes}.", field=source, remedy="Split it.")
    reader = _Reader(source, received_ms)
    for block in _blocks(content):
        reader.take(block)
    return reader.finish()


def _blocks(content: bytes) -> Iterator[Lines]:
    """Cut a text into blocks of whole lines, so that memory follows the block and not the text."""
    start, number = 0, 1
    while start < len(content):
        end = content.rfind(b"\n", start, start + _BLOCK_BYTES) + 1 or content.find(b"\n", start) + 1 or len(content)
        block = content[start:end]
        yield split(block, number)
        start, number = end, number + block.count(b"\n")


class _Reader:
    """One intake under way. Rows are kept as columns by block and put together at the end."""

    def __init__(self, source: str, received_ms: int | None) -> None:
        self._tally = Tally(source)
        self._received_ms = received_ms
        self._fragments = Fragments()
        self._carried = (NONE, NONE)  # stamp of the last line of the block before
        self._columns: list[tuple[Ints, dict[str, Ints], Mask]] = []
        self._reports: list[tuple[int, int, Report]] = []

    def take(self, lines: Lines) -> None:
        """Read one block: the quick way first, line by line what that leaves."""
        if len(lines) == 0:
            return
        stamps, dealt = self._stamps(lines)
        found = scan(lines, stamps)
        self._tally.ignore("POSITION_UNAVAILABLE", found.unavailable)
        for kind, count in found.not_kept.items():
            self._tally.ignore(f"TYPE_{kind}", count)
        numbers = lines.numbers[found.line]
        observed_ms, keep = self._date(numbers, found.time_ms)
        self._tally.remark("COURSE_INVALID", int((found.has_invalid_course & keep).sum()))
        self._tally.remark("HEADING_INVALID", int((found.has_invalid_heading & keep).sum()))
        columns: dict[str, Ints] = {name: getattr(found, name)[keep] for name in _NUMBERS}
        columns["observed_ms"] = observed_ms[keep]
        self._columns.append((numbers[keep], columns, found.is_class_b[keep]))
        for index in np.flatnonzero(~(found.taken | dealt)):
            checksum = int(stamps.checksum[index])
            before = Stamp(int(stamps.time_ms[index]), checksum) if checksum != NONE else None
            self._line(lines.text(index), int(lines.numbers[index]), before)

    def finish(self) -> AisIntake:
        """Give up incomplete messages and build the tables."""
        self._fragments.finish()
        self._lost()
        numbers = np.array([number for number, _, _ in self._reports], dtype=np.int64)
        times = np.array([time_ms for _, time_ms, _ in self._reports], dtype=np.int64)
        observed_ms, keep = self._date(numbers, times)
        kept = [self._reports[index] for index in np.flatnonzero(keep)]
        for _, _, report in kept:
            for remark in report.remarks:
                self._tally.remark(remark)
        dated = [(number, int(time), report) for (number, _, report), time in zip(kept, observed_ms[keep], strict=True)]
        self._columns.append(_position_columns(dated))
        dated.sort(key=lambda row: row[0])
        vessels = [(time_ms, report.vessel) for _, time_ms, report in dated if report.vessel is not None]
        return AisIntake(
            positions=position_table(*_in_order(self._columns)),
            vessels=vessel_table([time_ms for time_ms, _ in vessels], [vessel for _, vessel in vessels]),
            summary=self._tally.finish(),
        )

    def _stamps(self, lines: Lines) -> tuple[Stamps, Mask]:
        """Read the time sentences of a block; each dates the line behind it."""
        times = np.full(len(lines) + 1, NONE, dtype=np.int64)
        checksums = np.full(len(lines) + 1, NONE, dtype=np.int64)
        times[0], checksums[0] = self._carried
        dealt = np.zeros(len(lines), dtype=np.bool_)
        for index in np.flatnonzero(lines.begin_with(_GATEHOUSE)):
            outcome = parse_line(lines.text(index), int(lines.numbers[index]))
            dealt[index] = isinstance(outcome, Stamp)
            if isinstance(outcome, Stamp):
                times[index + 1], checksums[index + 1] = outcome.time_ms, outcome.checksum
        self._tally.ignore("TIME_SENTENCE", int(dealt.sum()))
        self._carried = (int(times[-1]), int(checksums[-1]))
        return Stamps(times[:-1], checksums[:-1]), dealt

    def _line(self, text: bytes, number: int, before: Stamp | None) -> None:
        outcome = parse_line(text, number, before)
        if isinstance(outcome, Sentence):
            message = self._fragments.add(outcome)
            self._lost()
            if message is not None:
                self._message(message)
        elif isinstance(outcome, Refused):
            self._tally.reject(f"line {number}", outcome.reason, outcome.detail)
        else:
            self._tally.ignore(outcome.reason if isinstance(outcome, Ignored) else "TIME_SENTENCE")

    def _message(self, message: Message) -> None:
        outcome = decode(message)
        if isinstance(outcome, Refused):
            self._tally.reject(f"line {message.line}", outcome.reason, outcome.detail)
        elif isinstance(outcome, Ignored):
            self._tally.ignore(outcome.reason)
        else:
            self._reports.append((message.line, NONE if message.time_ms is None else message.time_ms, outcome))

    def _lost(self) -> None:
        for sentence, detail in self._fragments.lost:
            self._tally.reject(f"line {sentence.line}", "FRAGMENT_MISSING", detail)
        self._fragments.lost.clear()

    def _date(self, numbers: Ints, time_ms: Ints) -> tuple[Ints, Mask]:
        """Give each message its time, and count it as accepted or rejected; the mask says which are accepted."""
        missing = time_ms == NONE
        if self._received_ms is None:
            keep = ~missing
            self._tally.reject_rows(
                "line", numbers[missing].tolist(), "TIME_MISSING", "nothing says when it was received"
            )
        else:
            self._tally.remark("RECEIVED_TIME", int(missing.sum()))
            time_ms = np.where(missing, self._received_ms, time_ms)
            latest_ms = self._received_ms + BOUNDS.future_ms
            keep = time_ms <= latest_ms
            self._tally.reject_rows("line", numbers[~keep].tolist(), "FUTURE_TIME", f"later than {latest_ms} ms")
        self._tally.accept(int(keep.sum()))
        return time_ms, keep


def _position_columns(rows: list[tuple[int, int, Report]]) -> tuple[Ints, dict[str, Ints], Mask]:
    placed = [(number, time_ms, report.position) for number, time_ms, report in rows if report.position is not None]
    numbers = np.array([number for number, _, _ in placed], dtype=np.int64)
    positions = [position for _, _, position in placed]
    columns = {name: np.array([_known(position, name) for position in positions], dtype=np.int64) for name in _NUMBERS}
    columns["observed_ms"] = np.array([time_ms for _, time_ms, _ in placed], dtype=np.int64)
    return numbers, columns, np.array([position.transceiver == "B" for position in positions], dtype=np.bool_)


def _known(position: Position, name: str) -> int:
    value: int | None = getattr(position, name)
    return NONE if value is None else value


def _in_order(parts: list[tuple[Ints, dict[str, Ints], Mask]]) -> tuple[dict[str, Ints], Mask]:
    """Put the columns of all blocks together, in the order of their lines."""
    order = np.argsort(np.concatenate([numbers for numbers, _, _ in parts]), kind="stable")
    columns = {
        name: np.concatenate([found[name] for _, found, _ in parts])[order] for name in (*_NUMBERS, "observed_ms")
    }
    return columns, np.concatenate([is_class_b for _, _, is_class_b in parts])[order]
