"""Who may connect: real TLS on the loopback, every way that is wrong, and what each operator is told."""

from __future__ import annotations

import asyncio
import queue
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from relto.errors import (
    ExpiredError,
    MalformedError,
    OurError,
    PeerError,
    SignatureError,
    TooLargeError,
    UnknownPartyError,
)
from relto.keyring.files import TlsFiles
from relto.keyring.tls import Issued, issue_ca, issue_leaf
from relto.peers.https import PeerClient, RefusedError
from relto.peers.tls import (
    add_partner,
    check_ca,
    client_context,
    load_identity,
    party_of,
    server_context,
)
from tests.peers.conftest import (
    DAY_S,
    Nation,
    Serving,
    bare_ca,
    der_of,
    present_ms,
    running,
    serving,
    shifted_leaf,
)

FilesOf = Callable[[Issued], TlsFiles]
Nations = dict[str, Nation]


def call(url: str, nation: Nation, files: TlsFiles) -> bytes:
    """One request to a nation's server with the given certificate."""
    context = client_context(files, nation.party, nation.ca_der)
    with PeerClient(nation.party, url, context, timeout_s=10) as client:
        return client.get("/whoami")


def call_by(url: str, context: ssl.SSLContext) -> bytes:
    """One request with a context of the test's own making."""
    with PeerClient("JPN", url, context, timeout_s=10) as client:
        return client.get("/whoami")


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def open_japan(nations: Nations, request: pytest.FixtureRequest) -> Iterator[Serving]:
    partners = {party: nations[party].ca_der for party in ("PHL", "AUS")}
    with serving(nations["JPN"].files, partners, request.param) as server:
        yield server


@pytest.fixture
def japan(open_japan: Serving) -> Serving:
    """Japan's server, which knows the Philippines and Australia; its operator has read all so far."""
    with open_japan.refusals.mutex:
        open_japan.refusals.queue.clear()
    return open_japan


