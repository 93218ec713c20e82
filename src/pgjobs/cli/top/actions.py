"""What can be done from `pgjobs top`: each with a question before it, and a line about what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs import admin
from pgjobs.cli.output import clean, when
from pgjobs.core.errors import NotFoundError
from pgjobs.core.text import bounded

if TYPE_CHECKING:
    import psycopg

    from pgjobs.admin import Change


class Action(NamedTuple):
    """`question`: asked before; `work`: does it, and returns a line."""

    question: str
    work: Callable[[psycopg.Connection], str]


def pause(queue: str) -> Action:
    """Pause a queue."""

    def work(conn: psycopg.Connection) -> str:
        return f"{queue} is paused." if admin.pause_queue(conn, queue) else f"{queue} was paused already."

    return Action(f"Pause the queue {queue}? Workers claim nothing from it then; what runs continues.", work)


def resume(queue: str) -> Action:
    """Resume a queue."""

    def work(conn: psycopg.Connection) -> str:
        return f"{queue} is resumed." if admin.resume_queue(conn, queue) else f"{queue} was not paused."

    return Action(f"Resume the queue {queue}?", work)


def cancel(job: int) -> Action:
    """Cancel a job."""

    def work(conn: psycopg.Connection) -> str:
        return _told(admin.cancel_jobs(conn, [job]), f"job {job} is asked to end.")

    return Action(f"Cancel job {job}? It is asked to end, and is not run again.", work)


def retry(job: int) -> Action:
    """Replay a dead letter."""

    def work(conn: psycopg.Connection) -> str:
        return _told(admin.replay_dead(conn, [job]), f"job {job} is queued again.")

    return Action(f"Run job {job} again? It gets a fresh budget of attempts.", work)


def why(conn: psycopg.Connection, job: int) -> str:
    """Return why a job does not run, or how it ended."""
    answer = admin.why(conn, job)
    lines = [answer.sentence, f"Next: {answer.next_step}"]
    lines += [f"Also: {other.sentence} {other.next_step}" for other in answer.also]
    return "\n".join(map(clean, lines))


def details(conn: psycopg.Connection, job: int) -> str:
    """Return all that is known about a job."""
    try:
        found = admin.show_job(conn, job)
    except NotFoundError as error:
        return clean(str(error))
    pairs: list[tuple[str, Any]] = [
        ("job", found.id),
        ("status", found.status),
        ("queue", f"{found.queue}, priority {found.priority}"),
        ("task", found.task),
        ("call", found.summary),
        ("attempt", f"{found.attempt} of {found.max_attempts}"),
        ("due", when(found.run_at)),
        ("started", when(found.started_at)),
        ("finished", when(found.finished_at)),
        (
            "worker",
            found.worker_id and f"{found.worker_id} ({found.worker_host or '?'}, pid {found.worker_pid or '?'})",
        ),
        ("limit", found.limit_key),
        ("tenant", found.tenant),
        ("sequence", found.sequence),
        ("meta", found.meta),
        ("error", found.error),
    ]
    lines = [f"{name:<9} {clean(str(value))}" for name, value in pairs if value not in (None, "")]
    for entry in found.errors[-3:]:
        trace = entry.get("traceback")
        lines += ["", clean(f"attempt {entry.get('attempt', '?')}: {entry.get('error', '')}")]
        if isinstance(trace, str):
            lines += [clean(line) for line in bounded(trace).splitlines()[-40:]]
    return "\n".join(lines)


def _told(change: Change, fine: str) -> str:
    return clean(change.refused[0].reason) if change.refused else fine
