"""The endpoint of actions: GET previews one, POST does it, and writes it to the audit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from pgjobs import admin
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.text import one_line
from pgjobs.web import forms
from pgjobs.web.actions.action import MAX_VALUE, Action, Asked, Preview
from pgjobs.web.actions.previewed import MAX_LENGTH
from pgjobs.web.actions.table import ACTIONS, back
from pgjobs.web.guard import USER

if TYPE_CHECKING:
    import psycopg
    from starlette.requests import Request

    from pgjobs.web.access import User
    from pgjobs.web.connections import Connections
    from pgjobs.web.shared import Shared

MAX_BODY = 4_000_000  # bytes of a form
UNTIL = "until"
Show = Callable[..., Response]


class ForbiddenError(UsageError):
    """The user has not the right, or the form is not one of ours."""


class Doing:
    """Previews and does actions. `show`: renders a template. `timeout_ms`: for each statement of a preview."""

    def __init__(self, connections: Connections, shared: Shared, show: Show, explained: Show, timeout_ms: int) -> None:
        self._connections = connections
        self._shared = shared
        self._show = show
        self._explained = explained
        self._timeout_ms = timeout_ms

    async def endpoint(self, request: Request) -> Response:
        """Answer a request to preview or to do an action."""
        try:
            form = await _form(request) if request.method == "POST" else {}
        except UsageError as error:
            return self._explained(request, error)
        return await run_in_threadpool(self._answer, request, form)

    def _answer(self, request: Request, form: dict[str, str]) -> Response:
        try:
            name, action, user = _allowed(request)
            if request.method == "POST":
                return self._do(request, name, action, user, form)
            return self._preview(request, name, action, user)
        except Exception as error:
            return self._explained(request, error)

    def _preview(self, request: Request, name: str, action: Action, user: User) -> Response:
        values = _values(action, request.query_params)
        with self._connections.reading(self._timeout_ms) as conn:
            preview = action.preview(Asked(conn, values, user.name))
        cookie = request.cookies.get(forms.COOKIE)
        is_new = not forms.is_cookie(cookie)
        cookie = forms.new_cookie() if is_new or cookie is None else cookie
        shown = {
            "action": action,
            "name": name,
            "preview": preview,
            "hidden": _hidden(action, values, preview),
            "token": forms.token(cookie, user.name),
            "cancel": back(action, values),
            "live": 0,
            "now": None,
        }
        response = self._show(request, "preview.html", shown, [])
        if is_new:
            response.set_cookie(
                forms.COOKIE,
                cookie,
                path=f"{request.scope.get('root_path', '')}/",
                httponly=True,
                samesite="strict",
                secure=forms.is_secure(request.url.scheme, request.headers),
            )
        return response

    def _do(self, request: Request, name: str, action: Action, user: User, form: dict[str, str]) -> Response:
        if not forms.is_same_origin(request.headers):
            raise ForbiddenError("this form was sent by another site: nothing was done.")
        if not forms.fits(request.cookies.get(forms.COOKIE), user.name, form.get(forms.FIELD)):
            raise ForbiddenError("this form is not one of yours, or too old: look at the preview again.")
        values = _values(action, form)
        with self._connections.writing() as conn:
            hidden = {UNTIL, *action.secret}
            target = {key: value[:MAX_VALUE] for key, value in values.items() if value and key not in hidden}
            number = admin.begin_audit(conn, user.name, name, target, via="dashboard")
            try:
                done = action.run(Asked(conn, values, user.name))
            except BaseException as error:
                said = one_line(error) if isinstance(error, Exception) else "interrupted"
                self._end_failed(conn, number, said)
                raise
            admin.end_audit(conn, number, number=done.number, outcome=done.sentence)
        self._shared.forget()
        base = request.scope.get("root_path", "")
        return RedirectResponse(f"{base}{back(action, values)}?done={number}", 303)

    def _end_failed(self, conn: psycopg.Connection, number: int, said: str) -> None:
        """Write that it failed. How much of it was done is not known."""
        if not conn.closed:
            admin.end_audit(conn, number, number=None, outcome=said, failed=True)
            return
        said = f"the connection was lost, and it may have been done: {said}"
        with suppress(Exception), self._connections.writing() as other:  # the first error is the one to be told
            admin.end_audit(other, number, number=None, outcome=said, failed=True)


def _allowed(request: Request) -> tuple[str, Action, User]:
    name, user = request.path_params["action"], request.scope[USER]
    action = ACTIONS.get(name)
    if action is None:
        raise NotFoundError("There is no such action.")
    if action.verb not in user.may:
        raise ForbiddenError(f"{user.name} has not the right to {action.verb}.")
    return name, action, user


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        UsageError: it is not one, or too large.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise UsageError("this is not a form of the dashboard.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise UsageError("this form is too large.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError as error:
        raise UsageError("this form cannot be read.") from error
    return dict(pairs)


def _values(action: Action, given: Any) -> dict[str, str]:
    """Return what an action takes of what was given.

    Raises:
        UsageError: a value cannot be one.

    """
    found: dict[str, str] = {}
    for name in (*action.takes, *action.fields, UNTIL):
        value = str(given.get(name, "")).strip()
        if len(value) > (MAX_LENGTH if name == UNTIL else action.longest.get(name, MAX_VALUE)) or "\0" in value:
            raise UsageError(f"{name} cannot be used: it is too long, or has a NUL.")
        found[name] = value
    return found


def _hidden(action: Action, values: dict[str, str], preview: Preview) -> dict[str, str]:
    hidden = {name: values[name] for name in action.takes if values[name]}
    return hidden if preview.until is None else {**hidden, UNTIL: preview.until}
