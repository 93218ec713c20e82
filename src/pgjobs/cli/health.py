"""`pgjobs health`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from pgjobs.cli.output import print_json, say
from pgjobs.cli.params import Json
from pgjobs.core.errors import UsageError

WITHIN = 5.0  # seconds for the answer


def health(
    live: Annotated[bool, typer.Option("--live", help="Does the supervisor live?")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Can its workers claim jobs?")] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, metavar="PORT", help="Its --health-port.", envvar="PGJOBS_HEALTH_PORT", show_default=False
        ),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where it runs.")] = "127.0.0.1",
    as_json: Json = False,
) -> None:
    """Ask a supervisor how it is, and exit with 1 if it is not well.

    For probes that run a command; others ask its --health-port themselves.
    """
    if live == ready:
        raise UsageError("give --live or --ready.")
    if port is None:
        raise UsageError("no port: give --port, or set PGJOBS_HEALTH_PORT for `pgjobs work` and for this.")
    probe = "live" if live else "ready"
    answer = ask(host, port, probe)
    if as_json:
        print_json(answer)
    else:
        say(f"{probe}: {'yes' if answer['ok'] else 'no'}")
        for check in answer["checks"]:
            say(f"{'ok' if check['ok'] else 'failed':<7} {check['name']}: {check['detail']}")
    if not answer["ok"]:
        raise typer.Exit(1)


def ask(host: str, port: int, probe: str) -> dict[str, Any]:
    """Return the answer of a supervisor; one that cannot be reached is not well."""
    place = f"[{host}]" if ":" in host else host
    # Without the proxies that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}:{port}/{probe}", timeout=WITHIN) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 503:
                return dict(json.load(error))
            reason = f"port {port} of {host} answers {error.code}: is it the --health-port of pgjobs?"
    except (OSError, ValueError) as error:
        reason = f"port {port} of {host} does not answer: {error}"
    return {"probe": probe, "ok": False, "checks": [{"name": "supervisor", "ok": False, "detail": reason}]}
