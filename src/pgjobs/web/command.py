"""`pgjobs web`."""

from __future__ import annotations

import getpass
import socket
import sys
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgjobs.core.errors import ConfigurationError, UsageError
from pgjobs.core.text import one_line, shorten_repr

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pgjobs.web.access import Authorize, User

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
PORT = 8799


def web(
    context: typer.Context,
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer no actions.")] = False,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen here. Beyond this machine it takes --authorize.")
    ] = LOCAL_HOSTS[0],
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0: one that is free.")] = PORT,
    authorize: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Call it with each request: it returns the user, or None.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show queues, jobs and all else in a browser.

    It listens on this machine alone, and lets in all of its users, with all rights. Anywhere else it needs a login of
    yours: see docs/dashboard.md.
    """
    if authorize is None and host not in LOCAL_HOSTS:
        raise UsageError(
            f"--host {host} would let in all who reach it. Name with --authorize MODULE:FUNCTION what knows your "
            "users, or mount the dashboard behind the login of your own app: see docs/dashboard.md."
        )
    from pgjobs.db.choose_database import database  # imported lazily: help needs none of this
    from pgjobs.db.connection import connect
    from pgjobs.db.installation import connection_name
    from pgjobs.db.revision import check_schema

    try:
        import uvicorn

        from pgjobs.web.app import dashboard
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"`pgjobs web` needs {error.name}: pip install 'pgjobs-runner[web]'") from error

    own = _this_user if authorize is None else load(authorize)
    with database(embedded=bool(context.find_root().params.get("embedded"))) as url, listening(host, port) as listener:
        with connect(url, application_name=connection_name("web")) as conn:
            check_schema(conn)
        app: ASGIApp = dashboard(authorize=own, read_only=read_only, database_url=url, local_only=authorize is None)
        config = uvicorn.Config(app, log_level="warning", lifespan="off", server_header=False, proxy_headers=False)
        typer.echo(f"The dashboard is at {_address(listener)}. Ctrl-C ends it.")
        sys.stdout.flush()
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            return


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigurationError: it cannot.

    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}, port {port}: {one_line(error)}. Try another --port."
        ) from error


def load(target: str) -> Authorize:
    """Import what `--authorize` names. The current folder is searched too, as in `pgjobs work`.

    Raises:
        UsageError: it cannot be imported, or is not callable.

    """
    module, _, name = target.partition(":")
    if not module or not name:
        raise UsageError(f"--authorize {shorten_repr(target)}: give MODULE:FUNCTION, such as shop.ops:authorize.")
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = attrgetter(name)(import_module(module))
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        raise UsageError(f"--authorize {target} cannot be imported: {one_line(error)}.") from error
    if not callable(found):
        raise UsageError(f"--authorize {target} is not callable: give MODULE:FUNCTION.")
    authorize: Authorize = found
    return authorize


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _this_user(request: Request) -> User:
    """Return the user of this machine who runs the command, who may do everything."""
    from pgjobs.web.access import ALL, User

    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name, as in containers
        name = "operator"
    return User(name, may=ALL)
