"""A running node: its servers, a worker that shares, and one that pulls from each partner."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
import uvicorn

from relto.bounds import BOUNDS
from relto.clock import DAY_MS, SECOND_MS
from relto.envelope.card import PartyCard
from relto.errors import OurError, ReltoError
from relto.exchange import documents, receive, routes
from relto.exchange.books import Books
from relto.exchange.core import card_of
from relto.exchange.share import recipients_due
from relto.exchange.share import share as release
from relto.node import audit
from relto.node.catchup import CatchUp
from relto.node.node import Node
from relto.peers.asking import Begun, Partner
from relto.peers.https import PeerClient, RefusedError
from relto.peers.tls import PeerCertProtocol, add_partner, client_context, load_identity, server_context

log = structlog.get_logger("relto.node")

_LEAF_S = 7 * 24 * 3600
_BACK_OFF_MS = 5000
_TIDY_MS = 60_000
_LOOK_S = 0.05
_MANY = 256
_KEEP_ALIVE_S = 75
_WAIT_MS = 2000
_THIN_WAIT_MS = 10_000
_THIN_REFRESH_S = 300
_WHOLE_S = 3600
_TIMEOUT_S = BOUNDS.poll_wait_ms / 1000 + 20


@dataclass(slots=True)
class Known:
    """What a node remembers of a partner while it runs: its agreements' mark, when it last asked, a page's beginning.

    ``at_s`` and ``whole_s`` are of a clock that only runs forward.
    """

    agreements: int = 0
    at_s: float = -math.inf
    whole_s: float = -math.inf
    begun: Begun = field(default_factory=Begun)


class Runner:
    """Runs a node until ``stop``. Every worker goes on after an error: what failed is tried again, with a pause."""

    def __init__(self, node: Node, exchange: Callable[[Node, Callable[[], dict[str, bytes]]], Any]) -> None:
        self.node = node
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers: list[uvicorn.Server] = []
        self._pulled: set[str] = set()
        self._let_in: dict[str, bytes] = {}
        self._known: dict[str, Known] = {}
        self._changed = threading.Event()
        self.catch_up = CatchUp()
        self._alarmed: set[tuple[int, int]] = set()
        self._cards: tuple[int, tuple[PartyCard, ...]] = (-1, ())
        self._context = server_context(node.keyring.tls_files(), self.partner_cas(), on_refusal=_refused)
        self._app = exchange(node, self.partner_cas)
        self.port = 0

    def partner_cas(self) -> dict[str, bytes]:
        """The issuing certificates of the partners whose cards are good now."""
        with self.node.store.read() as books:
            version = books.rules_version()
            if self._cards[0] != version:
                self._cards = version, tuple(card_of(each) for each in books.partners())
        now_ms = self.node.now_ms()
        return {card.party: card.tls_ca_der() for card in self._cards[1] if card.expires_ms > now_ms}

    def let_in(self) -> tuple[str, ...]:
        """Let the certificates of today's partners through, also those of a new card; returns the partners."""
        found = self.partner_cas()
        for party, ca_der in found.items():
            if self._let_in.get(party) != ca_der:
                add_partner(self._context, party, ca_der)
                self._let_in[party] = ca_der
        return tuple(found)

    def start(self, *, pages: Any = None) -> None:
        """Begin to serve, share and pull; returns when the ports are open. ``pages`` is served on loopback only."""
        audit.check_published(self.node)
        self.catch_up.begin(self.partner_cas())
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
            # an answer is on its way for long after it was handed to the system, and a new handshake costs 5 s there
            timeout_keep_alive=_KEEP_ALIVE_S,
            lifespan="off",
        )
        self.port = self._serve(config, self.node.settings.host, self.node.settings.port)

    def stop(self) -> None:
        """Finish what is under way and close."""
        self._stopping.set()
        self._changed.set()
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
        """Share whatever is new; publish the log; forget what is over its retention.

        What was withdrawn while this node was down is not passed on: it hears its partners first.
        """
        tidied_ms = 0
        while not self.catch_up.done() and not self._stopping.wait(_LOOK_S):
            pass
        for _ in self._rounds(lambda: share(self.node)):
            with _going_on("round failed"):
                audit.publish_log(self.node)
                self._alarm()
                if abs(self.node.now_ms() - tidied_ms) >= _TIDY_MS:
                    tidied_ms = self.node.now_ms()
                    self.node.store.write(self._forget)
                    self._renew_tls()

    def _alarm(self) -> None:
        """Log each incident once, when it was opened."""
        with self.node.store.read() as books:
            found = books.open_incidents()
        for number, first_ms, kind, party, text in found:
            if (number, first_ms) not in self._alarmed:
                self._alarmed.add((number, first_ms))
                log.error("incident", number=number, kind=kind, party=party, text=text)

    def _forget(self, books: Books) -> None:
        """Forget what is over its retention, and what waited here for others too long."""
        now_ms = self.node.now_ms()
        books.purge(now_ms)
        books.drop_old_parcels(now_ms - BOUNDS.relay_days * DAY_MS)

    def _rounds(self, work: Callable[[], int]) -> Iterator[None]:
        """Repeat work until it finds nothing, then yield and pause."""
        while not self._stopping.is_set():
            self._changed.clear()
            newest = -1
            try:
                newest = self._newest()
                while work() and not self._stopping.is_set():
                    pass
                yield
            except ReltoError as error:
                log.error("round failed", reason=str(error))
            except Exception:
                log.exception("round failed")
            self._pause(newest)

    def _pause(self, newest: int) -> None:
        """Wait for the next round, or until something is stored: also by a command, which is another process."""
        end_s = time.monotonic() + self.node.settings.poll_ms / SECOND_MS
        while (left_s := end_s - time.monotonic()) > 0 and not self._changed.wait(min(_LOOK_S, left_s)):
            with contextlib.suppress(ReltoError):
                if newest >= 0 and self._newest() != newest:
                    return

    def _newest(self) -> int:
        with self.node.store.read() as books:
            return books.last_seq()

    def _renew_tls(self) -> None:
        """Keep the short-lived certificate at least a day from its end."""
        if self.node.keyring.tls_expires_ms() - self.node.now_ms() < DAY_MS:
            with contextlib.suppress(OurError):
                self.node.keyring.renew_tls(self.node.now_ms(), _LEAF_S, (self.node.settings.host,))
                load_identity(self._context, self.node.keyring.tls_files())

    def _partners(self) -> None:
        """Begin to pull from each partner as it is accepted, and let it connect."""
        while not self._stopping.is_set():
            with _going_on("partners not read"):
                for party in self.let_in():
                    if party not in self._pulled:
                        self._pulled.add(party)
                        self._begin(f"pull-{party}", partial(self._pull, party))
            self._stopping.wait(self.node.settings.poll_ms / 1000)

    def _pull(self, party: str) -> None:
        """Pull from one partner; agreements first, since releases rest on them."""
        while not self._stopping.is_set():
            pause_s = min(_BACK_OFF_MS, 2 * self.node.settings.poll_ms) / SECOND_MS
            try:
                if not route_to(self.node, party).only:
                    with self._client(party) as client:
                        self._pull_on(client)
            except ReltoError as error:
                log.warning("pull failed", peer=party, reason=str(error))
                if isinstance(error, RefusedError) and error.retry_after_s:
                    pause_s = max(pause_s, error.retry_after_s)
            except Exception:
                log.exception("pull failed", peer=party)
            with _going_on("route not read", peer=party):
                self._by_relay(party)
            self.catch_up.heard(party)
            self._stopping.wait(pause_s)

    def _client(self, party: str) -> PeerClient:
        card = self.node.partner(party)
        context: ssl.SSLContext = client_context(self.node.keyring.tls_files(), party, card.tls_ca_der())
        return PeerClient(party, card.url, context, _TIMEOUT_S)

    def _by_relay(self, party: str) -> None:
        """One round by the relay for a partner that cannot be reached, or that leaves our pages unreceipted."""
        via = route_to(self.node, party).via
        if not via or self._stopping.is_set():
            return
        try:
            with self._client(via) as client:
                if by_relay(self.node, client, party):
                    self._changed.set()
        except ReltoError as error:
            log.warning("relay failed", peer=party, relay=via, reason=str(error))
        except Exception:
            log.exception("relay failed", peer=party, relay=via)

    def _pull_on(self, client: PeerClient) -> None:
        known = self._known.setdefault(client.party, Known())
        refresh(self.node, client, known)
        quiet = 0
        while not self._stopping.is_set():
            thin = self.node.link(client.party).packed
            wait_ms = 0 if self.catch_up.awaits(client.party) else _THIN_WAIT_MS if thin else _WAIT_MS
            found = pull(self.node, client, wait_ms=wait_ms, begun=known.begun)
            if found:
                self._changed.set()  # what came may have to go on, a withdrawal at once
                if found >= _MANY and not thin:  # what is withdrawn meanwhile stands behind the backlog in the stream
                    refresh(self.node, client, known)
            else:
                self.catch_up.heard(client.party)
            quiet = 0 if found else quiet + 1
            if time.monotonic() - known.at_s >= _THIN_REFRESH_S if thin else quiet and quiet % 5 == 0:
                refresh(self.node, client, known)
            route = route_to(self.node, client.party)
            if route.only:
                return
            if quiet > 1 and route.via and unreceipted(self.node, client.party):
                self._by_relay(client.party)  # we reach it, and it may not reach us


