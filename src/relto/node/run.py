"""A running node: its servers, a worker that shares, and one that pulls from each partner."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import structlog
import uvicorn

from relto.bounds import BOUNDS
from relto.clock import DAY_MS, SECOND_MS
from relto.errors import OurError, PeerError, ReltoError
from relto.node import agree, audit
from relto.node.node import Node
from relto.node.receive import pull
from relto.node.share import share_all
from relto.peers.https import PeerClient
from relto.peers.tls import PeerCertProtocol, add_partner, client_context, load_identity, server_context
from relto.store import records

log = structlog.get_logger("relto.node")

AGREEMENTS = "/exchange/v1/agreements"
_LEAF_S = 7 * 24 * 3600
_BACK_OFF_MS = 5000
_TIDY_MS = 60_000
_TIMEOUT_S = BOUNDS.poll_wait_ms / 1000 + 20


class Runner:
    """Runs a node until ``stop``. Every worker goes on after an error: what failed is tried again, with a pause."""

    def __init__(self, node: Node, exchange: Callable[[Node, Callable[[], dict[str, bytes]]], Any]) -> None:
        self.node = node
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers: list[uvicorn.Server] = []
        self._pulled: set[str] = set()
        self._context = server_context(node.keyring.tls_files(), self.partner_cas(), on_refusal=_refused)
        self._app = exchange(node, self.partner_cas)
        self.port = 0

    def partner_cas(self) -> dict[str, bytes]:
        """The issuing certificates of the partners whose cards are good now."""
        found = {}
        for party in self.node.partners():
            with contextlib.suppress(PeerError):
                found[party] = self.node.partner(party).tls_ca_der()
        return found

    def start(self, *, pages: Any = None) -> None:
        """Begin to serve, share and pull; returns when the ports are open. ``pages`` is served on loopback only."""
        self.serve_exchange()
        if pages is not None:
            web = uvicorn.Config(pages, log_config=None, access_log=False, proxy_headers=False, lifespan="off")
            self._serve(web, "127.0.0.1", self.node.settings.web_port)
        self._begin("share", self._share)
        self._begin("partners", self._partners)

    def serve_exchange(self) -> None:
        """Open the exchange port and answer partners; nothing is shared or pulled by that."""
        config = uvicorn.Config(
            self._app,
            http=PeerCertProtocol,
            ssl_context_factory=lambda *_: self._context,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            lifespan="off",
        )
        self.port = self._serve(config, self.node.settings.host, self.node.settings.port)

    def stop(self) -> None:
        """Finish what is under way and close."""
        self._stopping.set()
        for server in self._servers:
            server.should_exit = True
        for thread in self._threads:
            thread.join(timeout=_TIMEOUT_S)
        self.node.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait until ``stop`` is called, at most so long; whether it was."""
        return self._stopping.wait(timeout_s)

    def _serve(self, config: uvicorn.Config, host: str, port: int) -> int:
        listener = _listen(host, port)
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._servers.append(server)
        self._begin(f"serve-{port}", lambda: server.run(sockets=[listener]))
        while not server.started and not self._stopping.wait(0.01):
            pass
        return int(listener.getsockname()[1])

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _share(self) -> None:
        """Share whatever is new; publish the log; forget what is over its retention."""
        tidied_ms = 0
        for _ in self._rounds(lambda: share_all(self.node)):
            audit.publish_log(self.node)
            if abs(self.node.now_ms() - tidied_ms) >= _TIDY_MS:
                tidied_ms = self.node.now_ms()
                self.node.database.write(partial(records.purge, now_ms=tidied_ms))
                self._renew_tls()

    def _rounds(self, work: Callable[[], int]) -> Iterator[None]:
        """Repeat work until it finds nothing, then yield and pause."""
        while not self._stopping.is_set():
            try:
                while work() and not self._stopping.is_set():
                    pass
                yield
            except ReltoError as error:
                log.error("round failed", reason=str(error))
            except Exception:
                log.exception("round failed")
            self._stopping.wait(self.node.settings.poll_ms / 1000)

    def _renew_tls(self) -> None:
        """Keep the short-lived certificate at least a day from its end."""
        if self.node.keyring.tls_expires_ms() - self.node.now_ms() < DAY_MS:
            with contextlib.suppress(OurError):
                self.node.keyring.renew_tls(self.node.now_ms(), _LEAF_S, (self.node.settings.host,))
                load_identity(self._context, self.node.keyring.tls_files())

    def _partners(self) -> None:
        """Begin to pull from each partner as it is accepted, and let it connect."""
        while not self._stopping.is_set():
            for party, ca_der in self.partner_cas().items():
                if party not in self._pulled:
                    self._pulled.add(party)
                    add_partner(self._context, party, ca_der)
                    self._begin(f"pull-{party}", partial(self._pull, party))
            self._stopping.wait(self.node.settings.poll_ms / 1000)

    def _pull(self, party: str) -> None:
        """Pull from one partner; agreements first, since releases rest on them."""
        while not self._stopping.is_set():
            try:
                card = self.node.partner(party)
                context: ssl.SSLContext = client_context(self.node.keyring.tls_files(), party, card.tls_ca_der())
                with PeerClient(party, card.url, context, _TIMEOUT_S) as client:
                    self._pull_on(client)
            except ReltoError as error:
                log.warning("pull failed", peer=party, reason=str(error))
            except Exception:
                log.exception("pull failed", peer=party)
            self._stopping.wait(min(_BACK_OFF_MS, 2 * self.node.settings.poll_ms) / SECOND_MS)

    def _pull_on(self, client: PeerClient) -> None:
        pull_agreements(self.node, client)
        quiet = 0
        while not self._stopping.is_set():
            found = pull(self.node, client, wait_ms=min(2000, BOUNDS.poll_wait_ms))
            quiet = 0 if found else quiet + 1
            if quiet and quiet % 5 == 0:
                pull_agreements(self.node, client)


def pull_agreements(node: Node, client: PeerClient) -> int:
    """Take what a partner holds of agreements with us: proposals and signatures. Returns how many were taken."""
    content = client.get(AGREEMENTS, limit_bytes=64 * BOUNDS.agreement_bytes)
    taken = 0
    for text in msgspec.json.decode(content, type=dict[str, list[str]]).get("envelopes", []):
        try:
            agree.take(node, base64.b64decode(text, validate=True))
            taken += 1
        except (ReltoError, ValueError) as error:
            log.warning("agreement refused", peer=client.party, reason=str(error))
    return taken


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named, or the event loop leaves Nagle's algorithm on: 44 ms a request
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise OurError(
            f"port {port} cannot be opened: {error.strerror}.", field=host, remedy="Choose another port in relto.toml."
        ) from None
    listener.listen(256)
    return listener


def _refused(error: ReltoError) -> None:
    log.warning("handshake refused", reason=str(error))
