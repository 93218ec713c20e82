"""The dashboard as a WSGI app, for Flask and all else that speaks WSGI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a2wsgi import ASGIMiddleware

from pgjobs.web.app import dashboard

if TYPE_CHECKING:
    from pgjobs.web.access import Authorize


def wsgi_dashboard(*, authorize: Authorize, read_only: bool = False, database_url: str | None = None) -> Any:
    """Return the dashboard as a WSGI app, to mount under any prefix.

    As `dashboard`. The WSGI environment of a request is `request.scope["wsgi_environ"]`.
    """
    app: Any = dashboard(authorize=authorize, read_only=read_only, database_url=database_url)
    return ASGIMiddleware(app)
