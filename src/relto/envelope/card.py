"""A party's card: the one document by which partners know its keys, its address and its TLS issuing certificate.

The card is signed by the authority keys that it carries, which proves that one hand made it and nothing more. Whose
hand it is, people settle once, by the fingerprint that they read to each other over the telephone: that pins the
authority keys. From then on a newer card may change everything else (node keys, sealing key, address, certificate),
and neither an older card nor one under other authority keys can take its place.

A card also says which node keys are void and since when. Only the authority can say so, it never takes it back, and it
travels with the card to whoever meets somebody who has it.

The form is canonical JSON (``relto.strict``), fields in declared order, in a DSSE envelope of type ``CARD_TYPE``;
``log`` and ``revoked`` are left out where they are 1 and empty.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

import msgspec

from relto.bounds import BOUNDS
from relto.clock import EARLIEST_MS, LATEST_MS, format_utc
from relto.envelope import dsse
from relto.envelope.keys import PublicKeys, Signer, fingerprint
from relto.envelope.seal import PUBLIC_KEY_BYTES as SEALING_KEY_BYTES
from relto.errors import ExpiredError, MalformedError, NotForUsError, OurError, SignatureError, TooLargeError
from relto.strict import canonical, check_text, parse_canonical

CARD_TYPE = "application/vnd.relto.card+json"
CARD_VERSION = 1

_PARTY = re.compile(r"[A-Z][A-Z0-9-]{1,15}", re.ASCII)
_FINGERPRINT = re.compile(r"(?:[0-9A-Z]{4}-){5}[0-9A-Z]{4}", re.ASCII)
_SEALING_KEY = re.compile(rf"[0-9a-f]{{{2 * SEALING_KEY_BYTES}}}", re.ASCII)
_URL = re.compile(r"https://[a-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?", re.ASCII)


def check_party(party: str) -> str:
    """Return the id of a party: an ISO 3166-1 alpha-3 code, or a name of 2 to 16 capitals, digits and hyphens.

    Raises:
        MalformedError: anything else.
    """
    if _PARTY.fullmatch(party) is None:
        raise MalformedError(
            f"{party[:40]!r} is not the id of a party.", field="party", remedy="Write it as JPN or IFC-SGP."
        )
    return party


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """Node keys, by their fingerprint, whose signatures are void from an instant on, whatever time they name."""

    node: str
    since_ms: int


class PartyCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a party tells its partners about itself.

    ``authority`` signs agreements and this card; ``node`` signs batches, receipts and checkpoints. ``sealing`` is the
    HPKE public key (1216 bytes, hex), ``tls_ca`` the certificate under which the party issues its nodes' TLS
    certificates (DER, base64), ``url`` where its node answers. Times are ms since the epoch; at ``expires_ms`` the
    card is over. ``log`` counts the party's release logs: it begins a new one after it has lost the old. ``revoked``
    are its node keys that are void, sorted.

    Raises:
        MalformedError: a field is not of its form.
        TooLargeError: a text is over its bound.
    """

    v: int
    party: str
    name: str
    version: int
    authority: PublicKeys
    node: PublicKeys
    sealing: str
    tls_ca: str
    url: str
    issued_ms: int
    expires_ms: int
    log: int = 1
    revoked: tuple[Revocation, ...] = ()

    def __post_init__(self) -> None:
        check_party(self.party)
        check_text(self.name, "name")
        _require(self.v == CARD_VERSION, "v", f"{self.v} is not {CARD_VERSION}, the version known here.")
        _require(bool(self.name.strip()), "name", "is empty.")
        _require(1 <= self.version <= BOUNDS.json_integer, "version", f"{self.version} is not 1 or more.")
        _require(
            _SEALING_KEY.fullmatch(self.sealing) is not None,
            "sealing",
            f"is not {SEALING_KEY_BYTES} bytes in lower-case hex.",
        )
        _check_certificate(self.tls_ca)
        check_url(self.url)
        _require(
            EARLIEST_MS <= self.issued_ms < self.expires_ms <= LATEST_MS,
            "expires_ms",
            f"the card would be good from {self.issued_ms} to {self.expires_ms}.",
        )
        _require(1 <= self.log <= BOUNDS.card_logs, "log", f"{self.log} is not 1 to {BOUNDS.card_logs}.")
        self._check_revoked()

    def _check_revoked(self) -> None:
        void = [each.node for each in self.revoked]
        _require(len(void) <= BOUNDS.card_logs, "revoked", f"{len(void)} keys, at most {BOUNDS.card_logs}.")
        _require(void == sorted(set(void)), "revoked", "is not sorted, or names keys twice.")
        _require(fingerprint(self.node) not in void, "revoked", "names the node keys of this very card.")
        for each in self.revoked:
            _require(_FINGERPRINT.fullmatch(each.node) is not None, "revoked", f"{each.node[:40]!r} is no fingerprint.")
            _require(EARLIEST_MS <= each.since_ms <= LATEST_MS, "revoked", f"{each.since_ms} is no time.")

    def void_since_ms(self, node: PublicKeys) -> int | None:
        """Since when signatures by these node keys are void; None if they are not."""
        name = fingerprint(node)
        return next((each.since_ms for each in self.revoked if each.node == name), None)

    def tls_ca_der(self) -> bytes:
        """Return the issuing certificate as DER."""
        return base64.b64decode(self.tls_ca)