class TestServerMeets:
    """Japan's server meets all kinds of clients."""

    def test_partners_each_under_their_own_name(self, japan: Serving, nations: Nations) -> None:
        for party in ("PHL", "AUS", "PHL"):
            assert call(japan.url, nations["JPN"], nations[party].files) == party.encode()
        assert japan.refusals.empty()

    def test_two_connections_at_once_are_not_mixed_up(self, japan: Serving, nations: Nations) -> None:
        clients = {
            party: PeerClient(
                "JPN",
                japan.url,
                client_context(nations[party].files, "JPN", nations["JPN"].ca_der),
                timeout_s=10,
            )
            for party in ("PHL", "AUS")
        }
        for party in ("PHL", "AUS", "AUS", "PHL", "PHL", "AUS"):
            assert clients[party].get("/whoami") == party.encode()
        for client in clients.values():
            client.close()

    def test_no_certificate(self, japan: Serving, nations: Nations) -> None:
        context = ssl.create_default_context(cadata=nations["JPN"].ca_der)
        with pytest.raises(OurError, match="JPN wants a certificate and got none from us"):
            call_by(japan.url, context)
        refusal = japan.refusal()
        assert isinstance(refusal, UnknownPartyError)
        assert "no certificate" in refusal.reason

    def test_certificate_of_a_foreign_authority(self, japan: Serving, nations: Nations, files_of: FilesOf) -> None:
        foreign = issue_ca("PHL", now_ms=present_ms())  # right name, other key
        leaf = issue_leaf("PHL", foreign, now_ms=present_ms(), lifetime_s=DAY_S)
        with pytest.raises(OurError, match="JPN refuses our certificate"):
            call(japan.url, nations["JPN"], files_of(leaf))
        assert isinstance(japan.refusal(), (UnknownPartyError, SignatureError))

    def test_certificate_of_an_unknown_party(self, japan: Serving, nations: Nations, files_of: FilesOf) -> None:
        foreign = issue_ca("USA", now_ms=present_ms())
        leaf = issue_leaf("USA", foreign, now_ms=present_ms(), lifetime_s=DAY_S)
        with pytest.raises(OurError, match="it does not know our issuing certificate"):
            call(japan.url, nations["JPN"], files_of(leaf))
        refusal = japan.refusal()
        assert isinstance(refusal, UnknownPartyError)
        assert "no pinned partner" in refusal.reason
        assert "newest card" in refusal.remedy

    def test_expired_certificate(self, japan: Serving, nations: Nations, files_of: FilesOf) -> None:
        with pytest.raises(OurError, match="refuses our certificate: it is over") as told:
            call(japan.url, nations["JPN"], files_of(shifted_leaf(nations["PHL"], -3, -1)))
        assert "Renew it" in told.value.remedy
        refusal = japan.refusal()
        assert isinstance(refusal, ExpiredError)
        assert "is over" in refusal.reason

    def test_certificate_not_yet_valid(self, japan: Serving, nations: Nations, files_of: FilesOf) -> None:
        with pytest.raises(OurError, match="refuses our certificate"):
            call(japan.url, nations["JPN"], files_of(shifted_leaf(nations["PHL"], 1, 3)))
        refusal = japan.refusal()
        assert isinstance(refusal, SignatureError)
        assert "not valid yet" in refusal.reason
        assert "clocks" in refusal.remedy

    def test_partners_own_constrained_authority_in_anothers_name(
        self, japan: Serving, nations: Nations, files_of: FilesOf
    ) -> None:
        leaf = issue_leaf("AUS", nations["PHL"].issuer, now_ms=present_ms(), lifetime_s=DAY_S)
        with pytest.raises(OurError, match="refuses our certificate"):
            call(japan.url, nations["JPN"], files_of(leaf))
        refusal = japan.refusal()
        assert isinstance(refusal, SignatureError)
        assert "name that its issuer may not give" in refusal.reason

    def test_tls_1_2_client(self, japan: Serving, nations: Nations) -> None:
        context = ssl.create_default_context(cadata=nations["JPN"].ca_der)
        context.load_cert_chain(nations["PHL"].files.leaf)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(MalformedError, match=r"does not speak TLS 1\.3"):
            call_by(japan.url, context)
        assert "does not speak TLS 1.3" in japan.refusal().reason

    def test_plain_http_client(self, japan: Serving) -> None:
        host, port = httpx.URL(japan.url).host, httpx.URL(japan.url).port
        with socket.create_connection((host, port), timeout=10) as plain:
            plain.sendall(b"GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n")
            assert plain.recv(1000) == b""  # hung up on, and not answered
        assert "speaks HTTP without TLS" in japan.refusal().reason

    def test_client_that_does_not_take_our_certificate(self, japan: Serving, nations: Nations) -> None:
        with pytest.raises(PeerError, match="no pinned partner"):
            call(japan.url, nations["PHL"], nations["PHL"].files)
        refusal = japan.refusal()
        assert isinstance(refusal, OurError)
        assert "A client refuses our certificate" in refusal.reason


def test_partners_unconstrained_authority_in_anothers_name(nations: Nations, files_of: FilesOf) -> None:
    hostile = bare_ca("PHL")
    leaf = issue_leaf("AUS", hostile, now_ms=present_ms(), lifetime_s=DAY_S)
    partners = {"PHL": der_of(hostile), "AUS": nations["AUS"].ca_der}
    with serving(nations["JPN"].files, partners) as japan:
        with pytest.raises(RefusedError) as told:
            call(japan.url, nations["JPN"], files_of(leaf))
        assert told.value.status == 403
        assert "'signature'" in told.value.reason
        refusal = japan.refusal()
    assert isinstance(refusal, SignatureError)
    assert "names AUS, but was issued by 'CN=PHL'" in refusal.reason


