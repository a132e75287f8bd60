"""The catalog of exploited vulnerabilities: one record an entry, as it came, and public."""

from __future__ import annotations

import gzip
import json
from importlib import resources
from typing import Any

import pytest

from relto.clock import parse_utc
from relto.formats import kev
from relto.kinds.spec import shipped_kinds
from relto.labels import Handling

pytestmark = pytest.mark.pure

NOW_MS = parse_utc("2026-11-23T09:00:00Z")
Json = dict[str, Any]


def entry(number: int = 1, **members: Any) -> Json:
    return {
        "cveID": f"CVE-2026-{number:04d}",
        "vendorProject": "Lantern",
        "product": "Router",
        "vulnerabilityName": "Lantern Router Command Injection",
        "dateAdded": "2026-11-20",
        "shortDescription": "A command, injected.",
        "requiredAction": "Apply the update.",
        "dueDate": "2026-12-11",
    } | members


def catalog(*entries: bytes, count: object = None) -> bytes:
    stated = len(entries) if count is None else count
    return b'{"catalogVersion": "2026.11.23", "count": %s, "vulnerabilities": [%s]}' % (
        json.dumps(stated).encode(),
        b",\n".join(entries),
    )


def write(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def test_each_entry_is_a_public_record_of_its_own_bytes() -> None:
    first, second = write(entry(1)), write(entry(2, cwes=["CWE-78"], unknown={"kept": True}))
    intake = kev.read_catalog(catalog(first, second), received_ms=NOW_MS)
    assert [draft.content for draft in intake.drafts] == [first, second]
    assert [draft.external_id for draft in intake.drafts] == ["CVE-2026-0001", "CVE-2026-0002"]
    draft = intake.drafts[0]
    assert draft.handling == Handling(tlp="CLEAR")
    assert draft.observed_ms == draft.until_ms == parse_utc("2026-11-20T00:00:00Z")
    assert draft.title == "CVE-2026-0001 Lantern Router Command Injection"
    assert shipped_kinds()[draft.kind].media_type == draft.media_type
    assert (intake.summary.read, intake.summary.accepted, intake.summary.remarked) == (2, 2, {})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"cveID":"CVE-2026-0009","cveID":"CVE-2026-0008"}', "BAD_JSON"),
        (b"7", "NOT_AN_OBJECT"),
        (write(entry(cveID="CVE-26-1")), "BAD_ID"),
        (write(entry(cveID="CVE-2026-0009\n")), "BAD_ID"),
        (write(entry(cveID=None)), "BAD_ID"),
        (write(entry(9, product=None)), "MISSING_PROPERTY"),
        (write(entry(9, dateAdded="2026-02-30")), "BAD_TIME"),
        (write(entry(9, dateAdded="2026-11-20T00:00:00Z")), "BAD_TIME"),
        (write(entry(9, dateAdded="2026-12-01")), "FUTURE_TIME"),
        (write(entry(1)), "DUPLICATE_ID"),
        (write(entry(9, notes="x" * (1 << 20))), "TOO_LARGE"),
    ],
)
def test_a_bad_entry_is_refused_and_its_neighbours_are_kept(bad: bytes, reason: str) -> None:
    intake = kev.read_catalog(catalog(write(entry(1)), bad, write(entry(2))), received_ms=NOW_MS)
    assert [draft.external_id for draft in intake.drafts] == ["CVE-2026-0001", "CVE-2026-0002"]
    assert intake.summary.rejected == {reason: 1}
    assert intake.summary.rejects[0].where == "entry 1"
    assert intake.summary.read == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"catalogVersion":"1"}', "NOT_A_CATALOG"),
        (b'{"vulnerabilities":{}}', "NOT_A_CATALOG"),
        (b'{"vulnerabilities":[', "BAD_JSON"),
        (b'{"vulnerabilities":[],"vulnerabilities":[]}', "BAD_JSON"),
        (b'{"vulnerabilities":[]} {}', "BAD_JSON"),
    ],
)
def test_a_file_that_is_no_catalog_is_refused_whole(content: bytes, reason: str) -> None:
    intake = kev.read_catalog(content, received_ms=NOW_MS)
    assert not intake.drafts
    assert intake.summary.rejected == {reason: 1}


def test_a_count_that_is_not_that_of_the_entries_is_remarked() -> None:
    intake = kev.read_catalog(catalog(write(entry()), count=2), received_ms=NOW_MS)
    assert len(intake.drafts) == 1
    assert intake.summary.remarked == {"COUNT": 1}


def test_the_shipped_catalog_is_read_whole() -> None:
    name = "known_exploited_vulnerabilities-2025-08-25.json.gz"
    content = gzip.decompress((resources.files("relto.exercise") / "data" / "kev" / name).read_bytes())
    assert kev.sniff(content) == "kev"
    intake = kev.read_catalog(content, received_ms=NOW_MS)
    assert intake.summary.accepted == intake.summary.read == len(intake.drafts) > 10
    assert all(draft.content in content for draft in intake.drafts)


def test_other_json_is_not_taken_for_a_catalog() -> None:
    assert kev.sniff(b'{"vulnerabilities":[]}') is None
    assert kev.sniff(catalog(write(entry()))) == "kev"
