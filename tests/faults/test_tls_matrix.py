"""Every way in which a node's TLS can be wrong, as client and as server, against real nodes.

In each cell a page lies ready, and nothing of it is stored. The operator of the node that refuses reads the reason
and a remedy; the refused side is told what it needs to mend its own end, and no more.
"""

from __future__ import annotations

import base64
import re
import socket
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from relto.api.exchange import exchange_app
from relto.clock import FixedClock, parse_utc
from relto.envelope.card import sign_card
from relto.envelope.keys import fingerprint
from relto.errors import ReltoError
from relto.exercise.network import HOST, Network, Place, found_node, free_ports, pair_all
from relto.keyring.files import TLS_LEAF, FileKeyring
from relto.keyring.tls import Issued, issue_ca, issue_leaf
from relto.node import pair
from relto.node.home import DATABASE, KEYS, SETTINGS, Settings
from relto.node.node import Node
from relto.node.run import Runner, pull, share
from relto.peers.https import PeerClient
from relto.peers.tls import client_context
from tests.node.conftest import START, agreement, publish
from tests.peers.conftest import DAY_S, Nation, Serving, bare_ca, der_of, present_ms, running, shifted_leaf

PARTIES = ("USA", "JPN", "PHL", "AUS")
PATIENCE_S = 20
Logs = list[MutableMapping[str, Any]]


@dataclass
class World:
    """Four nodes. Australia is hostile: the issuing certificate on its card may name anybody."""

    network: Network
    hostile: Issued

    def nation(self, party: str) -> Nation:
        keys = self.network.places[party].home / KEYS
        return Nation(FileKeyring.open(keys), keys)

    def client(self, party: str, peer: str, port: int | None = None) -> PeerClient:
        """As the product makes it, with the certificate that lies in the party's keyring now."""
        node = self.network.nodes[party]
        context = client_context(node.keyring.tls_files(), peer, node.partner(peer).tls_ca_der())
        return self.client_by(context, peer, port)

    def client_by(self, context: ssl.SSLContext, peer: str, port: int | None = None) -> PeerClient:
        return PeerClient(peer, f"https://{HOST}:{port or self.network.places[peer].port}", context, PATIENCE_S)

    @contextmanager
    def presenting(self, party: str, issued: Issued | None) -> Iterator[None]:
        """With another certificate in a party's keyring; None leaves its own there."""
        path = self.network.places[party].home / KEYS / TLS_LEAF
        own = path.read_bytes()
        if issued is not None:
            path.write_bytes(pem(issued))
        try:
            yield
        finally:
            path.write_bytes(own)

    def stored(self) -> list[Any]:
        """Everything that a pull could move, of all nodes."""
        found: list[Any] = []
        for place in self.network.places.values():
            with closing(sqlite3.connect(place.home / DATABASE, timeout=30)) as connection:
                for query in (
                    "select count(*), max(seq) from item",
                    "select count(*) from arrival",
                    "select peer, next_n, chain, receipted_n from inbound order by peer",
                    "select recipient, next_n, receipted_n from stream order by recipient",
                ):
                    found.append(connection.execute(query).fetchall())
        return found


def pem(issued: Issued) -> bytes:
    key, certificate = issued
    own = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return own + certificate.public_bytes(Encoding.PEM)


def card_with(node: Node, ca: Issued, version: int, url: str) -> bytes:
    """A node's next card, with an issuing certificate that another program made."""
    card = node.keyring.card(node.settings.name, url, version, node.now_ms(), 30 * DAY_S)
    tls_ca = base64.b64encode(der_of(ca)).decode()
    return sign_card(msgspec.structs.replace(card, tls_ca=tls_ca), node.keyring.authority())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    network = Network(tmp_path_factory.mktemp("matrix"), PARTIES, FixedClock(parse_utc(START)))
    network.conclude([("all.toml", agreement("ALL", PARTIES))])
    made = World(network, bare_ca("AUS"))
    hostile = network.nodes["AUS"]
    card = card_with(hostile, made.hostile, 2, network.places["AUS"].url)
    for party in PARTIES[:-1]:
        pair.accept(network.nodes[party], card, fingerprint(hostile.keyring.authority_public))
    network.serve()
    for node in network.nodes.values():
        share(node)
    for number, node in enumerate(network.nodes.values()):
        publish(node, number)
        share(node)
    yield made
    # what was refused all the time goes at once with the right certificate
    assert network.pull("JPN", "USA") == network.pull("USA", "JPN") == 1
    network.close()