def test_removed_partner_on_an_open_connection(nations: Nations) -> None:
    with serving(nations["JPN"].files, {"PHL": nations["PHL"].ca_der}) as japan:
        context = client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der)
        with PeerClient("JPN", japan.url, context, timeout_s=10) as client:
            assert client.get("/whoami") == b"PHL"
            del japan.partners["PHL"]
            with pytest.raises(RefusedError, match="'unknown party'"):
                client.get("/whoami")


def test_certificate_that_expires_on_an_open_connection(nations: Nations) -> None:
    with serving(nations["JPN"].files, {"PHL": nations["PHL"].ca_der}) as japan:
        context = client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der)
        with PeerClient("JPN", japan.url, context, timeout_s=10) as client:
            assert client.get("/whoami") == b"PHL"
            japan.now_ms = lambda: present_ms() + 8 * DAY_S * 1000
            with pytest.raises(RefusedError, match="'expired'"):
                client.get("/whoami")


def test_server_without_partners_refuses_everybody(nations: Nations) -> None:
    with serving(nations["JPN"].files, {}) as japan, pytest.raises(OurError, match="refuses our certificate"):
        call(japan.url, nations["JPN"], nations["PHL"].files)


def test_new_partner_is_let_in_without_a_restart(nations: Nations) -> None:
    serving_now = Serving("", {})
    context = server_context(nations["JPN"].files, {}, on_refusal=serving_now.refusals.put)
    with running(serving_now.app, context) as url:
        with pytest.raises(OurError, match="refuses our certificate"):
            call(url, nations["JPN"], nations["PHL"].files)
        add_partner(context, "PHL", nations["PHL"].ca_der)
        serving_now.partners["PHL"] = nations["PHL"].ca_der
        assert call(url, nations["JPN"], nations["PHL"].files) == b"PHL"


def test_renewed_certificate_is_served_without_a_restart(nations: Nations, files_of: FilesOf) -> None:
    serving_now = Serving("", {"PHL": nations["PHL"].ca_der})
    old = files_of(shifted_leaf(nations["JPN"], -3, -1))
    context = server_context(old, serving_now.partners, on_refusal=serving_now.refusals.put)
    with running(serving_now.app, context) as url:
        with pytest.raises(ExpiredError, match="JPN presents a certificate that is over"):
            call(url, nations["JPN"], nations["PHL"].files)
        load_identity(context, files_of(shifted_leaf(nations["JPN"], 0, 1)))
        assert call(url, nations["JPN"], nations["PHL"].files) == b"PHL"


