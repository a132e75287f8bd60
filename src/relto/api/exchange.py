"""The exchange as HTTP over mutual TLS. docs/spec/exchange.md, section 13.

Every request is answered for the party whose certificate made the connection; no parameter can name another. What goes
wrong is logged in full and answered by one word.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from relto.bounds import BOUNDS
from relto.clock import SECOND_MS
from relto.errors import MalformedError, PeerError, ReltoError, TooLargeError, UnknownPartyError
from relto.exchange.answer import answer
from relto.exchange.budget import Budget
from relto.exchange.steps import Card, Collect, Deposit, Documents, Growth, Notices, Pages, Receipts, Request, Returns
from relto.item import PARTY
from relto.node.node import Node
from relto.peers.asking import PATHS
from relto.peers.tls import party_of

log = structlog.get_logger("relto.exchange")

_LOOK_MS = 100
_LOOKS = 10
_PENALTY_S = 1
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Caller:
    """The partner that asks, and its share of the threads."""

    node: Node
    peer: str
    workers: asyncio.Semaphore

    async def answered(self, request: Request) -> bytes:
        """The node's answer."""
        async with self.workers:
            return await run_in_threadpool(self._answer, request)

    def _answer(self, request: Request) -> bytes:
        return self.node.run(answer(self.node.core, self.peer, request))


Endpoint = Callable[[Caller, HttpRequest], Awaitable[Response]]


def exchange_app(node: Node, partner_cas: Callable[[], dict[str, bytes]]) -> Starlette:
    """The application; ``partner_cas`` gives the issuing certificates of today's partners."""

    gates = Gates()

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        async def handle(request: HttpRequest) -> Response:
            try:
                peer = _peer(request, partner_cas(), node.now_ms())
            except PeerError as error:
                log.warning("refused", path=path, reason=str(error))
                return _refusal(403, error.peer_text)
            except ReltoError as error:  # who the partners are stands in the store
                log.error("failed", path=path, reason=str(error))
                return _refusal(503, "unavailable")
            try:
                async with gates.of(peer) as workers:
                    return await endpoint(Caller(node, peer, workers), request)
            except BusyError as error:
                if error.times.bit_count() == 1:  # the 1st, 2nd, 4th, 8th … time: a flood must not fill the log as well
                    log.warning("over its budget", path=path, peer=peer, times=error.times)
                return _refusal(429, error.peer_text, retry_after_s=error.retry_after_s)
            except ClientDisconnect:
                log.warning("hung up", path=path, peer=peer)
                return Response(status_code=400)
            except PeerError as error:
                log.warning("refused", path=path, peer=peer, reason=str(error))
                return _refusal(400, error.peer_text)
            except ReltoError as error:
                log.error("failed", path=path, peer=peer, reason=str(error))
                return _refusal(503, "unavailable")

        return Route(path, handle, methods=[method])

    get = (Pages, Documents, Growth, Card, Returns)
    return Starlette(
        routes=[
            *(route(PATHS[form], _asked(form), "GET") for form in get),
            *(route(PATHS[form], _given(form), "POST") for form in (Receipts, Notices, Deposit)),
            route(PATHS[Collect], _collected, "GET"),
        ]
    )


class BusyError(PeerError):
    """A partner asks more than its share."""

    peer_text = "busy"

    def __init__(self, retry_after_s: int, times: int) -> None:
        super().__init__("asks more than its share.", field="request", remedy="It is told to wait.")
        self.retry_after_s = retry_after_s
        self.times = times


