"""Several nodes on one machine: made, paired and bound by agreements through the same verbs that operators use."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relto.api.exchange import exchange_app
from relto.clock import DAY_MS, SECOND_MS, Clock
from relto.keyring.files import FileKeyring
from relto.node import agree, pair
from relto.node.home import KEYS, Settings, SystemClock, entropy, make_home, write_settings
from relto.node.node import Node
from relto.node.run import Runner, by_relay, pull, refresh, share
from relto.peers.https import PeerClient
from relto.peers.tls import client_context

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one party's node lives: its directory and ports."""

    party: str
    home: Path
    port: int
    web_port: int

    @property
    def url(self) -> str:
        """Where partners reach it."""
        return f"https://{HOST}:{self.port}"


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def found_node(place: Place, settings: Settings, *, exercise_ms: int | None = None) -> None:
    """Make a node's directory, keys and settings.

    Under a clock of an exercise the TLS certificates are good at its time and at the machine's, since the TLS library
    knows only the latter.
    """
    make_home(place.home)
    now_ms = SystemClock().now_ms()
    if exercise_ms is None:
        FileKeyring.create(place.home / KEYS, place.party, now_ms=now_ms, hostnames=(HOST,))
    else:
        span_s = (abs(now_ms - exercise_ms) + 366 * DAY_MS) // SECOND_MS
        FileKeyring.create(
            place.home / KEYS,
            place.party,
            now_ms=min(now_ms, exercise_ms) - DAY_MS,
            hostnames=(HOST,),
            leaf_lifetime_s=span_s,
            ca_lifetime_s=span_s,
        )
    write_settings(place.home, settings)


def pair_all(nodes: Mapping[str, Node], urls: Mapping[str, str]) -> None:
    """Every node accepts every other's card, fingerprint compared."""
    cards = {party: pair.invite(node, urls[party]) for party, node in nodes.items()}
    for party, node in nodes.items():
        for other, (card, fingerprint) in cards.items():
            if other != party:
                pair.accept(node, card, fingerprint)


def conclude(nodes: Mapping[str, Node], text: bytes, name: str) -> agree.Held:
    """Have an agreement proposed by its first party here and signed by all others."""
    terms = agree.check(next(iter(nodes.values())), text, name)
    parties = [entry.id for entry in terms.parties if entry.id in nodes]
    held = agree.propose(nodes[parties[0]], text, name)
    for party in parties[1:]:
        agree.take(nodes[party], held.envelope)
        held = agree.countersign(nodes[party], terms.ref.id, terms.ref.version)
    for party in parties:
        agree.take(nodes[party], held.envelope)
    return held


class Network:
    """Nodes in this process with real servers and TLS between them, moved step by step under an injected clock."""

    def __init__(
        self, root: Path, parties: Sequence[str], clock: Clock, *, random: Callable[[int], bytes] = entropy
    ) -> None:
        ports = free_ports(2 * len(parties))
        self.places = {
            party: Place(party, root / party, ports[2 * at], ports[2 * at + 1]) for at, party in enumerate(parties)
        }
        self.clock = clock
        self.random = random
        self.nodes: dict[str, Node] = {}
        self._runners: dict[str, Runner] = {}
        for party, place in self.places.items():
            level = "OFFICIAL"
            settings = Settings(party, party, port=place.port, web_port=place.web_port, level=level)
            found_node(place, settings, exercise_ms=clock.now_ms())
            self.nodes[party] = Node.open(place.home, clock=clock, random=random)
        pair_all(self.nodes, {party: place.url for party, place in self.places.items()})

    def conclude(self, texts: Iterable[tuple[str, bytes]]) -> None:
        """Conclude agreements, by (name, text)."""
        for name, text in texts:
            conclude(self.nodes, text, name)

    def serve(self) -> None:
        """Open every node's exchange port; no worker runs by itself."""
        for party, node in self.nodes.items():
            runner = Runner(node, exchange_app)
            runner.serve_exchange()
            self._runners[party] = runner

    def settle(self) -> int:
        """Share and pull between all pairs until nothing moves; returns how many releases arrived."""
        arrived = 0
        moved = True
        while moved:
            moved = sum(share(node) for node in self.nodes.values()) > 0
            for party in self.nodes:
                for peer in self.nodes:
                    if peer != party:
                        found = self.pull(party, peer)
                        arrived += found
                        moved = moved or found > 0
        return arrived

    def stop(self, party: str) -> None:
        """Stop one node, as a power cut does to the others' eyes; its directory stays."""
        runner = self._runners.pop(party, None)
        node = self.nodes.pop(party)
        if runner is not None:
            runner.stop()
        else:
            node.close()

    def start(self, party: str) -> Node:
        """Open the node that is now in a party's directory, and its exchange port."""
        node = Node.open(self.places[party].home, clock=self.clock, random=self.random)
        self.nodes[party] = node
        runner = Runner(node, exchange_app)
        runner.serve_exchange()
        self._runners[party] = runner
        return node

    def refresh(self, party: str, peer: str) -> int:
        """One exchange of documents of one node with one peer."""
        self._runners[peer].let_in()
        with self.client(party, peer) as client:
            return refresh(self.nodes[party], client)

    def pull(self, party: str, peer: str) -> int:
        """One pull of one node from one peer."""
        with self.client(party, peer) as client:
            return pull(self.nodes[party], client)

    def by_relay(self, party: str, peer: str, relay: str) -> int:
        """One round of one node for a peer by a relay; returns how many releases arrived."""
        with self.client(party, relay) as client:
            return by_relay(self.nodes[party], client, peer)

    def client(self, party: str, peer: str) -> PeerClient:
        """A client of a peer's node with this party's certificate."""
        node = self.nodes[party]
        context = client_context(node.keyring.tls_files(), peer, node.partner(peer).tls_ca_der())
        return PeerClient(peer, self.places[peer].url, context, 30)

    def close(self) -> None:
        """Stop all servers and close all stores."""
        for party, node in self.nodes.items():
            if party in self._runners:
                self._runners[party].stop()
            else:
                node.close()
