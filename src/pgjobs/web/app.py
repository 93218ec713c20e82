"""The dashboard as an ASGI app: which page is at which address, and what happens when one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pgjobs.core.errors import ConfigurationError, NotFoundError, PgjobsError, UsageError
from pgjobs.core.text import one_line
from pgjobs.db.url import mask
from pgjobs.web.connections import Connections
from pgjobs.web.guard import USER, Guard
from pgjobs.web.pages import dead, jobs, operations, overview, queues, workflows
from pgjobs.web.rendering import render
from pgjobs.web.shared import Shared
from pgjobs.web.visit import Page, Visit, now_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pgjobs.web.access import Authorize

TIMEOUT_MS = 2_000  # milliseconds that a statement of a page may take
LOG = logging.getLogger("pgjobs.web")
# Address, title, function; in the order of the navigation. Those without a title are not in it.
PAGES: tuple[tuple[str, str, Callable[[Visit], Page]], ...] = (
    ("/", "Overview", overview.overview),
    ("/queues", "Queues", queues.queues),
    ("/jobs", "Jobs", jobs.jobs),
    ("/jobs/{id}", "", jobs.job),
    ("/dead", "Dead letters", dead.dead),
    ("/workflows", "Workflows", workflows.workflows),
    ("/workflows/{id}", "", workflows.workflow),
    ("/schedules", "Schedules", operations.schedules),
    ("/limits", "Limits", operations.limits),
    ("/workers", "Workers", operations.workers),
    ("/subscriptions", "Events", operations.subscriptions),
    ("/pipelines", "Pipelines", operations.pipelines),
    ("/doctor", "Doctor", operations.doctor),
)
NAVIGATION = tuple((address, title) for address, title, _ in PAGES if title)


def dashboard(
    *, authorize: Authorize, read_only: bool = False, database_url: str | None = None, local_only: bool = False
) -> ASGIApp:
    """Return the dashboard as an ASGI app, to run or to mount under any prefix.

    `authorize`: is called with each request (of Starlette), async or in a thread, and returns the `User`; None: they
    may not look; or a response, such as a redirect to your login. `read_only`: there are no actions, and pages read
    with the role `pgjobs_read`, where there is one. `database_url`: any URL of PostgreSQL (default: the configured
    one). `local_only`: answer only requests that name localhost, for a dashboard without a login.
    """
    connections, shared = Connections(database_url, as_reader=read_only), Shared()
    routes: list[Any] = [
        Route(address, _endpoint(function, connections, shared), methods=["GET"]) for address, _, function in PAGES
    ]
    static = StaticFiles(packages=[("pgjobs.web", "static")])
    app = Starlette(routes=[*routes, Mount("/static", static)], exception_handlers={404: _nothing_here})
    return Guard(app, authorize, local_only=local_only)


def _endpoint(function: Callable[[Visit], Page], connections: Connections, shared: Shared) -> Any:
    """Return a page as what Starlette calls, in a thread."""

    def endpoint(request: Request) -> Response:
        try:
            with connections.reading(TIMEOUT_MS) as conn:
                visit = Visit(
                    conn, request.scope[USER], request.query_params, request.path_params, shared, now_of(conn)
                )
                page = function(visit)
                return _show(request, page.template, {**page.values, "now": visit.now, "live": page.live}, visit.late)
        except Exception as error:
            return explained(request, error)

    return endpoint


def _show(request: Request, template: str, values: dict[str, Any], late: list[str], status: int = 200) -> Response:
    base = request.scope.get("root_path", "")
    path = request.scope["path"].removeprefix(base) or "/"
    common = {"base": base, "here": path, "navigation": NAVIGATION, "user": request.scope.get(USER), "late": late}
    return HTMLResponse(render(template, {**common, **values}), status)


def explained(request: Request, error: Exception) -> Response:
    """Return a page that says in one line what went wrong."""
    import psycopg

    if isinstance(error, NotFoundError):
        status, title = 404, "Not found"
    elif isinstance(error, UsageError):
        status, title = 400, "This cannot be done"
    elif isinstance(error, ConfigurationError | psycopg.OperationalError | psycopg.InterfaceError):
        status, title = 503, "The database does not answer as it should"
    elif isinstance(error, psycopg.Error):
        status, title = 500, "PostgreSQL refused"
    else:
        status, title = 500, "The dashboard has failed"
        LOG.error("the page %s failed", request.scope["path"], exc_info=error)
    known = isinstance(error, PgjobsError | psycopg.Error)
    sentence = one_line(mask(str(error))) if known else "The log of this process has the traceback."
    values = {"title": title, "sentence": sentence, "live": 0, "now": None}
    return _show(request, "error.html", values, [], status)


def _nothing_here(request: Request, error: Exception) -> Response:
    base = request.scope.get("root_path", "")
    path = request.scope["path"].removeprefix(base)
    if path == "":  # mounted, and asked for without the slash
        return RedirectResponse(f"{base}/")
    return explained(request, NotFoundError("There is no such page."))
