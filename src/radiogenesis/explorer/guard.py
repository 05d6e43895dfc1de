"""Who is answered on loopback: only the browser of the person who started the server.

Other accounts of the machine reach its ports too, and any web page can send requests to 127.0.0.1, or to a name of its
own that it lets point there (DNS rebinding). So a request must name this host, know the token, and stay within its
size, before anything of it is read. The token is no cookie: browsers send those to every port of a host, and with
requests of other pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_BYTES = 2**20
"""Of a request, where no other limit is given."""
_NOT_KNOWN = "open the address that `radiogenesis explore --serve` printed, the whole of it"
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Of every answer; a page has a policy of its own."""


class Guard:
    """Stands before an application.

    Args:
        app: what is guarded.
        hosts: values of the Host header that are this server's own.
        token: what the page's address (?token=...) and the Authorization header (Bearer ...) must say.
        limits: path -> bytes that a request to it may have.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], token: str, limits: Mapping[str, int]) -> None:
        self._app, self._hosts, self._token, self._limits = app, hosts, token.encode(), limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no web sockets, and nothing to start or end
        headers, limit = Headers(scope=scope), self._limits.get(scope["path"], REQUEST_BYTES)
        said, status = self._refused(scope, headers, limit)
        if said:
            await JSONResponse({"error": said}, status, HEADERS)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413, too_large(limit))
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    own.setdefault(name, value)
            await send(message)

        await self._app(scope, counted, with_headers)

    def _refused(self, scope: Scope, headers: Headers, limit: int) -> tuple[str, int]:
        """Why, and the status; "" for a request that is answered."""
        if headers.getlist("host") == [] or not set(headers.getlist("host")) <= self._hosts:
            return "this server is reached by the address that it printed", 421
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return "requests of other pages are not answered", 403
        if not compare_digest(self._given(scope, headers), self._token):
            return _NOT_KNOWN, 403
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return "the length of the request is no number", 400
        return (too_large(limit), 413) if int(length) > limit else ("", 200)

    def _given(self, scope: Scope, headers: Headers) -> bytes:
        if scope["method"] == "GET":
            return parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0].encode()
        return headers.get("authorization", "").removeprefix("Bearer ").encode()


def too_large(limit: int) -> str:
    """What is said of a request that is larger than it may be."""
    more = "" if limit == REQUEST_BYTES else "; --upload_mb allows more"
    return f"more than {limit / 2**20:,.0f} MB were sent{more}"