def expired(world: World, party: str) -> Issued:
    return shifted_leaf(world.nation(party), -3, -1)


def not_yet_valid(world: World, party: str) -> Issued:
    return shifted_leaf(world.nation(party), 1, 3)


def wrong_ca(world: World, party: str) -> Issued:
    """The right names all over, and another key."""
    return leaf(party, issue_ca(party, now_ms=present_ms()))


def stranger(world: World, party: str) -> Issued:
    return leaf("KOR", issue_ca("KOR", now_ms=present_ms()))


def wrong_name(world: World, party: str) -> Issued:
    """Another party's name under the party's own issuing certificate, which may not give it."""
    return leaf("PHL", world.nation(party).issuer)


def hostile_name(world: World, party: str) -> Issued:
    """Another party's name under an issuing certificate that may give any."""
    return leaf("PHL", world.hostile)


def leaf(party: str, issuer: Issued) -> Issued:
    return issue_leaf(party, issuer, now_ms=present_ms(), lifetime_s=DAY_S)


# --- as client ---


@dataclass(frozen=True, slots=True)
class Cell:
    """What is presented, what that side's operator reads, what the refusing side's does, and what only the latter."""

    made: Callable[[World, str], Issued]
    told: str
    logged: str
    kept_back: tuple[str, ...] = ()
    party: str = "JPN"


AS_CLIENT = {
    "expired": Cell(
        expired,
        r"USA refuses our certificate: it is over\. Renew it from the keyring; compare the clocks",
        r"A client presents a certificate that is over\. Ask the partner to renew it; compare the clocks",
    ),
    "not yet valid": Cell(
        not_yet_valid,
        r"USA refuses our certificate\. Compare the clocks of both nodes; ask the partner what its log says\.",
        r"A client presents a certificate that is not valid yet\. Compare the clocks of both nodes\.",
        ("valid",),
    ),
    "wrong CA": Cell(
        wrong_ca,
        r"USA refuses our certificate: it does not know our issuing certificate\. Send that partner our newest card",
        r"A client presents a certificate that no pinned partner's issuing certificate signed\. If it is a partner",
        ("pinned", "signed"),
    ),
    "stranger": Cell(
        stranger,
        r"USA refuses our certificate: it does not know our issuing certificate\. Send that partner our newest card",
        r"A client presents a certificate that no pinned partner's issuing certificate signed\. If it is a partner",
        ("pinned", "signed"),
    ),
    "wrong name": Cell(
        wrong_name,
        r"USA refuses our certificate\. Compare the clocks of both nodes; ask the partner what its log says\.",
        r"A client presents a certificate in a name that its issuer may not give\. Tell the partner, by another way",
        ("name", "issuer"),
    ),
    "wrong name by a hostile issuer": Cell(
        hostile_name,
        r"USA answers 403 '{\"error\":\"signature\"}' to /exchange/v1/pages\. Ask the partner .* what its log says\.",
        r"names PHL, but was issued by 'CN=AUS' and not under PHL's issuing certificate\. Tell PHL, by another way",
        ("PHL", "CN=", "issu"),
        party="AUS",
    ),
}


@pytest.mark.parametrize("name", AS_CLIENT)
def test_a_client_that_presents(world: World, name: str) -> None:
    cell = AS_CLIENT[name]
    before = world.stored()
    with capture_logs() as logs, world.presenting(cell.party, cell.made(world, cell.party)):
        error = refused(lambda: pulled(world, cell.party, world.client(cell.party, "USA")))
        check(cell, error, only_line(logs))
    assert world.stored() == before


def test_a_client_that_presents_no_certificate(world: World) -> None:
    cell = Cell(
        expired,
        r"USA wants a certificate and got none from us\. Let the client use the keyring's TLS files\.",
        r"A client presents no certificate\. Nothing to do, unless a partner complains: then it has to call with",
    )
    client_of_another_make(world, ssl.create_default_context(cadata=world.nation("USA").ca_der), cell)


def test_a_client_of_an_old_version(world: World) -> None:
    context = ssl.create_default_context(cadata=world.nation("USA").ca_der)
    context.load_cert_chain(world.nation("JPN").files.leaf)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    cell = Cell(
        expired,
        r"USA does not speak TLS 1\.3\. Check the address and the port",
        r"A client does not speak TLS 1\.3\. Check the address and the port; ask the partner whether something",
    )
    client_of_another_make(world, context, cell)


