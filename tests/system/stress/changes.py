"""What an operator does: limits, pauses, breakers, jobs and dead letters, by the functions of `pgjobs.admin`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pgjobs import admin
from pgjobs.core.errors import NotFoundError
from pgjobs.flow.limits import NO_LIMIT, make_limit
from tests.system.soak.aging import LOOK_NOW
from tests.system.stress.plan import BREAKERS, LIMIT_KEYS, QUEUES, RATE_KEYS, TASKS, Step
from tests.system.stress.tasks import tick, tick_alone

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

SCHEDULES = ("every second", "alone")

HOPELESS = """
    SELECT j.id FROM pgjobs.jobs_waiting AS j
    WHERE j.held = 'needs'
      AND EXISTS (SELECT FROM pgjobs.dependencies AS d
                  JOIN pgjobs.jobs AS n ON n.id = d.needs_id
                  WHERE d.job_id = j.id AND d.on_failure <> 'run'
                    AND (n.status IN ('failed', 'cancelled') OR n.status = 'waiting' AND n.held = 'needs'))
"""


def task_name(name: str) -> str:
    """Return a task of the load as pgjobs names it."""
    return f"tests.system.stress.tasks:{name}"


def perform(conn: psycopg.Connection[Any], step: Step, note_held: Callable[[list[int]], None]) -> None:
    """Do it. `note_held` is told which rows are locked meanwhile.

    Raises:
        psycopg.Error: the server did not answer, or another transaction was quicker.

    """
    values = step.values
    if "hold" in values:
        note_held(values["ids"])
        with conn.transaction(force_rollback=not values["commit"]):
            _simple(conn, step)
            time.sleep(values["hold"])
        return
    _simple(conn, step)


def _simple(conn: psycopg.Connection[Any], step: Step) -> None:
    values = step.values
    match step.kind:
        case "set limit":
            admin.set_limit(conn, values["name"], make_limit(values["concurrency"], values["rate"], values["burst"]))
        case "remove limit":
            admin.remove_limit(conn, values["name"])
        case "limit queue":
            given = values["concurrency"], values["rate"]
            admin.set_queue_limit(conn, values["name"], NO_LIMIT if given == (None, None) else make_limit(*given, None))
        case "age queue":
            admin.set_queue_aging(conn, values["name"], values["seconds"])
        case "pause queue":
            admin.pause_queue(conn, values["name"])
        case "resume queue":
            admin.resume_queue(conn, values["name"])
        case "pause task":
            admin.pause_task(conn, task_name(values["name"]))
        case "resume task":
            admin.resume_task(conn, values["name"])
        case "pause all":
            admin.pause_everything(conn)
        case "resume all":
            admin.resume_everything(conn)
        case "open breaker":
            admin.open_breaker(conn, values["name"], values["seconds"])
        case "close breaker":
            admin.close_breaker(conn, values["name"])
        case "dependency":
            conn.execute("UPDATE stress.mode SET down = %s", [values["down"]])
        case "cancel" | "cancel held":
            admin.cancel_jobs(conn, values["ids"], force=values["force"], cascade=values["cascade"])
        case "retry":
            admin.retry_jobs(conn, values["ids"])
        case "set" | "set held":
            admin.set_jobs(conn, values["ids"], **values["change"])
        case "replay":
            admin.replay_dead(conn, values["ids"])
        case "discard":
            admin.discard_dead(conn, values["ids"])
        case "weigh":
            admin.set_tenant_weight(conn, values["name"], values["weight"])
        case "cancel hopeless":
            cancel_hopeless(conn)
        case "retention":
            conn.execute(LOOK_NOW)
        case _:
            raise AssertionError(step.kind)


def cancel_hopeless(conn: psycopg.Connection[Any]) -> int:
    """Cancel the jobs that wait for one that did not complete, and those that wait for them."""
    hopeless = [row[0] for row in conn.execute(HOPELESS).fetchall()]
    return len(admin.cancel_jobs(conn, hopeless, cascade=True).done)


def lift(conn: psycopg.Connection[Any]) -> None:
    """End all that holds jobs up: pauses, limits, breakers, and jobs that fail."""
    conn.execute("UPDATE stress.mode SET calm = true, down = false")
    admin.resume_everything(conn)
    for queue in QUEUES:
        admin.resume_queue(conn, queue)
        admin.set_queue_limit(conn, queue, NO_LIMIT)
    for task in TASKS:
        admin.resume_task(conn, task_name(task))
    admin.set_limit(conn, "lim:*", make_limit(2, None, None))
    admin.set_limit(conn, "rate:*", make_limit(None, "50/s", None))
    for key in (*LIMIT_KEYS, *RATE_KEYS):
        admin.remove_limit(conn, key)
    for name in BREAKERS:
        try:
            admin.close_breaker(conn, name)
        except NotFoundError:
            pass
    for name in SCHEDULES:
        admin.pause_schedule(conn, name)


def set_up(conn: psycopg.Connection[Any]) -> None:
    """Set what a round begins with."""
    conn.execute("UPDATE stress.mode SET calm = false, down = false")
    admin.set_limit(conn, "lim:*", make_limit(2, None, None))
    admin.set_limit(conn, "rate:*", make_limit(None, "20/s", 5))
    admin.add_schedule(conn, "every second", "* * * * * *", tick, ["every second"], replacing=True)
    admin.add_schedule(conn, "alone", "* * * * * *", tick_alone, ["alone"], overlap="skip", replacing=True)
    for name in SCHEDULES:
        admin.resume_schedule(conn, name)