def check_url(url: str) -> str:
    """Return the address of a node: https, a host in lower case, perhaps a port and a plain path; nothing else.

    Raises:
        MalformedError: anything else, such as a user name, a query or a character that needs escaping.
        TooLargeError: longer than ``BOUNDS.text_chars``.
    """
    check_text(url, "url")
    try:
        parts = urlsplit(url)
        plain = _URL.fullmatch(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        plain = False
    _require(plain, "url", f"{url!r} is not the plain https address of a node.")
    return url


def _check_certificate(text: str) -> None:
    try:
        der = base64.b64decode(text, validate=True)
        exact = base64.b64encode(der).decode() == text
    except (binascii.Error, ValueError):
        der, exact = b"", False
    _require(
        exact and 0 < len(der) <= BOUNDS.certificate_bytes,
        "tls_ca",
        f"is not a certificate of at most {BOUNDS.certificate_bytes} bytes in base64.",
    )


def _require(holds: bool, field: str, reason: str) -> None:
    if not holds:
        raise MalformedError(reason, field=f"card.{field}", remedy="Ask the party for a card made by its own node.")


def sign_card(card: PartyCard, authority: Signer) -> bytes:
    """Return the card in a DSSE envelope signed by its authority keys.

    Raises:
        OurError: these are not the authority keys on the card.
    """
    if authority.public != card.authority:
        raise OurError(
            f"{card.party}'s card names the authority keys {fingerprint(card.authority)}, not "
            f"{fingerprint(authority.public)}.",
            field="card",
            remedy="Sign it with the keys that it names.",
        )
    return dsse.sign(CARD_TYPE, canonical(card), [authority])


def open_card(envelope: bytes, *, now_ms: int, pinned: str | None) -> PartyCard:
    """Return a card that its own authority keys signed and that is good now.

    Args:
        envelope: as ``sign_card`` made it.
        now_ms: the present instant.
        pinned: the fingerprint that people have compared; None only while pairing, when they are about to.

    Raises:
        MalformedError, TooLargeError: not a card in its one form, or one from the future (``BOUNDS.future_ms``).
        SignatureError: not signed by its authority keys, or these are not the pinned ones.
        ExpiredError: ``now_ms`` has reached ``expires_ms``.
    """
    card = signed_card(envelope, pinned=pinned)
    check_times(card, now_ms)
    return card


def signed_card(envelope: bytes, *, pinned: str | None) -> PartyCard:
    """Return a card whatever its time: what an authority signed while its card was good stays signed.

    Raises:
        MalformedError, TooLargeError: not a card in its one form.
        SignatureError: not signed by its authority keys, or these are not the pinned ones.
    """
    if len(envelope) > BOUNDS.card_bytes:
        raise TooLargeError(
            f"{len(envelope)} bytes, at most {BOUNDS.card_bytes}.", field="card", remedy="Ask for the card alone."
        )
    unverified = dsse.open_signed(envelope, CARD_TYPE, {}).payload
    claimed = parse_canonical(unverified, PartyCard, limit_bytes=BOUNDS.card_bytes)
    dsse.open_by(envelope, CARD_TYPE, claimed.authority)
    found = fingerprint(claimed.authority)
    if pinned is not None and found != pinned:
        raise SignatureError(
            f"{claimed.party}'s card is signed by {found}, but {pinned} is pinned.",
            field="card",
            remedy="Telephone the party: unless it made new authority keys, somebody takes its place.",
        )
    return claimed


def check_times(card: PartyCard, now_ms: int) -> None:
    """Refuse a card that is over, or from the future.

    Raises:
        ExpiredError: ``now_ms`` has reached ``expires_ms``. MalformedError: issued later than ``BOUNDS.future_ms``.
    """
    if now_ms >= card.expires_ms:
        raise ExpiredError(
            f"{card.party}'s card was over at {format_utc(card.expires_ms)}.",
            field="card",
            remedy="Ask the party for its newest card; compare the clocks of both nodes.",
        )
    _require(
        card.issued_ms <= now_ms + BOUNDS.future_ms,
        "issued_ms",
        f"{format_utc(card.issued_ms)} is in the future: here it is {format_utc(now_ms)}.",
    )


def succeeds(old: PartyCard, new: PartyCard) -> PartyCard:
    """Return the new card if it may take the old one's place: same party, same authority keys, higher version.

    Both have been opened. The same card once more is refused like any other that does not rise; compare first.

    Raises:
        NotForUsError: it is another party's.
        SignatureError: other authority keys: the party's name is being taken over, or it has to be paired anew.
        ExpiredError: the version does not rise: a rollback, or two cards of one version; or the new one takes back a
            revocation, or counts fewer logs.
    """
    if new.party != old.party:
        raise NotForUsError(
            f"{new.party}'s card cannot follow {old.party}'s.", field="card", remedy="Pair with that party first."
        )
    if new.authority != old.authority:
        raise SignatureError(
            f"{new.party}'s card is signed by {fingerprint(new.authority)}, the known one by "
            f"{fingerprint(old.authority)}.",
            field="card",
            remedy="Telephone the party: if it made new authority keys, pair with it anew.",
        )
    if new.version <= old.version:
        raise ExpiredError(
            f"{new.party}'s card has version {new.version}, and version {old.version} is known.",
            field="card",
            remedy="Ask the party for its newest card.",
        )
    since_ms = {each.node: each.since_ms for each in new.revoked}
    taken_back = [each.node for each in old.revoked if since_ms.get(each.node, LATEST_MS + 1) > each.since_ms]
    if taken_back or new.log < old.log:
        raise ExpiredError(
            f"{new.party}'s card takes back what version {old.version} said of its keys or its log.",
            field="card",
            remedy="Telephone the party: a revocation stands for ever.",
        )
    return new