def client_of_another_make(world: World, context: ssl.SSLContext, cell: Cell) -> None:
    """The product cannot be set to do so, so a context of the test's own does, for a node that is real."""
    before = world.stored()
    with capture_logs() as logs:
        error = refused(lambda: pulled(world, "JPN", world.client_by(context, "USA")))
        check(cell, error, only_line(logs))
    assert world.stored() == before


def test_a_client_without_tls(world: World) -> None:
    before = world.stored()
    with capture_logs() as logs:
        with socket.create_connection((HOST, world.network.places["USA"].port), timeout=PATIENCE_S) as plain:
            plain.sendall(b"GET /exchange/v1/pages?after=0 HTTP/1.1\r\nhost: usa\r\n\r\n")
            assert plain.recv(1000) == b""  # told nothing
        line = only_line(logs)
    assert re.search(r"A client speaks HTTP without TLS\. Check the address: it begins with https\.", line["reason"])
    assert world.stored() == before


# --- as server ---

AS_SERVER = {
    "expired": Cell(
        expired,
        r"A client refuses our certificate: it is over\. Renew it from the keyring",
        r"USA presents a certificate that is over\. Ask the partner to renew it; compare the clocks",
        party="USA",
    ),
    "not yet valid": Cell(
        not_yet_valid,
        r"A client refuses our certificate\. Compare the clocks of both nodes",
        r"USA presents a certificate that is not valid yet\. Compare the clocks of both nodes\.",
        ("valid",),
        party="USA",
    ),
    "wrong CA": Cell(
        wrong_ca,
        r"A client refuses our certificate: it does not know our issuing certificate\. Send that partner our newest",
        r"USA presents a certificate that no pinned partner's issuing certificate signed\. If it is a partner",
        ("pinned", "signed"),
        party="USA",
    ),
    "stranger": Cell(
        stranger,
        r"A client refuses our certificate: it does not know our issuing certificate\. Send that partner our newest",
        r"USA presents a certificate that no pinned partner's issuing certificate signed\. If it is a partner",
        ("pinned", "signed"),
        party="USA",
    ),
    "wrong name": Cell(
        wrong_name,
        r"A client refuses our certificate\. Compare the clocks of both nodes; ask the partner what its log says\.",
        r"USA presents a certificate in a name that its issuer may not give\. Tell the partner, by another way",
        ("name", "issuer"),
        party="USA",
    ),
    "wrong name by a hostile issuer": Cell(
        hostile_name,
        "",  # the handshake itself was right; the client has hung up
        r"names PHL, while AUS was called\. Correct the address of that partner\.",
        party="AUS",
    ),
}


@pytest.mark.parametrize("name", AS_SERVER)
def test_a_server_that_presents(world: World, name: str) -> None:
    cell = AS_SERVER[name]
    before = world.stored()
    with capture_logs() as logs:
        with world.presenting(cell.party, cell.made(world, cell.party)), beside(world, cell.party) as port:
            error = refused(lambda: pulled(world, "JPN", world.client("JPN", cell.party, port)))
            assert isinstance(error, ReltoError)
            if cell.told:
                check(cell, str(only_line(logs)["reason"]), {"reason": str(error)})
        if not cell.told:
            assert logs == []
            assert re.search(cell.logged, str(error)), str(error)
    assert world.stored() == before


@contextmanager
def beside(world: World, party: str) -> Iterator[int]:
    """A party's node once more, at another port, with what lies in its keyring now; gives the port."""
    place = world.network.places[party]
    settings = place.home / SETTINGS
    own = settings.read_text()
    settings.write_text(re.sub(r"(?m)^port = \d+$", "port = 0", own))
    try:
        node = Node.open(place.home, clock=world.network.clock)
    finally:
        settings.write_text(own)
    runner = Runner(node, exchange_app)
    runner.serve_exchange()
    try:
        yield runner.port
    finally:
        runner.stop()


def test_a_server_that_is_another_partys(world: World) -> None:
    before = world.stored()
    port = world.network.places["PHL"].port
    with capture_logs() as logs:
        error = refused(lambda: pulled(world, "JPN", world.client("JPN", "USA", port)))
        line = only_line(logs)
    assert re.search(r"USA presents a certificate that no pinned partner's .* signed\. If it is a partner", str(error))
    assert "A client refuses our certificate" in line["reason"] and "USA" not in line["reason"]
    assert world.stored() == before


