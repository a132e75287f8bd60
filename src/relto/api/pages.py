"""The pages of a node for its own people: on this machine only, behind a token, GET only, nothing from elsewhere."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relto.api.shown import Query, Shown
from relto.errors import ReltoError
from relto.node.node import Node
from relto.node.report import report
from relto.web import render, served

log = structlog.get_logger("relto.pages")

COOKIE = "relto"
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_QUERY_FIELDS = 20
_QUERY_CHARS = 4096
Page = Callable[[Request, Query], str]


def make_token(entropy: Callable[[int], bytes]) -> str:
    """A token that opens the pages: 32 hex digits."""
    return entropy(16).hex()


def pages_app(
    node: Node, token: str, *, strip: str | None = None, ready: Callable[[], bool] = lambda: True
) -> Starlette:
    """The application. Whoever has the token sees what this party's own people may see, once the node is ready."""
    shown = Shown(node, strip)

    def page(path: str, make: Page) -> Route:
        async def answer(request: Request) -> Response:
            query = _query(request)
            if not _may_enter(request, query, token):
                return _text(403, "Open the address that relto serve printed.")
            if not ready():
                return _catching_up(shown, query, request, token)
            try:
                status, body = 200, await run_in_threadpool(make, request, query)
            except ReltoError as error:
                view = shown.error(404, "Not found", str(error), query)
                status, body = 404, await run_in_threadpool(render.error, view)
            return _html(body, status, request, token)

        return Route(path, answer, methods=["GET"])

    async def status(request: Request) -> Response:
        if not _may_enter(request, _query(request), token):
            return _text(403, "Token missing.")
        if not ready():
            return _text(503, "Catching up with partners.")
        found = await run_in_threadpool(report, node)
        return Response(msgspec.json.encode(found), media_type="application/json", headers=_PLAIN)

    return Starlette(
        routes=[
            page("/", lambda _, query: render.picture(shown.picture(query))),
            page("/item/{item}", lambda request, query: render.item(shown.item(request.path_params["item"], query))),
            page("/agreements", lambda _, query: render.agreements(shown.agreements(query))),
            page("/log", lambda _, query: render.log(shown.log(query))),
            Route("/status", status, methods=["GET"]),
            Route(f"{served.PREFIX}{{path:path}}", _asset, methods=["GET"]),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=2000)],
    )


def _catching_up(shown: Shown, query: Query, request: Request, token: str) -> Response:
    """The answer before partners were heard: what they have withdrawn meanwhile must not be shown."""
    said = "This node has just started and asks its partners what has changed. Try again in a few seconds."
    view = shown.error(503, "Catching up with partners", said, query)
    response = _html(render.error(view), 503, request, token)
    response.headers.update({"retry-after": "2", "refresh": "2"})
    return response


_PLAIN = {name: value for name, value in render.HEADERS.items() if name != "content-type"}


def _query(request: Request) -> Query:
    """The query's fields, each once, bounded."""
    if len(request.url.query) > _QUERY_CHARS:
        return {}
    theme = {"theme": request.cookies.get("relto-theme", "")}
    try:
        return theme | dict(parse_qsl(request.url.query, max_num_fields=_QUERY_FIELDS))
    except ValueError:  # more fields than any page has
        return theme


def _may_enter(request: Request, query: Query, token: str) -> bool:
    """The token in the address or the cookie, and a host of this machine: other names are a rebinding attack."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    given = query.pop("token", "") or request.cookies.get(f"{COOKIE}-{_port(request)}", "")
    return host in LOCAL_HOSTS and hmac.compare_digest(given.encode(), token.encode())


def _port(request: Request) -> int:
    """The port asked: cookies do not tell ports apart, and one machine may run several nodes."""
    return request.url.port or 80


def _html(body: str, status: int, request: Request, token: str) -> Response:
    response = Response(body, status_code=status, headers=dict(render.HEADERS))
    name = f"{COOKIE}-{_port(request)}"
    if request.cookies.get(name) != token:
        response.set_cookie(name, token, httponly=True, samesite="strict", path="/")
    return response


def _text(status: int, text: str) -> Response:
    return Response(text, status_code=status, headers={**_PLAIN, "content-type": "text/plain; charset=utf-8"})


async def _asset(request: Request) -> Response:
    found = served.asset(request.path_params["path"])
    if found is None:
        return _text(404, "No such file.")
    packed = found.gzipped is not None and "gzip" in request.headers.get("accept-encoding", "")
    etag, body = (found.gzipped_etag, found.gzipped) if packed else (found.etag, found.body)
    headers = {**render.ASSET_HEADERS, "etag": etag, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(body, media_type=found.media_type, headers=headers)
