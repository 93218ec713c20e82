"""`pgjobs status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.cli.output import Column, print_json, print_table, say
from pgjobs.cli.params import Json
from pgjobs.cli.session import session
from pgjobs.core.text import plural, short_duration
from pgjobs.db.stuck_jobs import sentence

if TYPE_CHECKING:
    from pgjobs.admin import QueueStatus, Worker

QUEUES = (
    Column("QUEUE"),
    Column("DUE", right=True),
    Column("LATER", right=True),
    Column("WAITING", right=True),
    Column("RUNNING", right=True),
    Column("LATENCY", right=True),
    Column("RATE", right=True),
    Column("DEAD", right=True),
    Column("STATE"),
)
WORKERS = (
    Column("WORKER", right=True),
    Column("HOST"),
    Column("PID", right=True),
    Column("QUEUES", share=1),
    Column("STATE"),
    Column("UP", right=True),
    Column("HEARTBEAT", right=True),
)


def status(as_json: Json = False) -> None:
    """Show queues, dead letters and workers.

    Due: jobs that can start now, or wait for their turn. Waiting: for other jobs, or for a paused task. Latency: how
    long the oldest due job has been due. Rate: jobs that finished in the last minute, for queues that keep them.
    """
    with session("status") as conn:
        state = admin.show_status(conn)
    if as_json:
        print_json(state)
        return
    print_table(QUEUES, [_queue(queue) for queue in state.queues], empty="No queue has jobs or settings yet.")
    if state.dead:
        letters = f"{state.dead:,}+ dead letters" if state.dead_capped else plural(state.dead, "dead letter")
        say(f"{letters}: see `pgjobs dead list`.")
    if state.stuck:
        say(f"{sentence(state.stuck)}: see `pgjobs doctor`.")
    rows = [_worker(worker, short_duration((state.at - worker.started_at).total_seconds())) for worker in state.workers]
    if rows:
        say("")
    print_table(WORKERS, rows, empty="No worker is running: start one with `pgjobs work`.")


def _queue(queue: QueueStatus) -> list[str]:
    return [
        queue.queue,
        f"{queue.due}{'+' * queue.due_capped}",
        f"{queue.later}{'+' * queue.later_capped}",
        "?" if queue.waiting is None else str(queue.waiting),
        "?" if queue.running is None else str(queue.running),
        "-" if queue.latency_seconds is None else short_duration(queue.latency_seconds),
        _rate(queue.rate_per_second) if queue.rate_per_second is not None else "?" if queue.keep_completed else "-",
        str(queue.dead),
        ", ".join(_states(queue)),
    ]


def _states(queue: QueueStatus) -> list[str]:
    late = [] if queue.sla is None or not queue.is_late else [f"late (SLA {queue.sla:g} s)"]
    return [*late, *["paused"] * queue.paused, *["keeps nothing"] * (not queue.keep_completed)]


def _rate(per_second: float) -> str:
    """Write a rate per second, or per minute if it is low."""
    if per_second == 0:
        return "0"
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second * 60:.0f}/min"


def _worker(worker: Worker, up: str) -> list[str]:
    queues = worker.queues
    if isinstance(queues, dict):
        names = " ".join(f"{name}:{slots}" for name, slots in queues.items())
    else:  # written by hand
        names = " ".join(map(str, queues)) if isinstance(queues, list) else str(queues)
    return [
        str(worker.id),
        worker.host,
        str(worker.pid),
        names,
        "unheard" if worker.is_silent else worker.state,
        up,
        f"{short_duration(max(0.0, worker.heartbeat_age_seconds))} ago",
    ]
