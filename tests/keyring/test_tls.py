"""The certificates that a party issues for itself, held against an independent path validation."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relto.errors import MalformedError, OurError
from relto.keyring.tls import Issued, issue_ca, issue_leaf, node_uri

NOW_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def issuer() -> Issued:
    return issue_ca("PHL", now_ms=NOW_MS)


def names(issued: Issued) -> x509.SubjectAlternativeName:
    return issued[1].extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_leaf_names_the_node_and_its_hosts(issuer: Issued) -> None:
    leaf = issue_leaf(
        "PHL", issuer, now_ms=NOW_MS, lifetime_s=DAY_S, hostnames=["Node.Example.org", "192.0.2.7", "2001:db8::7"]
    )
    found = names(leaf)
    assert found.get_values_for_type(x509.UniformResourceIdentifier) == ["relto://PHL/node"]
    assert found.get_values_for_type(x509.DNSName) == ["node.example.org"]
    assert found.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("192.0.2.7"),
        ipaddress.ip_address("2001:db8::7"),
    ]
    leaf[1].verify_directly_issued_by(issuer[1])


def test_validity_begins_five_minutes_before_now(issuer: Issued) -> None:
    leaf = issue_leaf("PHL", issuer, now_ms=NOW_MS + 999, lifetime_s=DAY_S)[1]
    for certificate in (issuer[1], leaf):
        assert certificate.not_valid_before_utc == NOW - dt.timedelta(minutes=5)
    assert leaf.not_valid_after_utc == NOW + dt.timedelta(days=1)
    assert issuer[1].not_valid_after_utc == NOW + dt.timedelta(days=3650)


def test_leaf_never_outlives_its_issuer() -> None:
    issuer = issue_ca("PHL", now_ms=NOW_MS, lifetime_s=DAY_S)
    leaf = issue_leaf("PHL", issuer, now_ms=NOW_MS, lifetime_s=9 * DAY_S)[1]
    assert leaf.not_valid_after_utc == issuer[1].not_valid_after_utc
    with pytest.raises(OurError, match="no certificate can be issued that ends at 2026-11-24"):
        issue_leaf("PHL", issuer, now_ms=NOW_MS + DAY_S * 1000, lifetime_s=DAY_S)


@pytest.mark.parametrize("lifetime_s", [0, -1])
def test_lifetime_is_positive(issuer: Issued, lifetime_s: int) -> None:
    with pytest.raises(OurError, match="no certificate can be issued"):
        issue_leaf("PHL", issuer, now_ms=NOW_MS, lifetime_s=lifetime_s)


def test_each_leaf_has_a_key_and_number_of_its_own(issuer: Issued) -> None:
    leaves = [issue_leaf("PHL", issuer, now_ms=NOW_MS, lifetime_s=DAY_S) for _ in range(4)]
    assert len({leaf[1].serial_number for leaf in leaves}) == 4
    assert len({leaf[0].private_numbers().private_value for leaf in leaves}) == 4


def test_issuer_may_do_nothing_but_issue(issuer: Issued) -> None:
    extensions = issuer[1].extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature, usage.key_agreement) == (True, False, False)
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.UniformResourceIdentifier("PHL")]
    assert isinstance(issuer[0].curve, ec.SECP256R1)


@pytest.mark.parametrize("party", ["", "phl", "P", "PHL/admin", "A" * 17, "1PH", "PHL\n"])
def test_party_that_is_none(party: str) -> None:
    with pytest.raises(MalformedError, match="is not the id of a party"):
        node_uri(party)
    with pytest.raises(MalformedError):
        issue_ca(party, now_ms=NOW_MS)


@pytest.mark.parametrize("name", ["", "a b", "*.example.org", "-a.org", "a..org", "x" * 64, "a/b", "a.org\n", "ä.org"])
def test_host_name_that_is_none(issuer: Issued, name: str) -> None:
    with pytest.raises(OurError, match="neither a DNS name nor an IP address") as told:
        issue_leaf("PHL", issuer, now_ms=NOW_MS, lifetime_s=DAY_S, hostnames=[name])
    assert told.value.field == "hostnames"


@pytest.mark.parametrize(("party", "verifies"), [("PHL", True), ("JPN", False), ("PHL-2", False)])
def test_strict_library_takes_the_partys_own_name_only(tmp_path: Path, party: str, verifies: bool) -> None:
    """The name constraint binds in OpenSSL, under its strict rules, before any of our own checks."""
    now_ms = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    issuer = issue_ca("PHL", now_ms=now_ms)
    key, certificate = issue_leaf(party, issuer, now_ms=now_ms, lifetime_s=DAY_S, hostnames=["node.example"])
    path = tmp_path / "leaf.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=issuer[1].public_bytes(Encoding.DER))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    if verifies:
        assert handshake(client, server) == "TLSv1.3"
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            handshake(client, server)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """Meet in memory; return the protocol."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    calling = client.wrap_bio(to_client, to_server, server_hostname="node.example")
    called = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (calling, called):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return calling.version()
