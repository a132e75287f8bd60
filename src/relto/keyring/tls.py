"""X.509 certificates of one party: its own issuing certificate, and the short-lived leaf of its node.

Each party is its own root: partners pin the issuing certificate by the party's card, and no public authority plays a
part. A leaf is known by the URI ``relto://PARTY/node`` (RFC 5280, 4.2.1.6); host names are carried only for tools
that look at them. The issuing certificate is name-constrained to that URI's host (RFC 5280, 4.2.1.10), so that
already the TLS library refuses a leaf in another party's name. The constraint is a second line only: whose name a
partner's key may certify is decided in ``relto.peers.tls``, since a hostile partner issues what it likes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relto.bounds import BOUNDS
from relto.clock import SECOND_MS
from relto.envelope.card import check_party
from relto.errors import OurError

SKEW_MS = 5 * 60 * SECOND_MS  # a partner's clock may be behind ours by this much
CA_LIFETIME_S = 10 * 365 * 24 * 3600
LEAF_LIFETIME_S = 7 * 24 * 3600
EXTENDED_USAGES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)

_DNS_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_DNS_LABEL}(?:\.{_DNS_LABEL})*", re.ASCII)

Issued = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def node_uri(party: str) -> str:
    """Return the URI by which the certificate of a party's node names it.

    Raises:
        MalformedError: ``party`` is not a party's id.
    """
    return f"relto://{check_party(party)}/node"


def ca_subject(party: str) -> x509.Name:
    """Return the one subject that a party's issuing certificate may carry: ``CN=PARTY``."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, check_party(party))])


def issue_ca(party: str, *, now_ms: int, lifetime_s: int = CA_LIFETIME_S) -> Issued:
    """Make a party's issuing key (P-256) and its self-signed certificate.

    It may issue leaves and no further authorities (path length 0), for the URI host PARTY only.

    Raises:
        MalformedError: ``party`` is not a party's id.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = ca_subject(party)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = _builder(subject, subject, key, now_ms, _instant(now_ms + lifetime_s * SECOND_MS))
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=[x509.UniformResourceIdentifier(party)], excluded_subtrees=None),
            critical=True,
        )
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    return key, builder.sign(key, hashes.SHA256())


def issue_leaf(party: str, issuer: Issued, *, now_ms: int, lifetime_s: int, hostnames: Sequence[str] = ()) -> Issued:
    """Make a fresh key (P-256) and certificate for the party's node, for TLS client and server alike.

    Valid from five minutes before ``now_ms``; it never outlives its issuer.

    Args:
        party: whose node it is; becomes the URI ``relto://PARTY/node``.
        issuer: the party's issuing key and certificate.
        now_ms: the instant of issue.
        lifetime_s: seconds from ``now_ms`` to the end of validity.
        hostnames: DNS names and IP addresses to name beside the URI.

    Raises:
        OurError: the issuing certificate is over, or a host name is none.
        MalformedError: ``party`` is not a party's id.
    """
    ca_key, ca = issuer
    end = min(_instant(now_ms + lifetime_s * SECOND_MS), ca.not_valid_after_utc)
    if end <= _instant(now_ms):
        raise OurError(
            f"no certificate can be issued that ends at {end.isoformat()}.",
            field="tls",
            remedy="Ask for a longer lifetime; if the issuing certificate itself is over, make a new keyring.",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.UniformResourceIdentifier(node_uri(party)), *(_host_name(name) for name in hostnames)]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{party} node")])
    ca_identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _builder(subject, ca.subject, key, now_ms, end)
    builder = (
        builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(EXTENDED_USAGES), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False)
    )
    return key, builder.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now_ms: int, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_instant(now_ms - SKEW_MS))
        .not_valid_after(end)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _instant(instant_ms: int) -> datetime:
    # X.509 knows no fractions of a second
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant_ms // SECOND_MS)


def _host_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if _DNS_NAME.fullmatch(name.lower()) is None:
        raise OurError(
            f"{name[: BOUNDS.text_chars]!r} is neither a DNS name nor an IP address.",
            field="hostnames",
            remedy="Write it as node.example.org or 192.0.2.1.",
        )
    return x509.DNSName(name.lower())
