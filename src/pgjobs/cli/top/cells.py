"""What stands in the cells of `pgjobs top`. All text from rows is made harmless here: a terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.cli.output import Column, clean
from pgjobs.core.config import DEFAULT_RESCUE_AFTER
from pgjobs.core.text import short_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgjobs.cli.top.snapshot import Snapshot, TopJob, TopLetter, TopQueue, TopWorker

QUEUES = (
    Column("QUEUE"),
    Column("LATENCY", right=True),
    Column("SLA", right=True),
    Column("DUE", right=True),
    Column("RUN", right=True),
    Column("/MIN", right=True),
    Column("STATE"),
)
TREND = Column("LAST MINUTE")
RUNNING = (
    Column("JOB", right=True),
    Column("FOR", right=True),
    Column("QUEUE"),
    Column("TRY", right=True),
    Column("DONE"),
    Column("CALL", share=1),
)
LETTERS = (
    Column("JOB", right=True),
    Column("DIED", right=True),
    Column("QUEUE"),
    Column("CALL"),
    Column("ERROR", share=1),
)
WORKERS = (
    Column("WORKER", right=True),
    Column("HOST"),
    Column("PID", right=True),
    Column("STATE"),
    Column("UP", right=True),
    Column("HEARD", right=True),
    Column("QUEUES", share=1),
)
_BARS = "▁▂▃▄▅▆▇█"
_LETTERS_COUNTED = 1_000


def queue_cells(queue: TopQueue, due_cap: int) -> list[str]:
    """Return the cells of a queue."""
    state = ["paused"] * queue.paused + ["late"] * queue.is_late
    if queue.letters:
        state.append(f"{queue.letters} dead")
    return [
        _short(queue.name, 24),
        "-" if queue.latency is None else short_duration(max(queue.latency, 0.0)),
        "-" if queue.sla is None else short_duration(queue.sla),
        f"{due_cap}+" if queue.due > due_cap else str(queue.due),
        str(queue.running),
        "-" if queue.ended is None else f"{queue.ended:,}",
        ", ".join(state),
    ]


def job_cells(job: TopJob) -> list[str]:
    """Return the cells of a job that runs."""
    return [
        str(job.id),
        "-" if job.seconds is None else short_duration(max(job.seconds, 0.0)),
        _short(job.queue, 16),
        f"{job.attempt}/{job.max_attempts}",
        done(job),
        " · ".join([_call(job.summary, job.task), *([_short(job.message, 80)] if job.message else [])]),
    ]


def letter_cells(letter: TopLetter) -> list[str]:
    """Return the cells of a dead letter."""
    return [
        str(letter.id),
        f"{short_duration(max(letter.seconds, 0.0))} ago",
        _short(letter.queue, 16),
        _short(_call(letter.summary, letter.task), 30),
        _short(letter.error or "", 200),
    ]


def worker_cells(worker: TopWorker) -> list[str]:
    """Return the cells of a worker."""
    queues = worker.queues  # a row that was written by hand may have anything there
    names = [f"{name}:{slots}" for name, slots in queues.items()] if isinstance(queues, dict) else [str(queues)]
    silent = worker.silent > (worker.rescue_after or DEFAULT_RESCUE_AFTER)
    return [
        str(worker.id),
        _short(worker.host, 20),
        str(worker.pid),
        "unheard" if silent else _short(worker.state, 12),
        short_duration(max(worker.up, 0.0)),
        f"{short_duration(max(worker.silent, 0.0))} ago",
        _short(" ".join(names), 200),
    ]


def done(job: TopJob) -> str:
    """Write how far a job has come, by its own word; or that it is to end."""
    if job.cancel_reason is not None:
        return "cancelling"
    if job.done is None:
        return ""
    if not job.total:
        return f"{job.done:g}"
    share = max(0.0, min(1.0, job.done / job.total))
    return f"{'█' * round(share * 8):░<8} {share:.0%}"


def spark(values: Iterable[float], width: int, most: float | None = None) -> str:
    """Draw the last values as bars, each beside the largest of them, or beside `most` if that is larger.

    >>> spark([0, 1, 2, 4], 4), spark([1, 1], 4), spark([2], 2, most=4), spark([], 3)
    ('▁▃▅█', '██', '▅', '')

    """
    shown = [max(0.0, value) for value in [*values][-width:]]
    top = max([*shown, most or 0.0], default=0.0)
    if top <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * (len(_BARS) - 1) + 0.5))] for value in shown)


def head(snapshot: Snapshot) -> str:
    """Return the line above all: what there is in all."""
    letters = snapshot.letters_in_all
    workers, late = len(snapshot.workers), sum(queue.is_late for queue in snapshot.queues)
    parts = [
        f"{snapshot.queues_in_all:,} queues",
        f"{workers:,} workers",
        f"{snapshot.running_in_all:,} running",
        f"{_LETTERS_COUNTED:,}+ dead" if letters > _LETTERS_COUNTED else f"{letters:,} dead",
    ]
    if late:
        parts.append(f"{late} late")
    if snapshot.all_paused:
        parts.append("EVERYTHING IS PAUSED")
    return " · ".join(parts)


def _call(summary: str | None, task: str) -> str:
    return _short(summary or task, 80)


def _short(text: str, most: int) -> str:
    line = clean(text[: 4 * most])
    return line if len(line) <= most else f"{line[: most - 1]}…"
