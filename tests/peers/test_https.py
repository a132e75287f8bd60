"""Requests to a partner's node: what a hostile or broken answer can do (nothing), and what the operator reads."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from relto.bounds import BOUNDS
from relto.errors import MalformedError, OurError, TooLargeError
from relto.peers.https import PeerClient, RefusedError, UnreachableError
from relto.peers.tls import client_context, server_context
from tests.peers.conftest import Nation, running

LIMIT_BYTES = 100_000
Send = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def context(nations: dict[str, Nation]) -> ssl.SSLContext:
    """How the Philippines call Japan."""
    return client_context(nations["PHL"].files, "JPN", nations["JPN"].ca_der)


class Japan:
    """Japan's server; each test says how it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[dict[str, Any], bytes]] = []
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: Iterator[bytes] = iter([b"hello"])
        self.breaks_off = False

    async def app(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.requests.append((scope, body))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if self.breaks_off:
            raise ConnectionAbortedError
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def open_japan(nations: dict[str, Nation]) -> Iterator[tuple[str, list[Japan]]]:
    current: list[Japan] = []

    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        await current[-1].app(scope, receive, send)

    server = server_context(
        nations["JPN"].files, {"PHL": nations["PHL"].ca_der}, on_refusal=lambda refusal: pytest.fail(str(refusal))
    )
    with running(app, server) as url:
        yield url, current


@pytest.fixture
def japan(open_japan: tuple[str, list[Japan]]) -> Japan:
    url, current = open_japan
    current.append(Japan())
    current[-1].url = url
    return current[-1]


@pytest.fixture
def client(japan: Japan, context: ssl.SSLContext) -> Iterator[PeerClient]:
    with PeerClient("JPN", japan.url, context, timeout_s=10) as made:
        yield made


def test_get_sends_its_parameters_and_returns_the_bytes(japan: Japan, client: PeerClient) -> None:
    japan.parts = iter([b"\x00\xff", b"", b"end"])
    assert client.get("/exchange/v1/stream", {"after": 41, "party": "PHL"}) == b"\x00\xffend"
    scope, body = japan.requests[0]
    assert (scope["method"], scope["path"], scope["query_string"], body) == (
        "GET",
        "/exchange/v1/stream",
        b"after=41&party=PHL",
        b"",
    )
    assert dict(scope["headers"])[b"accept-encoding"] == b"identity"


def test_post_sends_the_very_bytes(japan: Japan, client: PeerClient) -> None:
    sent = bytes(range(256)) * 100
    japan.parts = iter([])
    assert client.post("/receipts", sent, content_type="application/vnd.relto.receipt") == b""
    scope, body = japan.requests[0]
    assert scope["method"] == "POST"
    assert body == sent
    assert dict(scope["headers"])[b"content-type"] == b"application/vnd.relto.receipt"


def test_one_connection_serves_many_requests(japan: Japan, client: PeerClient) -> None:
    for _ in range(5):
        japan.parts = iter([b"x"])
        client.get("/page")
    assert len({scope["client"] for scope, _ in japan.requests}) == 1


def test_environment_cannot_redirect_a_request(
    japan: Japan, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with PeerClient("JPN", japan.url, context, timeout_s=10) as client:
        assert client.get("/page") == b"hello"


def test_answer_of_just_the_limit(japan: Japan, client: PeerClient) -> None:
    japan.parts = iter([bytes(LIMIT_BYTES)])
    assert len(client.get("/page", limit_bytes=LIMIT_BYTES)) == LIMIT_BYTES


def test_announced_answer_over_the_limit_is_not_read(japan: Japan, client: PeerClient) -> None:
    japan.headers = [(b"content-length", b"%d" % (BOUNDS.page_bytes + 1))]
    japan.parts = iter([b"x"])
    japan.breaks_off = True
    with pytest.raises(TooLargeError, match=f"JPN answers with more than {BOUNDS.page_bytes} bytes"):
        client.get("/page")


def test_answer_that_goes_on_and_on(japan: Japan, client: PeerClient) -> None:
    japan.parts = itertools.repeat(bytes(10_000), 500)
    with pytest.raises(TooLargeError, match="more than 100000 bytes"):
        client.get("/page", limit_bytes=LIMIT_BYTES)
    japan.parts = iter([b"next"])
    assert client.get("/page") == b"next"  # over a new connection


def test_answer_to_a_post_is_bounded_too(japan: Japan, client: PeerClient) -> None:
    japan.parts = iter([bytes(BOUNDS.request_bytes + 1)])
    with pytest.raises(TooLargeError):
        client.post("/receipts", b"x")


def test_compressed_answer_is_not_unpacked(japan: Japan, client: PeerClient) -> None:
    japan.headers = [(b"content-encoding", b"gzip")]
    japan.parts = iter([gzip.compress(bytes(10_000_000))])
    with pytest.raises(MalformedError, match="encoding 'gzip'"):
        client.get("/page")


def test_answer_that_drips_for_ever(japan: Japan, context: ssl.SSLContext) -> None:
    japan.parts = itertools.repeat(b"x", 1000)
    ticks = itertools.count(step=BOUNDS.transfer_s / 10)
    with (
        PeerClient("JPN", japan.url, context, timeout_s=10, elapsed_s=lambda: next(ticks)) as client,
        pytest.raises(UnreachableError, match=r"has sent \d+ bytes in \d+ s and is not done"),
    ):
        client.get("/page")


def test_answer_that_breaks_off(japan: Japan, client: PeerClient) -> None:
    japan.headers = [(b"content-length", b"100")]
    japan.parts, japan.breaks_off = iter([b"half"]), True
    with pytest.raises(UnreachableError, match="JPN closes the connection"):
        client.get("/page")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "Pair"), (403, "agreement"), (404, "address"), (413, "smaller"), (429, "waits"), (500, "log")],
)
def test_refusal_names_status_and_remedy(japan: Japan, client: PeerClient, status: int, remedy: str) -> None:
    japan.status, japan.parts = status, iter([b"unknown party"])
    with pytest.raises(RefusedError, match=f"JPN answers {status} 'unknown party' to /page") as told:
        client.get("/page")
    assert told.value.status == status
    assert remedy in told.value.remedy


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"30", 30), (b"0", 0), (b"Mon, 23 Nov 2026 00:00:00 GMT", None), (b"-1", None), (b"9" * 40, None)],
)
def test_refusal_says_how_long_to_wait(japan: Japan, client: PeerClient, text: bytes, seconds: int | None) -> None:
    japan.status, japan.headers = 503, [(b"retry-after", text)]
    with pytest.raises(RefusedError) as told:
        client.get("/page")
    assert told.value.retry_after_s == seconds


