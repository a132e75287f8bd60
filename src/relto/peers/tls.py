"""Mutual TLS with pinned partners: who may connect, and whose certificate it is.

The rules, for both directions:

* TLS 1.3 only (RFC 8446), a certificate from either side, no resumption: each connection is verified afresh.
* No system or public authority is loaded. A partner is known by the issuing certificate on its own card.
* A certificate belongs to the party that its one ``relto://PARTY/node`` URI names, if *that* party's issuing
  certificate signed it. What partner A issues in the name of partner B is refused, though A itself is trusted.
* Host names prove nothing here and are not looked at: a small partner's address may change from day to day.
* Which partners exist is not told: the server sends no list of authorities that it accepts.

A parsed certificate is remembered, as is the fact that one certificate signed another; both are facts about bytes.
Who is a partner, and what the time is, is asked anew on each call.
"""

from __future__ import annotations

import ssl
from asyncio import Transport
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relto.bounds import BOUNDS
from relto.clock import format_utc, from_datetime
from relto.errors import (
    ExpiredError,
    MalformedError,
    OurError,
    PeerError,
    ReltoError,
    SignatureError,
    TooLargeError,
    UnknownPartyError,
)
from relto.keyring.files import TlsFiles
from relto.keyring.tls import EXTENDED_USAGES, ca_subject, node_uri
from relto.peers.handshake import explain_tls

_REMEMBERED = 4 * BOUNDS.partners
# every way in which the library says that it cannot read a certificate
_NOT_X509 = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

ReportRefusal = Callable[[ReltoError], None]


@dataclass(frozen=True, slots=True)
class _Certificate:
    """A certificate read to the end: the library reads many parts on first use only, and fails there."""

    whole: x509.Certificate
    subject: x509.Name
    issuer: x509.Name
    extensions: x509.Extensions
    key: CertificatePublicKeyTypes
    begins_ms: int
    ends_ms: int


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What a node's certificate says, before anybody has said whether it is true."""

    party: str
    certificate: _Certificate


def server_context(identity: TlsFiles, partners: Mapping[str, bytes], *, on_refusal: ReportRefusal) -> ssl.SSLContext:
    """Return the context by which this node's server meets partners; a client without a certificate is refused.

    With no partners everybody is refused. A client that gets through holds *some* partner's certificate; which one,
    and whether it is one still, only ``party_of`` says. A refused client receives the TLS alert that tells why.

    Args:
        identity: this node's certificate and key, as ``FileKeyring.tls_files`` gives them.
        partners: the issuing certificate (DER) by party.
        on_refusal: told of every refused handshake, in the event loop: it must return at once.

    Raises:
        OurError: the files of ``identity`` cannot be used.
        PeerError: an issuing certificate is not one that ``check_ca`` takes.
    """
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.on_refusal = on_refusal
    context.num_tickets = 0
    _harden(context)
    load_identity(context, identity)
    for party, ca_der in partners.items():
        add_partner(context, party, ca_der)
    return context


def client_context(identity: TlsFiles, party: str, ca_der: bytes) -> ssl.SSLContext:
    """Return the context by which this node's client meets one partner, and nobody else.

    The handshake fails, before any request is sent, unless the server's certificate is signed by that partner's
    issuing certificate and names that partner. Works for blocking sockets and for asyncio.

    Raises:
        OurError: the files of ``identity`` cannot be used.
        PeerError: ``ca_der`` is not one that ``check_ca`` takes.
    """
    context = _PartnerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.party, context.ca_der = party, ca_der
    context.check_hostname = False  # the URI is checked in its stead, by _PartnerContext.check_peer
    _harden(context)
    load_identity(context, identity)
    add_partner(context, party, ca_der)
    return context


def load_identity(context: ssl.SSLContext, identity: TlsFiles) -> None:
    """Let new connections of a context use these certificate files; open ones keep theirs. Also after a renewal.

    Raises:
        OurError: the file is missing, unreadable, or key and certificate do not fit.
    """
    try:
        context.load_cert_chain(identity.leaf)
    except (OSError, ssl.SSLError) as error:
        raise OurError(
            f"cannot be used as TLS key and certificate: {error}.",
            field=str(identity.leaf),
            remedy="Renew it from the keyring.",
        ) from None


