"""Metrics as an ASGI application, to be mounted in one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from pgjobs.metrics.collector import TIME_LIMIT, Collector
from pgjobs.telemetry.prometheus import exposition

Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"
AsgiApp: TypeAlias = "Callable[[Message, Receive, Send], Awaitable[None]]"


def asgi_app(database_url: str | None = None, *, time_limit: float = TIME_LIMIT) -> AsgiApp:
    """Return an ASGI application that answers GET with the metrics of an installation: `app.mount("/metrics", …)`.

    It has no login of its own. The parameters are those of `Collector`.

    Raises:
        ConfigurationError: prometheus-client is not installed.

    """
    collector = Collector(database_url, time_limit=time_limit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] != "http":
            raise ValueError(f"metrics are served by HTTP, not by {scope['type']}.")
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, "text/plain; charset=utf-8", b"Only GET and HEAD.\n")
            return
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        content_type, body = await asyncio.to_thread(exposition, collector, accept)
        await _answer(send, 200, content_type, body if scope["method"] == "GET" else b"")

    return app


async def _answer(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
