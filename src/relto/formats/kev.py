"""The Known Exploited Vulnerabilities catalog of CISA (JSON, schema of 2025): one draft for each entry.

The catalog is public (CC0), so each entry is TLP CLEAR. Content is the entry's own bytes. Observed is midnight UTC of
``dateAdded``. Fields that the schema does not know are kept, as in every record.
"""

from __future__ import annotations

import re
from typing import Any

from relto.bounds import BOUNDS
from relto.clock import parse_utc
from relto.errors import MalformedError
from relto.formats.draft import Draft, Intake, short
from relto.formats.rejects import Tally
from relto.formats.slices import Cut, RefusedError, cut, read_object
from relto.labels import Handling

KIND = "cyber.vulnerability"
MEDIA_TYPE = "application/json"

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}", re.ASCII)
_REQUIRED = (
    "vendorProject",
    "product",
    "vulnerabilityName",
    "dateAdded",
    "shortDescription",
    "requiredAction",
    "dueDate",
)


def sniff(content: bytes) -> str | None:
    """``"kev"`` if the beginning looks like a catalog."""
    head = content[:4096]
    return "kev" if b'"vulnerabilities"' in head and b'"catalogVersion"' in head else None


def read_catalog(content: bytes, *, received_ms: int, source: str = "kev") -> Intake:
    """Read a catalog into a draft for each entry; a bad entry is refused and its neighbours are kept.

    Reasons: ``BAD_JSON``, ``TOO_LARGE``, ``NOT_AN_OBJECT``, ``NOT_A_CATALOG``, ``BAD_ID``, ``MISSING_PROPERTY``,
    ``BAD_TIME``, ``FUTURE_TIME``, ``DUPLICATE_ID``. A stated ``count`` that is another is remarked as ``COUNT``.
    """
    tally = Tally(source)
    try:
        catalog, stated = _open(content)
    except RefusedError as refused:
        tally.reject("file", refused.code, refused.detail)
        return Intake((), tally.finish())
    if stated != len(catalog.elements):
        tally.remark("COUNT")
    drafts: dict[str, Draft] = {}
    for at, element in enumerate(catalog.elements):
        try:
            draft = _entry(element, received_ms)
            if draft.external_id in drafts:
                raise RefusedError("DUPLICATE_ID", f"{draft.external_id} stands twice")
        except RefusedError as refused:
            tally.reject(f"entry {at}", refused.code, refused.detail)
            continue
        drafts[draft.external_id] = draft
        tally.accept()
    return Intake(tuple(drafts.values()), tally.finish())


def _open(content: bytes) -> tuple[Cut, Any]:
    catalog = cut(content, "vulnerabilities")
    if catalog is None:
        raise RefusedError("NOT_A_CATALOG", "no list of vulnerabilities")
    return catalog, read_object(catalog.around).get("count")


def _entry(element: bytes, received_ms: int) -> Draft:
    entry = read_object(element)
    cve = entry.get("cveID")
    if not isinstance(cve, str) or _CVE.fullmatch(cve) is None:
        raise RefusedError("BAD_ID", f"{str(cve)[:40]!r} is no CVE id")
    for name in _REQUIRED:
        if not isinstance(entry.get(name), str):
            raise RefusedError("MISSING_PROPERTY", f"{cve} has no {name}")
    observed_ms = _midnight_ms(entry["dateAdded"])
    if observed_ms > received_ms + BOUNDS.future_ms:
        raise RefusedError("FUTURE_TIME", f"{cve} was added on {entry['dateAdded']}")
    return Draft(
        kind=KIND,
        media_type=MEDIA_TYPE,
        content=element,
        observed_ms=observed_ms,
        until_ms=observed_ms,
        handling=Handling(tlp="CLEAR"),
        title=short(f"{cve} {entry['vulnerabilityName']}"),
        external_id=cve,
    )


def _midnight_ms(date: str) -> int:
    try:
        return parse_utc(f"{date}T00:00:00Z")
    except MalformedError:
        raise RefusedError("BAD_TIME", f"{date[:40]!r} is no date") from None