def test_a_server_of_an_old_version(world: World) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.nation("USA").files.leaf)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server_of_another_make(world, context, r"USA does not speak TLS 1\.3\. Check the address and the port")


def test_a_server_without_a_certificate(world: World) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_of_another_make(world, context, r"USA does not speak TLS 1\.3\. Check the address and the port")


def server_of_another_make(world: World, context: ssl.SSLContext, expected: str) -> None:
    """The product cannot be set to do so; the node that meets this server is real."""
    before = world.stored()
    with socket.create_server((HOST, 0)) as listener, ThreadPoolExecutor(1) as background:
        meeting = background.submit(lambda: context.wrap_socket(listener.accept()[0], server_side=True))
        error = refused(lambda: pulled(world, "JPN", world.client("JPN", "USA", listener.getsockname()[1])))
        assert isinstance(meeting.exception(PATIENCE_S), ssl.SSLError)
    assert re.search(expected, str(error)), str(error)
    assert world.stored() == before


def test_a_server_without_tls(world: World) -> None:
    before = world.stored()
    with running(Serving("", {}).app, None) as url:
        port = int(url.rpartition(":")[2])
        error = refused(lambda: pulled(world, "JPN", world.client("JPN", "USA", port)))
    assert re.search(r"USA does not go on with TLS 1\.3.*Check the address and the port", str(error)), str(error)
    assert world.stored() == before


# --- a change of the issuing certificate ---


def test_a_partners_new_issuing_certificate_is_taken_by_a_running_node(tmp_path: Path) -> None:
    ports = dict(zip(PARTIES[:2], free_ports(2), strict=True))
    nodes = {}
    for party, port in ports.items():
        place = Place(party, tmp_path / party, port, 0)
        found_node(place, Settings(party, party, port=port, poll_ms=50))
        nodes[party] = Node.open(place.home)
    urls = {party: f"https://{HOST}:{port}" for party, port in ports.items()}
    pair_all(nodes, urls)
    usa, jpn = nodes["USA"], nodes["JPN"]
    runner = Runner(usa, exchange_app)
    with ExitStack() as stack:
        stack.callback(jpn.close)
        stack.callback(runner.stop)
        runner.start()
        wait_until(lambda: outcome(jpn, urls["USA"]) == 0)
        newer = bare_ca("JPN")
        pair.accept(usa, card_with(jpn, newer, 2, urls["JPN"]), fingerprint(jpn.keyring.authority_public))
        (jpn.home / KEYS / TLS_LEAF).write_bytes(pem(leaf("JPN", newer)))
        time.sleep(0.5)  # ten rounds of the worker that looks for new partners
        found = outcome(jpn, urls["USA"])
        if isinstance(found, ReltoError):
            raise found


def outcome(node: Node, url: str) -> int | ReltoError:
    context = client_context(node.keyring.tls_files(), "USA", node.partner("USA").tls_ca_der())
    try:
        with PeerClient("USA", url, context, PATIENCE_S) as client:
            return pull(node, client)
    except ReltoError as error:
        return error


# --- what the cells share ---


def pulled(world: World, party: str, client: PeerClient) -> int:
    with client:
        return pull(world.network.nodes[party], client)


def refused(work: Callable[[], Any]) -> ReltoError:
    with pytest.raises(ReltoError) as found:
        work()
    assert found.value.remedy.endswith(".")
    return found.value


def only_line(logs: Logs) -> MutableMapping[str, Any]:
    """The one line that the operator of the serving node reads; it may come a moment after the client's error."""
    wait_until(lambda: bool(logs))
    assert len(logs) == 1, logs
    line = logs[0]
    assert line["log_level"] == "warning" and line["event"] in ("handshake refused", "refused")
    assert "exc_info" not in line
    return line


def check(cell: Cell, told: ReltoError | str, line: MutableMapping[str, Any]) -> None:
    """Both sides read what the table says; the refused one nothing that only the other may know."""
    assert re.search(cell.told, str(told)), str(told)
    assert re.search(cell.logged, line["reason"]), line["reason"]
    for word in cell.kept_back:
        assert re.search(word, line["reason"]), f"{word!r} is not what the table means"
        assert word not in str(told)


def wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, "it does not come about"
        time.sleep(0.02)
