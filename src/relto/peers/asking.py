"""The exchange's requests over HTTPS: one table of paths, read by the client here and by the server's routes."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from relto.bounds import BOUNDS
from relto.errors import OurError, PeerError
from relto.exchange.steps import (
    LIMIT_BYTES,
    Ask,
    Card,
    Collect,
    Deposit,
    Documents,
    Growth,
    Notices,
    Pages,
    Receipts,
    Request,
    Returns,
    mark,
)
from relto.peers.https import PeerClient, RefusedError

BASE = "/exchange/v1/"
PATHS: dict[type, str] = {
    Deposit: f"{BASE}deposits",
    Collect: f"{BASE}collections",
    Pages: f"{BASE}pages",
    Receipts: f"{BASE}receipts",
    Documents: f"{BASE}documents",
    Growth: f"{BASE}growth",
    Notices: f"{BASE}notices",
    Card: f"{BASE}card",
    Returns: f"{BASE}returns",
}
_LATER = (429, 503)  # refusals that say nothing about what was asked for


@dataclass(slots=True)
class Begun:
    """The part of a page that came before the link broke off, at most ``BOUNDS.kept_part_bytes`` of it."""

    after: int = 0
    content: bytearray = field(default_factory=bytearray)


class Partner:
    """One partner's node as the exchange asks it.

    A page that broke off is gone on with, over this connection or the next: ``begun`` outlives both. Its bytes do not
    change; should they have, the partner says so, and all of it is asked for again.
    """

    def __init__(self, client: PeerClient, begun: Begun | None = None) -> None:
        self.client = client
        self.begun = begun or Begun()

    def __call__(self, ask: Ask) -> bytes:
        """Ask it, and return its answer.

        Raises:
            PeerError, OurError: it refuses, or cannot be reached.
        """
        if isinstance(ask.request, Pages):
            return self._page(ask.request)
        return asked(self.client, ask.request)

    def _page(self, request: Pages) -> bytes:
        begun = self.begun
        if begun.after != request.after:
            begun.after, begun.content = request.after, bytearray()
        part = bytes(begun.content)
        if part:
            request = msgspec.structs.replace(request, from_byte=len(part), part=mark(part))
        rest = bytearray()
        try:
            answer = asked(self.client, request, rest)
        except PeerError as error:
            if not isinstance(error, RefusedError) or error.status not in _LATER:
                begun.content = bytearray()
            raise
        except OurError:
            begun.content = bytearray((part + rest)[: BOUNDS.kept_part_bytes])
            raise
        begun.content = bytearray()
        return part + answer if part else answer


def asked(client: PeerClient, request: Request, came: bytearray | None = None) -> bytes:
    """The answer to one request; its fields travel as parameters, an envelope as the body.

    ``came`` is given what comes of the answer to a request without a body, also if it breaks off.
    """
    path, limit_bytes = PATHS[type(request)], LIMIT_BYTES[type(request)]
    fields = msgspec.structs.asdict(request)
    body = fields.pop("envelope", None)
    if body is not None:
        return client.post(path, body, limit_bytes=limit_bytes)
    return client.get(path, fields, limit_bytes=limit_bytes, came=came)
