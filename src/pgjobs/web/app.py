"""The dashboard as an ASGI app: which page is at which address, and what happens when one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pgjobs import admin
from pgjobs.core.errors import ConfigurationError, NotFoundError, PgjobsError, UsageError
from pgjobs.core.text import one_line
from pgjobs.db.url import mask
from pgjobs.web.actions.table import may
from pgjobs.web.connections import Connections
from pgjobs.web.doing import Doing, ForbiddenError
from pgjobs.web.guard import USER, Guard
from pgjobs.web.pages import charts, dead, jobs, operations, overview, queues, workflows
from pgjobs.web.rendering import render
from pgjobs.web.shared import Shared
from pgjobs.web.visit import Page, Visit, now_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pgjobs.admin import AuditEntry
    from pgjobs.web.access import Authorize, User

SHOWN_FOR = timedelta(minutes=1)  # what came of an action
TIMEOUT_MS = 2_000  # milliseconds that a statement of a page may take
DOCTOR_MS = 10_000  # milliseconds that one of the doctor may take, for which no page waits
LOG = logging.getLogger("pgjobs.web")
# Address, title, function; in the order of the navigation. Those without a title are not in it.
PAGES: tuple[tuple[str, str, Callable[[Visit], Page]], ...] = (
    ("/", "Overview", overview.overview),
    ("/queues", "Queues", queues.queues),
    ("/queue", "", queues.queue),
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
    ("/audit", "Audit", operations.audit),
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
    connections = Connections(database_url, as_reader=read_only)
    shared = Shared(lambda: connections.reading(DOCTOR_MS))
    routes: list[Any] = [
        Route(address, _endpoint(function, connections, shared), methods=["GET"]) for address, _, function in PAGES
    ]
    routes.append(Route("/minutes", _values(charts.minutes, connections, shared), methods=["GET"]))
    if not read_only:
        doing = Doing(connections, shared, _show, explained, TIMEOUT_MS)
        routes.append(Route("/do/{action}", doing.endpoint, methods=["GET", "POST"]))
    static = StaticFiles(packages=[("pgjobs.web", "static")])
    app = Starlette(routes=[*routes, Mount("/static", static)], exception_handlers={404: _nothing_here})
    app.state.read_only = read_only
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
                shown = {**page.values, "now": visit.now, "live": page.live, "done": _done(request, visit)}
                return _show(request, page.template, shown, visit.late)
        except Exception as error:
            return explained(request, error)

    return endpoint


def _values(function: Callable[[Visit], dict[str, Any]], connections: Connections, shared: Shared) -> Any:
    """Return what a script asks for as what Starlette calls, in a thread: JSON, also of an error."""

    def endpoint(request: Request) -> Response:
        try:
            with connections.reading(TIMEOUT_MS) as conn:
                visit = Visit(
                    conn, request.scope[USER], request.query_params, request.path_params, shared, now_of(conn)
                )
                return JSONResponse(function(visit))
        except Exception as error:
            status, title, sentence = what_failed(request, error)
            return JSONResponse({"error": title, "sentence": sentence}, status)

    return endpoint


def _show(request: Request, template: str, values: dict[str, Any], late: list[str], status: int = 200) -> Response:
    base = request.scope.get("root_path", "")
    path = request.scope["path"].removeprefix(base) or "/"
    user: User | None = request.scope.get(USER)
    is_read_only = request.app.state.read_only
    common = {
        "base": base,
        "here": path,
        "navigation": NAVIGATION,
        "user": user,
        "late": late,
        "done": None,
        "can": lambda name: not is_read_only and user is not None and may(user, name),
    }
    return HTMLResponse(render(template, {**common, **values}), status)


def _done(request: Request, visit: Visit) -> AuditEntry | None:
    """Return what this user has just done, to say what came of it."""
    number = request.query_params.get("done", "")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        return None
    found = visit.rows("what was done", lambda: admin.list_audit(visit.conn, limit=1, before=int(number) + 1))
    is_own = found and found[0].id == int(number) and found[0].by == visit.user.name
    return found[0] if is_own and visit.now - found[0].at < SHOWN_FOR else None


def explained(request: Request, error: Exception) -> Response:
    """Return a page that says in one line what went wrong."""
    status, title, sentence = what_failed(request, error)
    values = {"title": title, "sentence": sentence, "live": 0, "now": None}
    return _show(request, "error.html", values, [], status)


def what_failed(request: Request, error: Exception) -> tuple[int, str, str]:
    """Return the status of the answer, and what went wrong in a title and in a sentence."""
    import psycopg

    if isinstance(error, ForbiddenError):
        status, title = 403, "Not allowed"
    elif isinstance(error, NotFoundError):
        status, title = 404, "Not found"
    elif isinstance(error, UsageError):
        status, title = 400, "This cannot be done"
    elif isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        status, title = 503, "This took too long"
    elif isinstance(error, ConfigurationError | psycopg.OperationalError | psycopg.InterfaceError):
        status, title = 503, "The database does not answer as it should"
    elif isinstance(error, psycopg.Error):
        status, title = 500, "PostgreSQL refused"
    else:
        status, title = 500, "The dashboard has failed"
        LOG.error("the page %s failed", request.scope["path"], exc_info=error)
    known = isinstance(error, PgjobsError | psycopg.Error)
    sentence = one_line(mask(str(error))) if known else "The log of this process has the traceback."
    return status, title, sentence


def _nothing_here(request: Request, error: Exception) -> Response:
    base = request.scope.get("app_root_path", request.scope.get("root_path", ""))
    path = request.scope["path"].removeprefix(base)
    if path.startswith("/static/"):  # no login is asked for there, so nothing of the dashboard is shown
        return PlainTextResponse("There is no such file.\n", 404)
    if path == "":  # mounted, and asked for without the slash
        return RedirectResponse(f"{base}/")
    return explained(request, NotFoundError("There is no such page."))