def test_words_of_a_refusal_cannot_deceive_the_operator(japan: Japan, client: PeerClient) -> None:
    japan.status = 500
    japan.parts = iter(["\x1b[2Jаll \u202egood\r\n2026 INFO fine\x00".encode(), b"y" * 1000])
    with pytest.raises(RefusedError) as told:
        client.get("/page")
    assert told.value.reason.isprintable()
    assert told.value.reason.isascii()
    assert len(told.value.reason) < 300


def test_refusal_of_any_size(japan: Japan, client: PeerClient) -> None:
    japan.status, japan.parts = 400, itertools.repeat(bytes(10_000), 500)
    with pytest.raises(RefusedError, match="JPN answers 400 to /page"):
        client.get("/page")


def test_redirect_is_not_followed(japan: Japan, client: PeerClient) -> None:
    japan.status, japan.headers = 307, [(b"location", b"/elsewhere")]
    with pytest.raises(RefusedError, match="307"):
        client.get("/page")
    assert [scope["path"] for scope, _ in japan.requests] == ["/page"]


@pytest.mark.parametrize("path", ["", "page", "/page?x=1", "/page#x", "//elsewhere/page", "/pa ge", "/p%41", "/p\r\nx"])
def test_path_is_plain(client: PeerClient, path: str) -> None:
    with pytest.raises(OurError, match="is not a plain path"):
        client.get(path)


@pytest.mark.parametrize("url", ["http://node.example", "https://user@node.example", "https://node.example/?x", ""])
def test_address_is_plain_https(context: ssl.SSLContext, url: str) -> None:
    with pytest.raises(MalformedError, match="not the plain https address"):
        PeerClient("JPN", url, context, timeout_s=1)


def test_address_may_have_a_path(japan: Japan, context: ssl.SSLContext) -> None:
    with PeerClient("JPN", japan.url + "/relto/", context, timeout_s=10) as client:
        client.get("/page")
    assert japan.requests[0][0]["path"] == "/relto/page"


@contextmanager
def bound_port() -> Iterator[tuple[socket.socket, str]]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound, f"https://127.0.0.1:{bound.getsockname()[1]}"


def test_nobody_listens(context: ssl.SSLContext) -> None:
    with (
        bound_port() as (_, url),
        PeerClient("JPN", url, context, timeout_s=10) as client,
        pytest.raises(UnreachableError, match="JPN refuses the connection") as told,
    ):
        client.get("/page")
    assert told.value.field == url
    assert "node is up" in told.value.remedy


def test_nobody_answers(context: ssl.SSLContext) -> None:
    with bound_port() as (bound, url), PeerClient("JPN", url, context, timeout_s=0.1) as client:
        bound.listen()
        with pytest.raises(UnreachableError, match="JPN does not answer in time"):
            client.get("/page")


def test_name_is_unknown(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with (
        PeerClient("JPN", "https://node.example", context, timeout_s=10) as client,
        pytest.raises(UnreachableError, match="cannot be reached: Name or service not known"),
    ):
        client.get("/page")


def test_connection_is_closed_without_a_word(context: ssl.SSLContext) -> None:
    with bound_port() as (bound, url), PeerClient("JPN", url, context, timeout_s=10) as client:
        bound.listen()
        threading.Thread(target=lambda: bound.accept()[0].close()).start()
        with pytest.raises(UnreachableError, match=r"JPN (closes the connection|cannot be reached)"):
            client.get("/page")
