"""One leaf of the release log: a salted commitment to one decision, so that the log tells nothing but can be opened.

The commitment is SHA-256 over a domain line, the salt and the record. Tiles and entries hold commitments only and may
be shown to any witness; the record with its salt is shown to whoever may know of the release. The policy that decided
is committed under a salt of its own, which stays with the holder: a recipient could otherwise guess at the rest of it.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from relto.errors import MalformedError, ProofError
from relto.item import AgreementRef, View
from relto.release.decide import Verdict
from relto.strict import canonical, parse_canonical

Logged = Verdict | Literal["WITHDRAWN"]

SALT_BYTES = 32
_DOMAIN = b"relto-release-leaf/1\n"


class LeafRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided. ``n`` is the place in the recipient's stream, 0 for a decision by which nothing went.

    ``rendition`` is the SHA-256 of the released header, which binds label, duties and content; empty for WITHHELD.
    """

    v: Literal[1]
    by: str
    to: str
    n: int
    item: str
    version: int
    verdict: Logged
    view: View
    reasons: tuple[str, ...]
    agreements: tuple[AgreementRef, ...]
    rules: tuple[str, ...]
    rendition: str
    policy: str
    time_ms: int


def policy_commitment(policy_sha256: str, salt: bytes) -> str:
    """The commitment to the policy that decided, as hex."""
    return hashlib.sha256(b"relto-policy/1\n" + salt + policy_sha256.encode()).hexdigest()


def commit(record: bytes, salt: bytes) -> bytes:
    """The log's entry for a record: 32 bytes.

    Raises:
        MalformedError: the salt has another length.
    """
    if len(salt) != SALT_BYTES:
        raise MalformedError(f"{len(salt)} bytes, needs {SALT_BYTES}.", field="salt", remedy="Ask again.")
    return hashlib.sha256(_DOMAIN + salt + record).digest()


def open_leaf(record: bytes, salt: bytes, entry: bytes) -> LeafRecord:
    """The record behind an entry.

    Raises:
        ProofError: the entry commits to something else.
        MalformedError: the record is not of its form.
    """
    if commit(record, salt) != entry:
        raise ProofError("opens to another record.", field="leaf", remedy="Keep both as evidence.")
    return parse_canonical(record, LeafRecord)


def record_bytes(record: LeafRecord) -> bytes:
    """The bytes that are committed to."""
    return canonical(record)
