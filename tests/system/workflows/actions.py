"""What operators do to random workflows, while they run and once nothing in them can go on."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import psycopg

from pgjobs import admin
from pgjobs.core.errors import NotFoundError

SPREAD = 2.5  # seconds within which a batch is acted upon
HEALS = ("replay", "failed", "after", "all")
RETRIES: dict[str, Literal["failed", "after", "all"]] = {
    "failed": "failed",
    "after": "after",
    "all": "all",
    "again": "failed",
    "again after": "after",
}
"""What is retried; before "again", what was wrong is not healed."""


@dataclass
class Acted:
    """What was done to a workflow while it ran.

    `asked`: its jobs that were to be cancelled. `forgotten`: those whose history has gone. `is_cancelled`: as a whole.
    """

    asked: set[int] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    is_cancelled: bool = False


def forget(conn: psycopg.Connection, workflow: int, share: float = 1.0) -> set[int]:
    """Drop the history of some steps that have ended, as retention does by days. Returns those that had one."""
    ids = [
        row[0] for row in conn.execute("SELECT job_id FROM pgjobs.workflow_steps WHERE workflow_id = %s", [workflow])
    ]
    some = random.sample(ids, round(len(ids) * share))
    rows = conn.execute("DELETE FROM pgjobs.jobs_history WHERE id = ANY (%s) RETURNING id", [some])
    return {row[0] for row in rows}


def act(conn: psycopg.Connection, workflow: int, what: str) -> Acted:
    """Do to a workflow that may run what the name says."""
    done = Acted()
    with suppress(NotFoundError):  # it has ended before
        if what == "cancel":
            ids = _jobs(conn, workflow)
            done.asked = set(random.sample(ids, min(len(ids), random.randint(1, 3))))  # noqa: S311 (no secret)
            admin.cancel_jobs(conn, list(done.asked))
        elif what == "cancel workflow":
            admin.cancel_workflow(conn, workflow)
            done.is_cancelled = True
        elif what == "pause":
            admin.pause_workflow(conn, workflow)
            time.sleep(random.uniform(0, 0.1))  # noqa: S311 (no secret)
            admin.resume_workflow(conn, workflow)
        elif what == "retry":
            admin.retry_workflow(conn, workflow)
        elif what == "replay":
            replay(conn, workflow)
        else:
            assert what == "forget", what
            done.forgotten = forget(conn, workflow)
    return done


def replay(conn: psycopg.Connection, workflow: int) -> None:
    """Put the dead letters of a workflow back."""
    admin.replay_dead(conn, _jobs(conn, workflow))


def retry(conn: psycopg.Connection, workflow: int, what: str) -> None:
    """Run again what has failed, or more: see `RETRIES`."""
    if what == "replay":
        replay(conn, workflow)
    else:
        admin.retry_workflow(conn, workflow, what=RETRIES[what])


def act_upon(conn: psycopg.Connection, wanted: dict[int, str]) -> dict[int, Acted]:
    """Act upon workflows at moments that nothing decides, and return what was done."""
    done: dict[int, Acted] = {}
    for workflow, what in random.sample(list(wanted.items()), len(wanted)):
        time.sleep(random.uniform(0, 2 * SPREAD / len(wanted)))  # noqa: S311 (no secret)
        done[workflow] = act(conn, workflow, what)
    return done


def _jobs(conn: psycopg.Connection, workflow: int) -> list[int]:
    rows = conn.execute(
        "SELECT job_id FROM pgjobs.workflow_steps WHERE workflow_id = %s AND (kind IS NULL OR kind = 'map')", [workflow]
    )
    return [row[0] for row in rows]
