"""A partner that floods another's node, or stalls it: run as a process of its own beside the measured ones.

``python -m bench.flood HOME PEER URL flood|stall SECONDS`` with the partner's own, good certificate.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from relto.errors import ReltoError
from relto.exchange.steps import Pages
from relto.node.node import Node
from relto.peers.asking import PATHS, asked
from relto.peers.https import PeerClient
from relto.peers.tls import client_context

CONNECTIONS = 16


def main() -> None:
    """Hammer until the time is over; prints how many requests were answered and how many refused."""
    home, peer, url, manner, seconds = sys.argv[1:]
    node = Node.open(Path(home))
    until_s = time.monotonic() + float(seconds)
    counts = {"answered": 0, "refused": 0}
    work = _flood if manner == "flood" else _stall
    threads = [
        threading.Thread(target=work, args=(node, peer, url, until_s, counts), daemon=True) for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=float(seconds) + 5)
    print(f"{counts['answered']} answered, {counts['refused']} refused")
    node.close()


def _flood(node: Node, peer: str, url: str, until_s: float, counts: dict[str, int]) -> None:
    """Ask as fast as answers come, and at once again when refused."""
    context = client_context(node.keyring.tls_files(), peer, node.partner(peer).tls_ca_der())
    with PeerClient(peer, url, context, 30) as client:
        while time.monotonic() < until_s:
            try:
                asked(client, Pages(0))
                counts["answered"] += 1
            except ReltoError:
                counts["refused"] += 1


def _stall(node: Node, peer: str, url: str, until_s: float, counts: dict[str, int]) -> None:
    """Ask for a page and read no byte of the answer."""
    context = client_context(node.keyring.tls_files(), peer, node.partner(peer).tls_ca_der())
    parts = urlsplit(url)
    plain = socket.create_connection((parts.hostname or "", parts.port or 0))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with context.wrap_socket(plain, server_hostname=parts.hostname) as secured:
        secured.sendall(f"GET {PATHS[Pages]}?after=0 HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        counts["answered"] += 1
        time.sleep(max(0.0, until_s - time.monotonic()))


if __name__ == "__main__":
    main()
