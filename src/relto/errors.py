"""Errors: ours or the peer's, with values, and with what the reader can do.

Two sides first, then the fact. ``OurError`` is something the operator of this node can mend; ``PeerError`` is
something that somebody else sent. A peer is only ever told ``peer_text``: the class of the refusal, never what
was refused or why in detail. The log is told everything.
"""

from __future__ import annotations

from dataclasses import dataclass


class ReltoError(Exception):
    """An expected failure, told without a traceback.

    Args:
        reason: one sentence that says what is the matter, with the values that decided.
        remedy: one sentence that says what the reader can do about it.
        field: the name of the field, file or part concerned; empty if there is none.
    """

    peer_text = "refused"

    def __init__(self, reason: str, *, remedy: str = "", field: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.field = field

    def __str__(self) -> str:
        head = f"{self.field}: {self.reason}" if self.field else self.reason
        return f"{head} {self.remedy}" if self.remedy else head


class OurError(ReltoError):
    """The operator of this node can mend it: a file, a setting, a missing key."""


class PeerError(ReltoError):
    """Bytes from outside break a rule. Nothing of them was stored as good."""


class MalformedError(PeerError):
    """The bytes are not of the form that they claim."""

    peer_text = "malformed"


class TooLargeError(MalformedError):
    """The bytes go over one of the limits of ``relto.bounds``."""

    peer_text = "too large"


class SignatureError(PeerError):
    """A required signature is missing or does not verify."""

    peer_text = "signature"


class ProofError(PeerError):
    """An inclusion or consistency proof does not lead to the signed root."""

    peer_text = "proof"


class NotForUsError(PeerError):
    """The bytes name another recipient, sender or purpose than the one they came by."""

    peer_text = "misdirected"


class UnknownPartyError(PeerError):
    """No partner of this node has this name, certificate or key."""

    peer_text = "unknown party"


class ExpiredError(PeerError):
    """The document's time is over."""

    peer_text = "expired"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a document a person wrote. All findings of a document are reported at once."""

    line: int
    field: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.reason} {self.remedy}"


class DocumentError(OurError):
    """A document written by a person cannot be used; ``findings`` holds everything that is wrong with it."""

    def __init__(self, name: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(f"{len(findings)} finding(s)", field=name)
        self.findings = findings

    def __str__(self) -> str:
        return "\n".join([f"{self.field}: {self.reason}", *(f"  {finding}" for finding in self.findings)])


class InvariantError(ReltoError):
    """A promise of the program itself is broken: stop releasing, go on receiving evidence."""


def invariant(holds: bool, promise: str) -> None:
    """Stop unless the promise holds. Unlike ``assert`` it cannot be compiled away.

    Raises:
        InvariantError: always if ``holds`` is false.
    """
    if not holds:
        raise InvariantError(f"broken promise: {promise}", remedy="Please report this with the log.")
