"""The exchange as HTTP over mutual TLS. docs/spec/exchange.md, section 5.

Every request is answered for the party whose certificate made the connection; no parameter can name another. What goes
wrong is logged in full and answered by one word.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relto.bounds import BOUNDS
from relto.errors import MalformedError, PeerError, ReltoError, TooLargeError, UnknownPartyError
from relto.node import agree, answer
from relto.node.node import Node
from relto.peers.tls import party_of

log = structlog.get_logger("relto.exchange")

Endpoint = Callable[[Node, str, Request], Awaitable[Response]]
_LOOK_MS = 100
_BYTES = "application/octet-stream"


class Envelopes(msgspec.Struct, frozen=True):
    """Several signed envelopes, base64."""

    envelopes: tuple[str, ...]


def exchange_app(node: Node, partner_cas: Callable[[], dict[str, bytes]]) -> Starlette:
    """The application; ``partner_cas`` gives the issuing certificates of today's partners."""

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        async def handle(request: Request) -> Response:
            try:
                peer = _peer(request, partner_cas(), node.now_ms())
            except PeerError as error:
                log.warning("refused", path=path, reason=str(error))
                return _refusal(403, error.peer_text)
            try:
                return await endpoint(node, peer, request)
            except PeerError as error:
                log.warning("refused", path=path, peer=peer, reason=str(error))
                return _refusal(400, error.peer_text)
            except ReltoError as error:
                log.error("failed", path=path, peer=peer, reason=str(error))
                return _refusal(503, "unavailable")

        return Route(path, handle, methods=[method])

    return Starlette(
        routes=[
            route("/exchange/v1/pages", _pages, "GET"),
            route("/exchange/v1/receipts", _receipts, "POST"),
            route("/exchange/v1/agreements", _agreements, "GET"),
        ]
    )


def _peer(request: Request, cas: dict[str, bytes], now_ms: int) -> str:
    """Whose certificate the connection has. Asked for each request: a partner may have been removed meanwhile."""
    der: bytes | None = request.scope.get("state", {}).get("peer_der")
    if der is None:
        raise UnknownPartyError("no certificate.", field="tls", remedy="Connect with your node's certificate.")
    return party_of(der, cas, now_ms)


async def _pages(node: Node, peer: str, request: Request) -> Response:
    """The next page; waits up to ``wait_ms`` for one, so that a partner has it at once without asking often."""
    after_n, wait_ms = _number(request, "after"), min(_number(request, "wait_ms"), BOUNDS.poll_wait_ms)
    deadline = time.monotonic() + wait_ms / 1000
    while True:
        made = node.pages_made
        page = await run_in_threadpool(answer.page, node, peer, after_n)
        if page or time.monotonic() >= deadline:
            return Response(page, media_type=_BYTES)
        while node.pages_made == made and time.monotonic() < deadline:
            if await request.is_disconnected():
                return Response(b"", media_type=_BYTES)
            await asyncio.sleep(_LOOK_MS / 1000)


async def _receipts(node: Node, peer: str, request: Request) -> Response:
    envelope = await _body(request)
    await run_in_threadpool(answer.take_receipt, node, peer, envelope)
    return Response(status_code=204)


async def _agreements(node: Node, peer: str, _request: Request) -> Response:
    """The agreements that name the peer, with the signatures so far."""
    found = await run_in_threadpool(agree.for_peer, node, peer)
    content = msgspec.json.encode(Envelopes(tuple(base64.b64encode(each).decode() for each in found)))
    return Response(content, media_type="application/json")


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise MalformedError(f"{text[:20]!r} is no number.", field=name, remedy="Send digits.")
    return int(text)


async def _body(request: Request) -> bytes:
    """The request's body, never more of it than allowed."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > BOUNDS.request_bytes:
            raise TooLargeError(f"over {BOUNDS.request_bytes} bytes.", field="body", remedy="Send less.")
    return content


def _refusal(status: int, word: str) -> Response:
    return Response(msgspec.json.encode({"error": word}), status_code=status, media_type="application/json")