def test_connection_without_tls_has_no_certificate(nations: Nations) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.put(scope["state"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with running(app, None) as url:
        httpx.get(url.replace("https", "http"), headers={"peer_der": "x"}, trust_env=False)
    assert seen.get(timeout=10) == {"peer_der": None}


def test_refused_client_cannot_resume_a_session(nations: Nations) -> None:
    """No ticket is given out, so no connection comes about without a certificate being verified."""
    with serving(nations["JPN"].files, {"PHL": nations["PHL"].ca_der}) as japan:
        context = client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der)
        url = httpx.URL(japan.url)
        with (
            socket.create_connection((url.host, url.port), timeout=10) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(b"GET /whoami HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            while connection.recv(4096):
                pass
            assert connection.session is not None
            assert not connection.session.has_ticket


class TestClientMeets:
    """The Philippines' client calls Japan and meets all kinds of servers."""

    @staticmethod
    def call(nations: Nations, identity: TlsFiles, ca_der: bytes | None = None) -> bytes:
        with serving(identity, {"PHL": nations["PHL"].ca_der}) as server:
            context = client_context(nations["PHL"].files, "JPN", ca_der or nations["JPN"].ca_der)
            try:
                return call_by(server.url, context)
            except PeerError:
                assert not any(isinstance(one, PeerError) for one in server.refusals.queue)
                raise

    def test_the_partner(self, nations: Nations) -> None:
        assert self.call(nations, nations["JPN"].files) == b"PHL"

    def test_another_partys_server(self, nations: Nations) -> None:
        with pytest.raises(UnknownPartyError, match="JPN presents a certificate that no pinned partner"):
            self.call(nations, nations["AUS"].files)

    def test_foreign_authority_of_the_same_name(self, nations: Nations, files_of: FilesOf) -> None:
        leaf = issue_leaf("JPN", issue_ca("JPN", now_ms=present_ms()), now_ms=present_ms(), lifetime_s=DAY_S)
        with pytest.raises((UnknownPartyError, SignatureError)):
            self.call(nations, files_of(leaf))

    def test_right_authority_but_another_name(self, nations: Nations, files_of: FilesOf) -> None:
        authority = bare_ca("JPN")
        leaf = issue_leaf("AUS", authority, now_ms=present_ms(), lifetime_s=DAY_S)
        with pytest.raises(SignatureError, match="names AUS, while JPN was called"):
            self.call(nations, files_of(leaf), der_of(authority))

    def test_right_authority_but_another_name_over_asyncio(self, nations: Nations, files_of: FilesOf) -> None:
        authority = bare_ca("JPN")
        leaf = issue_leaf("AUS", authority, now_ms=present_ms(), lifetime_s=DAY_S)
        context = client_context(nations["PHL"].files, "JPN", der_of(authority))

        async def connect(url: httpx.URL) -> None:
            await asyncio.open_connection(url.host, url.port, ssl=context, server_hostname="node")

        with (
            serving(files_of(leaf), {"PHL": nations["PHL"].ca_der}) as server,
            pytest.raises(ssl.SSLCertVerificationError, match="names AUS, while JPN was called"),
        ):
            asyncio.run(connect(httpx.URL(server.url)))

    def test_certificate_for_another_purpose(self, nations: Nations, files_of: FilesOf) -> None:
        with pytest.raises(SignatureError, match="another purpose"):
            self.call(nations, files_of(leaf_with(nations["JPN"], usages=[CLIENT_ONLY])))

    def test_expired(self, nations: Nations, files_of: FilesOf) -> None:
        with pytest.raises(ExpiredError, match="JPN presents a certificate that is over") as told:
            self.call(nations, files_of(shifted_leaf(nations["JPN"], -3, -1)))
        assert "renew it" in told.value.remedy

    def test_not_yet_valid(self, nations: Nations, files_of: FilesOf) -> None:
        with pytest.raises(SignatureError, match="JPN presents a certificate that is not valid yet"):
            self.call(nations, files_of(shifted_leaf(nations["JPN"], 1, 3)))

    def test_tls_1_2_server(self, nations: Nations) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(nations["JPN"].files.leaf)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as background:
            meeting = background.submit(lambda: context.wrap_socket(listener.accept()[0], server_side=True))
            with pytest.raises(MalformedError, match=r"JPN does not speak TLS 1\.3"):
                call_by(
                    f"https://127.0.0.1:{listener.getsockname()[1]}",
                    client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der),
                )
            assert isinstance(meeting.exception(timeout=10), ssl.SSLError)

    def test_server_without_tls(self, nations: Nations) -> None:
        with running(Serving("", {}).app, None) as url, pytest.raises(MalformedError, match=r"TLS 1\.3"):
            call_by(url, client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der))

    def test_public_authorities_are_not_loaded(self, nations: Nations) -> None:
        context = client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der)
        assert context.cert_store_stats()["x509"] == 1


CLIENT_ONLY = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_ONLY = x509.oid.ExtendedKeyUsageOID.SERVER_AUTH


