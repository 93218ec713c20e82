"""The dashboard in the addresses of a Django project, behind its own login."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pgjobs.web.wsgi import wsgi_dashboard

if TYPE_CHECKING:
    from pgjobs.web.access import User

KEY = "pgjobs.user"  # in the environment of the request


def django_urls(
    *, authorize: Callable[[Any], User | Any | None], read_only: bool = False, database_url: str | None = None
) -> list[Any]:
    """Return the patterns of the dashboard, for `path("jobs/", include(django_urls(authorize=…)))`.

    `authorize`: is called with each request of Django, and returns the `User`; None: they may not look; or a response
    of Django, such as a redirect to your login. The rest is as for `dashboard`.
    """
    from django.http import HttpResponse, HttpResponseForbidden
    from django.urls import re_path
    from django.views.decorators.csrf import csrf_exempt

    app = wsgi_dashboard(
        authorize=lambda request: request.scope["wsgi_environ"][KEY], read_only=read_only, database_url=database_url
    )

    def view(request: Any, path: str) -> Any:
        user = authorize(request)
        if user is None:
            return HttpResponseForbidden("You may not look at this.\n", content_type="text/plain")
        if isinstance(user, HttpResponse):
            return user
        response = HttpResponse()

        def start_response(status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None) -> None:
            response.status_code = int(status.partition(" ")[0])
            for name, value in headers:
                if name.lower() == "set-cookie":
                    response.cookies.load(value)
                else:
                    response[name] = value

        response.content = b"".join(app(_environ(request, path, user), start_response))
        return response

    # Forms of the dashboard have tokens of their own.
    return [re_path(r"^(?P<path>.*)$", csrf_exempt(view))]


def _environ(request: Any, path: str, user: User) -> dict[str, Any]:
    """Return the environment of a request, whether Django itself runs under WSGI or ASGI."""
    prefix = request.path[: len(request.path) - len(path)].rstrip("/")
    kept = {
        name: value
        for name, value in request.META.items()
        if isinstance(value, str) and (name.isupper() or name.startswith("HTTP_"))
    }
    body = request.body
    return {
        **kept,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": _as_wsgi(prefix),
        "PATH_INFO": _as_wsgi(f"/{path}"),
        "QUERY_STRING": request.META.get("QUERY_STRING", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": str(request.META.get("SERVER_NAME", "localhost")),
        "SERVER_PORT": str(request.META.get("SERVER_PORT", "80")),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        KEY: user,
    }


def _as_wsgi(text: str) -> str:
    """Return a text as WSGI has paths: bytes of UTF-8, read as Latin-1."""
    return text.encode().decode("latin-1")