def add_partner(context: ssl.SSLContext, party: str, ca_der: bytes) -> None:
    """Let a partner's certificates through the handshakes of a context, at once.

    There is no way to take one out again: a removed partner is refused by ``party_of`` from the same moment, and by
    the handshake once the server has a new context.

    Raises:
        PeerError: as ``check_ca``.
    """
    check_ca(party, ca_der)
    context.load_verify_locations(cadata=ca_der)


def check_ca(party: str, ca_der: bytes) -> None:
    """Refuse an issuing certificate that could do more than vouch for its own party's node.

    The subject has to be ``CN=PARTY``: with a free choice of it one partner could take another's name in the
    server's list of authorities, and so lock the other out.

    Raises:
        TooLargeError: over ``BOUNDS.certificate_bytes``.
        MalformedError: not an X.509 certificate of this form.
        SignatureError: it does not bear its own signature.
    """
    ca = _certificate(ca_der)
    field = f"tls_ca of {party}"
    remedy = "Ask the partner for a card made by its own keyring."
    if ca.subject != ca_subject(party) or ca.issuer != ca.subject:
        raise MalformedError(
            f"is issued to {ca.subject.rfc4514_string()[:80]!r} by {ca.issuer.rfc4514_string()[:80]!r}.",
            field=field,
            remedy=remedy,
        )
    if not _is_bare_issuer(ca):
        raise MalformedError("may do other than issue node certificates.", field=field, remedy=remedy)
    if not _is_issued_by(ca_der, ca_der):
        raise SignatureError("does not bear its own signature.", field=field, remedy=remedy)


def _is_bare_issuer(ca: _Certificate) -> bool:
    try:
        basic = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    strong = isinstance(ca.key, ec.EllipticCurvePublicKey) and ca.key.curve.key_size >= 256
    return strong and basic.ca and basic.path_length == 0 and usage.key_cert_sign and not usage.digital_signature


def party_of(der: bytes, partners: Mapping[str, bytes], now_ms: int) -> str:
    """Return the partner that a certificate belongs to, at this instant.

    Args:
        der: the certificate that the other side presented; the TLS handshake proved that it has the key.
        partners: the issuing certificate (DER) of each party that is a partner *now*.
        now_ms: the instant of the request, not of the connection.

    Raises:
        UnknownPartyError: it names no party, or one that is no partner (any more).
        SignatureError: the named party's issuing certificate did not sign it, or it is not made for TLS both ways,
            or it is not valid yet.
        ExpiredError: it, or its issuer, is over.
        MalformedError: it is not a certificate.
    """
    leaf = _leaf(der)
    ca_der = partners.get(leaf.party)
    if ca_der is None:
        raise UnknownPartyError(
            f"a certificate of {leaf.party}, which is no partner of this node.",
            field="certificate",
            remedy="Pair with that party first, if you mean to.",
        )
    _check_issued(leaf, der, ca_der)
    _check_validity(leaf.party, leaf.certificate, now_ms)
    _check_validity(leaf.party, _certificate(ca_der), now_ms)
    return leaf.party


