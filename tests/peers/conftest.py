"""Three nations' keyrings on the disk, and real servers on the loopback that meet them."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from relto.errors import PeerError, ReltoError
from relto.keyring.files import FileKeyring, TlsFiles
from relto.keyring.tls import Issued, ca_subject, issue_leaf
from relto.peers.tls import PeerCertProtocol, party_of, server_context

DAY_S = 24 * 3600


def present_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Nation:
    """One party: its keyring, and what an attacker who has its issuing key can make of it."""

    keyring: FileKeyring
    directory: Path

    @property
    def party(self) -> str:
        return self.keyring.party

    @property
    def files(self) -> TlsFiles:
        return self.keyring.tls_files()

    @property
    def issuer(self) -> Issued:
        key = serialization.load_pem_private_key((self.directory / "tls-ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key, x509.load_pem_x509_certificate((self.directory / "tls-ca.pem").read_bytes())

    @property
    def ca_der(self) -> bytes:
        return self.issuer[1].public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="session")
def nations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Nation]:
    made = {}
    for party in ("JPN", "PHL", "AUS"):
        directory = tmp_path_factory.mktemp(party) / "keys"
        keyring = FileKeyring.create(directory, party, now_ms=present_ms(), hostnames=["localhost", "127.0.0.1"])
        made[party] = Nation(keyring, directory)
    return made


@pytest.fixture
def files_of(tmp_path: Path) -> Callable[[Issued], TlsFiles]:
    """Write an issued key and certificate to where the TLS library can read them."""

    def write(issued: Issued) -> TlsFiles:
        path = tmp_path / f"{issued[1].serial_number}.pem"
        path.write_bytes(
            issued[0].private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + issued[1].public_bytes(serialization.Encoding.PEM)
        )
        return TlsFiles(leaf=path, ca=path)

    return write


def shifted_leaf(nation: Nation, begin_days: int, end_days: int) -> Issued:
    """A leaf of the nation that is good from and to these days from now."""
    return issue_leaf(
        nation.party,
        nation.issuer,
        now_ms=present_ms() + begin_days * DAY_S * 1000,
        lifetime_s=(end_days - begin_days) * DAY_S,
    )


def bare_ca(party: str, *, subject: x509.Name | None = None, **changes: Any) -> Issued:
    """An issuing certificate without name constraints, as a hostile partner would make it."""
    key = changes.get("key") or ec.generate_private_key(ec.SECP256R1())
    subject = subject or ca_subject(party)
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(changes.get("issuer", subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.BasicConstraints(ca=changes.get("ca", True), path_length=changes.get("path_length", 0)), critical=True
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=changes.get("digital_signature", False),
                key_cert_sign=changes.get("key_cert_sign", True),
                crl_sign=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(changes.get("signing_key", key), hashes.SHA256())
    )
    return key, certificate


def der_of(issued: Issued) -> bytes:
    return issued[1].public_bytes(serialization.Encoding.DER)


@dataclass
class Serving:
    """A running server: its address, whom it knows now, and what it told its operator."""

    url: str
    partners: MutableMapping[str, bytes]
    refusals: queue.Queue[ReltoError] = field(default_factory=queue.Queue)
    now_ms: Callable[[], int] = present_ms

    def refusal(self) -> ReltoError:
        """The next thing that the operator was told."""
        return self.refusals.get(timeout=10)

    async def app(self, scope: dict[str, Any], _receive: Any, send: Any) -> None:
        """Say who calls, or what class of refusal it is; as the real interface does."""
        if scope["type"] != "http":
            return
        try:
            der = scope["state"]["peer_der"]
            status, body = 200, party_of(der or b"", self.partners, self.now_ms()).encode()
        except PeerError as refusal:
            self.refusals.put(refusal)
            status, body = 403, refusal.peer_text.encode()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def running(app: Any, context: ssl.SSLContext | None, loop: str = "asyncio") -> Iterator[str]:
    """Run a server in a thread; give its address."""
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=PeerCertProtocol,
        loop=loop,  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        ssl_context_factory=(lambda _config, _default: context) if context else None,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    # asyncio turns Nagle's waiting off only where the protocol is named
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@contextmanager
def serving(identity: TlsFiles, partners: Mapping[str, bytes], loop: str = "asyncio") -> Iterator[Serving]:
    """Run a node's server as the product does."""
    serving = Serving("", dict(partners))
    context = server_context(identity, partners, on_refusal=serving.refusals.put)
    with running(serving.app, context, loop) as serving.url:
        yield serving