@contextlib.contextmanager
def _going_on(failed: str, **about: str) -> Iterator[None]:
    """Log what fails in the block, and go on: a store that is away for a moment ends no worker."""
    try:
        yield
    except ReltoError as error:
        log.error(failed, reason=str(error), **about)
    except Exception:
        log.exception(failed, **about)


def share(node: Node) -> int:
    """One round for every recipient; returns how many items were looked at or released, 0 if all is quiet.

    Who claims a recipient works for it alone: several processes over one store share the work out between them.
    """
    moved = 0
    for recipient in node.run(recipients_due(node.core)):
        with node.store.database.claim(recipient) as claimed:
            moved += node.run(release(node.core, recipient)) if claimed else 0
    node.pages_made += bool(moved)
    return moved


def pull(node: Node, client: PeerClient, *, wait_ms: int = 0, begun: Begun | None = None) -> int:
    """Fetch, store and acknowledge a partner's next page; returns how many releases it held, 0 if there is none.

    Raises:
        PeerError: the page is refused; nothing of it is stored. OurError: the partner cannot be reached.
    """
    return node.run(receive.pull(node.core, client.party, wait_ms=wait_ms), Partner(client, begun))


def refresh(node: Node, client: PeerClient, known: Known | None = None) -> int:
    """Take a partner's documents; returns how many were taken. What is refused is logged, and holds up nothing else.

    On a thin link they come packed, and but once an hour without the heads of logs.
    """
    known, now_s = known or Known(), time.monotonic()
    thin, whole = node.link(client.party).packed, now_s - known.whole_s >= _WHOLE_S
    brief = 0 if not thin else 1 if whole else 2
    found = node.run(documents.refresh(node.core, client.party, known=known.agreements, brief=brief), Partner(client))
    known.agreements, known.at_s = found.known, now_s
    known.whole_s = known.whole_s if brief == 2 else now_s
    for reason in found.refused:
        log.warning("document refused", peer=client.party, reason=reason)
    return found.taken


def route_to(node: Node, party: str) -> routes.Route:
    """The route to a partner."""
    with node.store.read() as books:
        return routes.route_of(books, party)


def unreceipted(node: Node, party: str) -> bool:
    """Whether a partner has pages of ours that it has not receipted."""
    with node.store.read() as books:
        return books.unreceipted(party).pages > 0


def by_relay(node: Node, relay: PeerClient, party: str) -> int:
    """One round with the relay for a partner; returns how many releases arrived. What is refused is logged."""
    found = node.run(routes.by_relay(node.core, party), Partner(relay))
    for reason in found.refused:
        log.warning("refused by relay", peer=party, relay=relay.party, reason=reason)
    return found.arrived


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