def _check_issued(leaf: _Leaf, der: bytes, ca_der: bytes) -> None:
    if not _is_issued_by(der, ca_der):
        issuer = leaf.certificate.issuer.rfc4514_string()[:80]
        raise SignatureError(
            f"names {leaf.party}, but was issued by {issuer!r} and not under {leaf.party}'s issuing certificate.",
            field="certificate",
            remedy=f"Tell {leaf.party}, by another way than this connection.",
        )
    try:
        usages = set(leaf.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        is_ca = leaf.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        usages, is_ca = set(), True
    if is_ca or not usages.issuperset(EXTENDED_USAGES):
        raise SignatureError(
            f"of {leaf.party} is not made for TLS as client and as server.",
            field="certificate",
            remedy="Ask the partner to renew it from its keyring.",
        )


def _check_validity(party: str, certificate: _Certificate, now_ms: int) -> None:
    begins_ms, ends_ms = certificate.begins_ms, certificate.ends_ms
    if now_ms < begins_ms:
        raise SignatureError(
            f"of {party} is not valid before {format_utc(begins_ms)}; here it is {format_utc(now_ms)}.",
            field="certificate",
            remedy="Compare the clocks of both nodes.",
        )
    if now_ms > ends_ms:
        raise ExpiredError(
            f"of {party} was over at {format_utc(ends_ms)}; here it is {format_utc(now_ms)}.",
            field="certificate",
            remedy="Ask the partner to renew it; compare the clocks of both nodes.",
        )


# Keyed by the bytes themselves, which is a digest that cannot collide.
@lru_cache(maxsize=_REMEMBERED)
def _certificate(der: bytes) -> _Certificate:
    if len(der) > BOUNDS.certificate_bytes:
        raise TooLargeError(
            f"{len(der)} bytes, at most {BOUNDS.certificate_bytes}.", field="certificate", remedy="Make it smaller."
        )
    try:
        read = x509.load_der_x509_certificate(der)
        return _Certificate(
            whole=read,
            subject=read.subject,
            issuer=read.issuer,
            extensions=read.extensions,
            key=read.public_key(),
            begins_ms=from_datetime(read.not_valid_before_utc),
            ends_ms=from_datetime(read.not_valid_after_utc),
        )
    except _NOT_X509 as error:
        raise MalformedError(
            f"is not an X.509 certificate: {error}.", field="certificate", remedy="Ask the partner for another."
        ) from None


@lru_cache(maxsize=_REMEMBERED)
def _leaf(der: bytes) -> _Leaf:
    certificate = _certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    party = _named_party(uris[0]) if len(uris) == 1 else None
    if party is None:
        raise UnknownPartyError(
            f"names {[uri[:80] for uri in uris[:4]]} where one name relto://PARTY/node has to stand.",
            field="certificate",
            remedy="Ask the partner to use the certificate that its keyring made.",
        )
    return _Leaf(party=party, certificate=certificate)


def _named_party(uri: str) -> str | None:
    try:
        party = urlsplit(uri).netloc
        return party if uri == node_uri(party) else None
    except (ValueError, MalformedError):
        return None


@lru_cache(maxsize=_REMEMBERED)
def _is_issued_by(der: bytes, ca_der: bytes) -> bool:
    try:
        _certificate(der).whole.verify_directly_issued_by(_certificate(ca_der).whole)
    except (InvalidSignature, *_NOT_X509):
        return False
    return True


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT


class _ServerContext(ssl.SSLContext):
    """A context that tells the operator of each refused handshake, and the refused one why."""

    on_refusal: ReportRefusal

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:
        connection = super().wrap_bio(incoming, outgoing, *args, **options)
        if isinstance(connection, _ServerObject):
            connection.outgoing = outgoing
        return connection


class _ServerObject(ssl.SSLObject):
    """One connection's TLS state. Event loops drop a failed handshake's last bytes; here the alert gets out first."""

    outgoing: ssl.MemoryBIO
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            if isinstance(self.context, _ServerContext):
                self.context.on_refusal(explain_tls(error, "A client"))
            if not self.outgoing.pending:
                raise
            # "want read" makes the loop send what is pending, the alert; on the next sign of life it gets the failure
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "sending the alert") from error


class _PartnerContext(ssl.SSLContext):
    """A context that takes one partner's certificate only."""

    party: str
    ca_der: bytes

    def check_peer(self, der: bytes | None) -> None:
        """Refuse a certificate in another name; chain and times were verified by the handshake itself."""
        try:
            leaf = _leaf(der or b"")
            if leaf.party != self.party:
                raise SignatureError(
                    f"names {leaf.party}, while {self.party} was called.",
                    field="certificate",
                    remedy="Correct the address of that partner.",
                )
            _check_issued(leaf, der or b"", self.ca_der)
        except PeerError as refusal:
            # of the kind that every TLS client expects from a handshake, so that it closes the socket
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, refusal.reason) from refusal


class _PartnerSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        if isinstance(self.context, _PartnerContext):
            self.context.check_peer(self.getpeercert(binary_form=True))


class _PartnerObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        if isinstance(self.context, _PartnerContext):
            self.context.check_peer(self.getpeercert(binary_form=True))


_ServerContext.sslobject_class = _ServerObject
_PartnerContext.sslsocket_class = _PartnerSocket
_PartnerContext.sslobject_class = _PartnerObject


class PeerCertProtocol(HttpToolsProtocol):
    """HTTP over TLS that tells the application which certificate the other side holds.

    ``scope["state"]["peer_der"]`` is the certificate in DER, or None on a connection without one; it is there for
    every request of the connection, and nothing that the other side sends can set it. It is a
    presented certificate, not a permission: ``party_of`` has to be asked on each request.

    ``app_state`` is not a public attribute of uvicorn, whose version is therefore pinned.
    """

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the certificate from the transport before the first byte of a request is read."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True) if connection is not None else None
        # a copy: the original belongs to all connections
        self.app_state = {**self.app_state, "peer_der": der}
