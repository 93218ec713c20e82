"""`pgjobs pause`, `pgjobs resume` and `pgjobs drain`: everything at once."""

from __future__ import annotations

from typing import Annotated

import typer

from pgjobs import admin
from pgjobs.admin.drain import MAX_COUNTED
from pgjobs.cli.output import note, print_json, say
from pgjobs.cli.params import Json
from pgjobs.cli.session import session
from pgjobs.cli.terminal import progress

MAX_WAIT = 7 * 86400.0  # seconds


def pause() -> None:
    """Stop claiming jobs, whatever the queue.

    Running jobs finish; new jobs wait.
    """
    with session("pause") as conn:
        done = admin.pause_everything(conn)
    say("Everything is paused: `pgjobs resume` resumes it." if done else "Everything was paused already.")


def resume() -> None:
    """Claim jobs again, after `pgjobs pause`.

    Queues and tasks that were paused by name stay paused.
    """
    with session("resume") as conn:
        done = admin.resume_everything(conn)
    say("Everything is resumed." if done else "Nothing was paused: queues and tasks are paused separately.")


def drain(
    queues: Annotated[
        list[str] | None, typer.Option("--queue", "-q", metavar="NAME", help="Only this queue; repeatable.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0, max=MAX_WAIT, metavar="SECONDS", help="Give up after this long, and exit with 1."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Wait until no job is due and none runs.

    Jobs that wait for their turn count. Jobs for later and jobs of a paused queue do not: after `pgjobs pause`, it
    waits for the running jobs.
    """
    with session("drain") as conn, progress("draining") as on_progress:
        left = admin.wait_until_idle(conn, queues, timeout=timeout, on_progress=lambda rows: on_progress(0))
    if as_json:
        print_json(left)
    elif not left:
        say("No job is due, and none runs.")
    for each in () if as_json else left:
        due = f"{each.due:,}" if each.due <= MAX_COUNTED else f"over {MAX_COUNTED:,}"
        note(f"pgjobs: queue {each.queue}: {due} due, {each.running:,} running.")
    turn = next((each.turn for each in left if each.turn is not None), None)
    if turn is not None and not as_json:
        note(f"pgjobs: a job that waits for its turn may need help: see `pgjobs why {turn}`.")
    if left:
        raise typer.Exit(1)