def leaf_with(
    nation: Nation, *, usages: list[x509.ObjectIdentifier] | None = None, uris: list[str] | None = None
) -> Issued:
    """A certificate signed by the nation's own key, of another make than the product's."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key, ca = nation.issuer
    names = uris if uris is not None else [f"relto://{nation.party}/node"]
    return key, (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made by hand")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(
            x509.SubjectAlternativeName(
                [*(x509.UniformResourceIdentifier(uri) for uri in names), x509.DNSName("node.example")]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(usages if usages is not None else [CLIENT_ONLY, SERVER_ONLY]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(ca_key, ca.signature_hash_algorithm)
    )


class TestPartyOf:
    def test_own_authority(self, nations: Nations) -> None:
        partners = {party: nation.ca_der for party, nation in nations.items()}
        for party, nation in nations.items():
            assert party_of(der_of(shifted_leaf(nation, 0, 1)), partners, present_ms()) == party

    def test_no_partner_any_more(self, nations: Nations) -> None:
        leaf = der_of(shifted_leaf(nations["PHL"], 0, 1))
        partners = {party: nation.ca_der for party, nation in nations.items()}
        assert party_of(leaf, partners, present_ms()) == "PHL"
        del partners["PHL"]
        with pytest.raises(UnknownPartyError, match="PHL, which is no partner"):
            party_of(leaf, partners, present_ms())

    def test_other_authority_after_the_partner_changed_it(self, nations: Nations) -> None:
        leaf = der_of(shifted_leaf(nations["PHL"], 0, 1))
        assert party_of(leaf, {"PHL": nations["PHL"].ca_der}, present_ms()) == "PHL"
        newer = der_of(issue_ca("PHL", now_ms=present_ms()))
        with pytest.raises(SignatureError, match="not under PHL's issuing certificate"):
            party_of(leaf, {"PHL": newer}, present_ms())

    @pytest.mark.parametrize("days", [-400, 400])
    def test_outside_its_time(self, nations: Nations, days: int) -> None:
        leaf = der_of(shifted_leaf(nations["PHL"], 0, 1))
        error, told = (ExpiredError, "was over at") if days > 0 else (SignatureError, "is not valid before")
        with pytest.raises(error, match=told):
            party_of(leaf, {"PHL": nations["PHL"].ca_der}, present_ms() + days * DAY_S * 1000)

    def test_after_the_time_of_its_issuer(self) -> None:
        now_ms = present_ms()
        short = issue_ca("PHL", now_ms=now_ms, lifetime_s=DAY_S)
        long = (short[0], issue_ca("PHL", now_ms=now_ms)[1])  # same key, as if it had longer
        leaf = der_of(issue_leaf("PHL", long, now_ms=now_ms, lifetime_s=9 * DAY_S))
        assert party_of(leaf, {"PHL": der_of(short)}, now_ms) == "PHL"
        with pytest.raises(ExpiredError):
            party_of(leaf, {"PHL": der_of(short)}, now_ms + 2 * DAY_S * 1000)

    @pytest.mark.parametrize("usages", [[CLIENT_ONLY], [SERVER_ONLY], [x509.oid.ExtendedKeyUsageOID.CODE_SIGNING]])
    def test_made_for_something_else(self, nations: Nations, usages: list[x509.ObjectIdentifier]) -> None:
        leaf = der_of(leaf_with(nations["PHL"], usages=usages))
        with pytest.raises(SignatureError, match="not made for TLS"):
            party_of(leaf, {"PHL": nations["PHL"].ca_der}, present_ms())

    def test_issuing_certificate_itself(self, nations: Nations) -> None:
        with pytest.raises(UnknownPartyError, match="names \\[\\] where one"):
            party_of(nations["PHL"].ca_der, {"PHL": nations["PHL"].ca_der}, present_ms())

    @pytest.mark.parametrize(
        "uris",
        [
            [],
            ["relto://PHL/node", "relto://JPN/node"],
            ["relto://PHL/node", "relto://PHL/node"],
            ["relto://PHL/node", "https://example.org/"],
            ["relto://phl/node"],
            ["relto://PHL/node/"],
            ["relto://PHL/admin"],
            ["relto://PHL:443/node"],
            ["relto://me@PHL/node"],
            ["relto://PHL/node?x"],
            ["https://PHL/node"],
            ["RELTO://PHL/node"],
            ["relto://[PHL/node"],
            ["relto:///node"],
        ],
    )
    def test_names_that_are_not_one_node(self, nations: Nations, uris: list[str]) -> None:
        leaf = der_of(leaf_with(nations["PHL"], uris=uris))
        partners = {party: nation.ca_der for party, nation in nations.items()}
        with pytest.raises(UnknownPartyError, match="where one name relto://PARTY/node has to stand"):
            party_of(leaf, partners, present_ms())

    def test_bytes_that_are_no_certificate(self, nations: Nations) -> None:
        good = der_of(shifted_leaf(nations["PHL"], 0, 1))
        for broken in (b"", b"x", good[:-1], good + b"\x00", nations["PHL"].issuer[1].public_bytes(Encoding.PEM)):
            with pytest.raises(MalformedError, match=r"not an X\.509 certificate"):
                party_of(broken, {"PHL": nations["PHL"].ca_der}, present_ms())
        with pytest.raises(TooLargeError):
            party_of(good + bytes(8192), {"PHL": nations["PHL"].ca_der}, present_ms())

    def test_every_flipped_byte_of_what_is_signed_is_refused(self, nations: Nations) -> None:
        issued = shifted_leaf(nations["PHL"], 0, 1)
        good, signed = der_of(issued), issued[1].tbs_certificate_bytes
        begin = good.index(signed)
        partners = {party: nation.ca_der for party, nation in nations.items()}
        for at in range(len(good)):
            flipped = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
            try:
                named = party_of(flipped, partners, present_ms())
            except PeerError:
                continue
            assert not begin <= at < begin + len(signed), f"byte {at} can be changed, and it is still {named}'s"


class TestIssuingCertificateOfAPartner:
    def test_own_make_and_bare_one(self, nations: Nations) -> None:
        check_ca("PHL", nations["PHL"].ca_der)
        check_ca("PHL", der_of(bare_ca("PHL")))

    def test_of_another_party(self, nations: Nations) -> None:
        with pytest.raises(MalformedError, match="issued to 'CN=AUS'"):
            check_ca("PHL", nations["AUS"].ca_der)

    @pytest.mark.parametrize(
        "changes",
        [
            {"ca": False, "path_length": None},
            {"path_length": None},
            {"path_length": 1},
            {"key_cert_sign": False},
            {"digital_signature": True},
            {"key": ec.generate_private_key(ec.SECP192R1())},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_that_may_do_more(self, changes: dict[str, Any]) -> None:
        with pytest.raises(MalformedError, match="may do other than issue"):
            check_ca("PHL", der_of(bare_ca("PHL", **changes)))

    def test_that_hangs_from_another(self) -> None:
        other = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ROOT")])
        with pytest.raises(MalformedError, match="by 'CN=ROOT'"):
            check_ca("PHL", der_of(bare_ca("PHL", issuer=other)))

    def test_that_another_key_signed(self) -> None:
        with pytest.raises(SignatureError, match="own signature"):
            check_ca("PHL", der_of(bare_ca("PHL", signing_key=ec.generate_private_key(ec.SECP256R1()))))

    def test_leaf_in_its_place(self, nations: Nations) -> None:
        with pytest.raises(PeerError):
            check_ca("PHL", der_of(shifted_leaf(nations["PHL"], 0, 1)))

    def test_is_refused_before_it_enters_a_context(self, nations: Nations) -> None:
        context = client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der)
        with pytest.raises(MalformedError):
            add_partner(context, "AUS", nations["PHL"].ca_der)
        assert context.cert_store_stats()["x509"] == 1


def test_unusable_certificate_file(nations: Nations, files_of: FilesOf) -> None:
    mixed = files_of((nations["PHL"].issuer[0], shifted_leaf(nations["PHL"], 0, 1)[1]))
    with pytest.raises(OurError, match="cannot be used as TLS key and certificate"):
        client_context(mixed, "JPN", nations["JPN"].ca_der)
    with pytest.raises(OurError, match="cannot be used"):
        server_context(TlsFiles(mixed.leaf.parent / "no", mixed.ca), {}, on_refusal=lambda _: None)
