"""The counts of an intake: nothing is lost, nothing grows without bound."""

from __future__ import annotations

import pytest

from relto.bounds import BOUNDS
from relto.formats.rejects import Reject, Tally

pytestmark = pytest.mark.pure


def test_read_is_the_sum_of_what_became_of_each_record() -> None:
    tally = Tally("feed")
    tally.accept(3)
    tally.remark("RECEIVED_TIME", 2)
    tally.ignore("TYPE_4")
    tally.ignore("TYPE_8", 0)
    tally.reject("line 9", "CHECKSUM", "stated 00")
    tally.reject_rows("row", [3, 5], "BAD_MMSI", "zero")
    summary = tally.finish()
    assert summary.read == 3 + 1 + 3
    assert (summary.accepted, summary.ignored, summary.remarked) == (3, {"TYPE_4": 1}, {"RECEIVED_TIME": 2})
    assert summary.rejected == {"BAD_MMSI": 2, "CHECKSUM": 1}
    assert summary.rejects == (
        Reject("line 9", "CHECKSUM", "stated 00"),
        Reject("row 3", "BAD_MMSI", "zero"),
        Reject("row 5", "BAD_MMSI", "zero"),
    )
    assert str(summary.rejects[0]) == "line 9: CHECKSUM: stated 00"


def test_a_flood_of_rejects_is_counted_but_not_kept() -> None:
    tally = Tally("feed")
    many = BOUNDS.rejects_listed + 7
    tally.reject_rows("row", range(many), "BAD_TIME", "none")
    tally.reject("line 1", "CHECKSUM", "late")
    summary = tally.finish()
    assert len(summary.rejects) == BOUNDS.rejects_listed
    assert summary.rejected == {"BAD_TIME": many, "CHECKSUM": 1}


def test_a_detail_cannot_deceive_who_reads_the_log() -> None:
    tally = Tally("feed")
    tally.reject("line 1", "NOT_A_SENTENCE", "\x1b[2J\u202e" + "x" * 1000)
    detail = tally.finish().rejects[0].detail
    assert "\x1b" not in detail
    assert "\u202e" not in detail
    assert len(detail) == BOUNDS.text_chars


def test_a_summary_does_not_change_after_it_was_taken() -> None:
    tally = Tally("feed")
    tally.reject("line 1", "CHECKSUM", "")
    before = tally.finish()
    tally.reject("line 2", "CHECKSUM", "")
    assert (before.read, len(before.rejects)) == (1, 1)
