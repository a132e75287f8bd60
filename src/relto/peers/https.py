"""Requests to one partner's node over mutual TLS, with every answer bounded and every failure explained.

Nothing is taken from the environment (no proxy, no other authorities), no redirect is followed, and no compressed
answer is read: its size would be known only after it was unpacked. A failure is one of:

* ``UnreachableError``: no answer, for the time being. Try again later.
* ``RefusedError``: the partner's node answered, and the answer is no.
* another ``PeerError``: what answers is not this partner, or its answer breaks a bound.
* another ``OurError``: the partner does not take our certificate, or a setting of ours is wrong.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import httpx

from relto.bounds import BOUNDS
from relto.envelope.card import check_url
from relto.errors import MalformedError, OurError, PeerError, ReltoError, TooLargeError
from relto.peers.handshake import explain_tls, refuses_us

CONTENT_TYPE = "application/octet-stream"

_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?", re.ASCII)
_UNPRINTABLE = re.compile(r"[^ -~]+", re.ASCII)
_REMEDIES = {
    401: "Pair with that partner again: it does not know our certificate.",
    403: "Ask the partner whether an agreement with us is in force there, and what its log says.",
    404: "Check the address on the partner's card; it may run an older version.",
    413: "Send smaller pages.",
    429: "Nothing to do: the node waits and tries again.",
    503: "Nothing to do: the node waits and tries again.",
}


class UnreachableError(OurError):
    """There is no answer, for the time being: the node is down, the line is cut, or it takes too long."""


class RefusedError(PeerError):
    """The partner's node answered with another status than success.

    Args:
        status: the HTTP status.
        retry_after_s: how long it asks us to wait; None if it does not say, or not in seconds.
    """

    def __init__(self, reason: str, *, status: int, retry_after_s: int | None, remedy: str, field: str) -> None:
        super().__init__(reason, remedy=remedy, field=field)
        self.status = status
        self.retry_after_s = retry_after_s


class PeerClient:
    """A client of one partner's node that keeps its connection open. Several threads may use it at once.

    Args:
        party: the partner; named in errors.
        url: where its node answers, as its card says.
        context: of ``relto.peers.tls.client_context`` for that partner.
        timeout_s: how long to wait for a connection, and for each next piece of an answer. A request that waits at
            the other side (``BOUNDS.poll_wait_ms``) needs more than that wait.
        elapsed_s: a clock that only runs forward; an answer may take ``BOUNDS.transfer_s`` altogether by it.

    Raises:
        MalformedError: ``url`` is no plain https address.
    """

    def __init__(
        self,
        party: str,
        url: str,
        context: ssl.SSLContext,
        timeout_s: float,
        *,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.party = party
        self._url = check_url(url).rstrip("/")
        self._elapsed_s = elapsed_s
        self._client = httpx.Client(
            verify=context,
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "identity", "user-agent": "relto"},
        )

    def __enter__(self) -> PeerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used after."""
        self._client.close()

    def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        limit_bytes: int = BOUNDS.page_bytes,
        came: bytearray | None = None,
    ) -> bytes:
        """Return what the partner's node holds under a path.

        Never reads on once the answer has gone over ``limit_bytes``. ``came`` is given what comes of the answer, also
        if it breaks off.

        Raises:
            UnreachableError, RefusedError, PeerError, OurError: see the module.
        """
        return self._request("GET", path, params=params, body=None, limit_bytes=limit_bytes, came=came)

    def post(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str = CONTENT_TYPE,
        limit_bytes: int = BOUNDS.request_bytes,
    ) -> bytes:
        """Send bytes to a path and return the answer, which may be empty.

        After an ``UnreachableError`` the partner may or may not have taken the bytes.

        Raises:
            UnreachableError, RefusedError, PeerError, OurError: see the module.
        """
        return self._request(
            "POST", path, params=None, body=body, limit_bytes=limit_bytes, headers={"content-type": content_type}
        )

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None,
        body: bytes | None,
        limit_bytes: int,
        headers: Mapping[str, str] | None = None,
        came: bytearray | None = None,
    ) -> bytes:
        if _PATH.fullmatch(path) is None:
            raise OurError(f"{path!r} is not a plain path.", field=self.party, remedy="Send values as parameters.")
        with (
            self._explained(),
            self._client.stream(method, self._url + path, params=params, content=body, headers=headers) as response,
        ):
            if not response.is_success:
                raise self._refusal(response, path)
            return self._read(response, limit_bytes, came)

    def _read(self, response: httpx.Response, limit_bytes: int, came: bytearray | None = None) -> bytes:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise MalformedError(
                f"{self.party} answers in the encoding {_shown(encoding)}, which was not asked for.",
                field="answer",
                remedy="Ask the partner what stands before its node.",
            )
        announced = response.headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit_bytes:
            raise self._too_large(limit_bytes)
        parts = bytearray() if came is None else came
        size_bytes, begun_s = 0, self._elapsed_s()
        for part in response.iter_raw():
            size_bytes += len(part)
            if size_bytes > limit_bytes:
                raise self._too_large(limit_bytes)
            if self._elapsed_s() - begun_s > BOUNDS.transfer_s:
                raise UnreachableError(
                    f"{self.party} has sent {size_bytes} bytes in {BOUNDS.transfer_s} s and is not done.",
                    field="answer",
                    remedy="Ask for smaller pages, or carry them on a memory stick.",
                )
            parts += part
        return bytes(parts)

    def _too_large(self, limit_bytes: int) -> TooLargeError:
        return TooLargeError(
            f"{self.party} answers with more than {limit_bytes} bytes.", field="answer", remedy="Tell the partner."
        )

    def _refusal(self, response: httpx.Response, path: str) -> RefusedError:
        try:
            text = self._read(response, BOUNDS.refusal_bytes).decode("utf-8", errors="replace")
        except PeerError:
            text = ""
        retry_after = response.headers.get("retry-after", "")
        return RefusedError(
            f"{self.party} answers {response.status_code} {_shown(text)}".rstrip() + f" to {path}.",
            status=response.status_code,
            retry_after_s=int(retry_after) if re.fullmatch(r"[0-9]{1,6}", retry_after) else None,
            remedy=_REMEDIES.get(response.status_code, "Ask the partner what its log says."),
            field="answer",
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise self._explain(error) from error

    def _explain(self, error: httpx.TransportError) -> ReltoError:
        causes = list(_causes(error))
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        if tls is not None and not isinstance(tls, ssl.SSLEOFError):
            if isinstance(error, httpx.ConnectError) or refuses_us(tls):
                return explain_tls(tls, self.party)
            reason = f"{self.party}'s answer was spoilt on its way: {tls.reason or 'TLS'}."
            return UnreachableError(reason, field=self._url, remedy="See whether the line is sound; it is tried again.")
        system = next((cause for cause in causes if isinstance(cause, OSError)), None)
        if isinstance(error, httpx.TimeoutException):
            reason, remedy = "does not answer in time", "See whether its node and the line are up."
        elif isinstance(system, ConnectionRefusedError):
            reason, remedy = "refuses the connection", "See whether its node is up, and check the port on its card."
        elif isinstance(error, httpx.ConnectError) and tls is None:
            reason = f"cannot be reached: {system.strerror if system else error}"
            remedy = "Check the address on its card, the name service and the line."
        else:
            reason = f"closes the connection without an answer: {error}"
            remedy = "If it never answered before, ask the partner whether its log shows our certificate refused."
        return UnreachableError(f"{self.party} {reason}.", field=self._url, remedy=remedy)


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        # httpcore re-raises "from None", which leaves the cause in the context only
        found = found.__cause__ or found.__context__


def _shown(text: str) -> str:
    """A partner's words, made safe to print."""
    return repr(_UNPRINTABLE.sub(" ", text)[:200].strip()) if text.strip() else ""
