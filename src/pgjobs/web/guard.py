"""Around every request: which hosts are answered, which users are let in, and what browsers are told to refuse."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.web.access import User
from pgjobs.web.hosts import is_local

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pgjobs.web.access import Answer, Authorize

USER = "pgjobs.user"  # in the scope
HEADERS = {
    # Nothing inline, nothing from another host, in no frame. Charts set styles by script, which this allows.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would leave out the Origin of our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """An ASGI app around the dashboard's. `local_only`: answer requests to a name of this machine alone."""

    def __init__(self, app: ASGIApp, authorize: Authorize, *, local_only: bool) -> None:
        self._app = app
        self._authorize = authorize
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused, is_theirs = await self._refuse(Request(scope, receive))
        await (refused or self._app)(
            scope, receive, partial(_send, send, is_static=_is_static(scope), is_theirs=is_theirs)
        )

    async def _refuse(self, request: Request) -> tuple[Response | None, bool]:
        """Return the answer to a request that goes no further, and whether it is one of `authorize`."""
        if self._local_only and not is_local(request.headers.get("host", "")):
            return PlainTextResponse("This dashboard answers to localhost alone.\n", 421), False
        if _is_static(request.scope):
            return None, False
        answer = await self._ask(request)
        if isinstance(answer, User):
            request.scope[USER] = answer
            return None, False
        if answer is None:
            return PlainTextResponse("You may not look at this.\n", 403), False
        if not isinstance(answer, Response):
            raise UsageError(
                f"authorize returned {shorten_repr(answer)}: return a pgjobs.web.User, a Response, or None."
            )
        return answer, True

    async def _ask(self, request: Request) -> Answer:
        """Call `authorize`; one that is not async may query a database, and must not hold up the event loop."""
        if inspect.iscoroutinefunction(self._authorize):
            return cast("Answer", await self._authorize(request))
        answer = await run_in_threadpool(self._authorize, request)
        return await answer if inspect.isawaitable(answer) else answer


def _is_static(scope: Scope) -> bool:
    """Return True for our own scripts and styles: a login page may use them."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).startswith("/static/")


async def _send(send: Send, message: Message, *, is_static: bool, is_theirs: bool) -> None:
    """Send a message with our headers. An answer of `authorize` keeps its own: its page may need other scripts."""
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in {**HEADERS, "Cache-Control": "no-cache" if is_static else "no-store"}.items():
            if not is_theirs or name not in headers:
                headers[name] = value
    await send(message)