class Gates:
    """One gate a partner: a share of the requests, of the workers, and of nothing that is another's."""

    def __init__(self) -> None:
        self._budgets: dict[str, Budget] = {}
        self._workers: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def of(self, peer: str) -> AsyncIterator[asyncio.Semaphore]:
        """Let a request of a partner in, with its share of the threads.

        Raises:
            BusyError: it has used up its share. It is told late, so that asking again at once gains it nothing.
        """
        budget = self._budgets.setdefault(peer, Budget.new())
        wait_ms = SECOND_MS if budget.crowded else budget.bucket.take(int(time.monotonic() * SECOND_MS))
        if wait_ms:
            budget.refused += 1
            await self._held_up(budget)
            raise BusyError(max(1, wait_ms // SECOND_MS), budget.refused)
        budget.under_way += 1
        try:
            yield self._workers.setdefault(peer, asyncio.Semaphore(BOUNDS.peer_workers))
        finally:
            budget.under_way -= 1

    @staticmethod
    async def _held_up(budget: Budget) -> None:
        """Keep a refused request waiting, up to a number of them: who floods is slowed by its own connections."""
        if budget.held_up < BOUNDS.peer_held_up:
            budget.held_up += 1
            try:
                await asyncio.sleep(_PENALTY_S)
            finally:
                budget.held_up -= 1


def _peer(request: HttpRequest, cas: dict[str, bytes], now_ms: int) -> str:
    """Whose certificate the connection has. Asked for each request: a partner may have been removed meanwhile."""
    der: bytes | None = request.scope.get("state", {}).get("peer_der")
    if der is None:
        raise UnknownPartyError("no certificate.", field="tls", remedy="Connect with your node's certificate.")
    return party_of(der, cas, now_ms)


def _asked(form: type[Pages | Documents | Growth | Card | Returns]) -> Endpoint:
    """The endpoint of a request whose fields are numbers in the query."""

    async def endpoint(caller: Caller, http: HttpRequest) -> Response:
        request = form(**{name: _number(http, name) for name in form.__struct_fields__})
        content = await caller.answered(request)
        if isinstance(request, Pages) and not content:
            content = await _waited(caller, request, http)
        return Response(content, media_type=_BYTES)

    return endpoint


async def _waited(caller: Caller, request: Pages, http: HttpRequest) -> bytes:
    """The page once it is made; waits for it as asked, so that a partner has it at once without asking often."""
    deadline = time.monotonic() + min(request.wait_ms, BOUNDS.poll_wait_ms) / 1000
    node = caller.node
    made, looks = node.pages_made, 0
    while time.monotonic() < deadline and not await http.is_disconnected():
        await asyncio.sleep(_LOOK_MS / 1000)
        looks += 1
        # another process over the same store may have made one: that is seen by looking now and then
        if node.pages_made != made or looks % _LOOKS == 0:
            made = node.pages_made
            content = await caller.answered(request)
            if content:
                return content
    return b""


def _given(form: type[Receipts | Notices | Deposit]) -> Endpoint:
    """The endpoint of a request that is an envelope."""
    limit_bytes = BOUNDS.page_bytes if form is Deposit else BOUNDS.request_bytes

    async def endpoint(caller: Caller, http: HttpRequest) -> Response:
        content = await caller.answered(form(await _body(http, limit_bytes)))
        return Response(content, media_type=_BYTES) if content else Response(status_code=204)

    return endpoint


async def _collected(caller: Caller, http: HttpRequest) -> Response:
    """What waits here for the caller from a party."""
    sender = http.query_params.get("sender", "")
    if PARTY.fullmatch(sender) is None:
        raise MalformedError(f"{sender[:20]!r} is no party.", field="sender", remedy="Write it as JPN.")
    content = await caller.answered(Collect(sender, _number(http, "after")))
    return Response(content, media_type=_BYTES)


def _number(request: HttpRequest, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise MalformedError(f"{text[:20]!r} is no number.", field=name, remedy="Send digits.")
    return int(text)


async def _body(request: HttpRequest, limit_bytes: int) -> bytes:
    """The request's body, never more of it than allowed."""
    content = bytearray()
    try:
        async with asyncio.timeout(BOUNDS.body_s):
            async for part in request.stream():
                content += part
                if len(content) > limit_bytes:
                    raise TooLargeError(f"over {limit_bytes} bytes.", field="body", remedy="Send less.")
    except TimeoutError:
        raise TooLargeError(f"not whole after {BOUNDS.body_s} s.", field="body", remedy="Try again.") from None
    return bytes(content)


def _refusal(status: int, word: str, *, retry_after_s: int = 0) -> Response:
    headers = {"retry-after": str(retry_after_s)} if retry_after_s else {}
    content = msgspec.json.encode({"error": word})
    return Response(content, status_code=status, headers=headers, media_type="application/json")
