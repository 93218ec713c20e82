"""The log line of an outcome, with the traceback as `exc_info`, so that an application's own handlers get it too."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, TypeAlias, assert_never

from pgjobs.core.text import beyond_us
from pgjobs.jobs.outcome import (
    Cancelled,
    Completed,
    Divided,
    Failed,
    Outcome,
    Parked,
    Released,
    Retried,
    Several,
    Snoozed,
    reason_of,
)
from pgjobs.jobs.tracing import installed
from pgjobs.worker.local.claimed_job import ClaimedJob

job_log = logging.getLogger("pgjobs.job")
log = logging.getLogger("pgjobs.acknowledger")
ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"


class ChildProcessJobError(Exception):
    """Stands for what a job raised in a child process, or how that died: the exception itself stays there.

    Its cause contains the traceback as text.
    """


class _RemoteTraceback(Exception):
    def __init__(self, text: str) -> None:
        self._text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f'\n"""\n{self._text.rstrip()}\n"""'


def labels(job: ClaimedJob) -> dict[str, Any]:
    """Return the fields of every log line about a job."""
    return {"job_id": job.id, "task": job.task, "queue": job.queue, "attempt": job.attempt}


def report_late_error(job: ClaimedJob, outcome: Outcome) -> None:
    """Log what a job raised after it had completed itself. It stays completed."""
    error, job.exception = job.exception, None
    _log(
        logging.ERROR,
        f"completed, and failed after that: {reason_of(outcome)}",
        extra=_labels_of_failed(job),
        exc_info=exc_info_of(outcome, error),
    )


def report(job: ClaimedJob, outcome: Outcome, *, written: bool = True) -> None:
    """Log an outcome other than a plain completion. A handler of the application may raise, and breaks nothing.

    `written`: the database has it. If it does not, another line has told why, and the job runs again.
    """
    error, job.exception = job.exception, None  # it keeps all variables of the job alive
    message, level = _sentence(outcome, *job.budget(), written=written)
    _log(level, message, extra=_labels_of_failed(job), exc_info=exc_info_of(outcome, error))


def _labels_of_failed(job: ClaimedJob) -> dict[str, Any]:
    """Return the same fields, with those of the span in which the job has failed here."""
    fields = labels(job)
    return fields if installed.tracing is None else {**fields, **installed.tracing.log_fields(job)}


def _log(level: int, message: str, *, extra: dict[str, Any], exc_info: ExcInfo | None) -> None:
    try:
        job_log.log(level, message, extra=extra, exc_info=exc_info)
    except Exception as broken:
        try:
            log.warning("a log handler raised %s; the line was: %s", type(broken).__name__, message, extra=extra)
        except Exception:  # noqa: S110 (the same handler gets this line)
            pass


def exc_info_of(outcome: Outcome, error: BaseException | None) -> ExcInfo | None:
    """Return what failed as `logging` takes it: the exception, or one that stands for what a child process told."""
    if not isinstance(outcome, Retried | Failed):
        return None
    if error is not None:
        return type(error), error, beyond_us(error.__traceback__)
    if outcome.traceback is None:
        return None
    stands_for = ChildProcessJobError(outcome.error)
    stands_for.__cause__ = _RemoteTraceback(outcome.traceback)
    return ChildProcessJobError, stands_for, None


def _sentence(outcome: Outcome, attempt: int, max_attempts: int, *, written: bool) -> tuple[str, int]:
    match outcome:
        case Failed() | Retried() if not written:
            return (
                f"failed in attempt {attempt} of {max_attempts}, which could not be recorded: {outcome.error}",
                logging.ERROR,
            )
        case _ if not written:
            return f"ended as {type(outcome).__name__.lower()}, which could not be recorded", logging.INFO
        case Failed():
            return (
                f"failed in attempt {attempt} of {max_attempts}, now a dead letter: {outcome.error}",
                logging.ERROR,
            )
        case Retried():
            return (
                f"attempt {attempt} of {max_attempts} failed, retrying in {outcome.delay:.1f} s: {outcome.error}",
                logging.WARNING,
            )
        case Snoozed():
            return f"snoozed for {outcome.delay:g} s", logging.DEBUG
        case Cancelled():
            return f"cancelled: {outcome.reason}", logging.INFO
        case Parked():
            return f"parked until {outcome.task} is resumed", logging.DEBUG
        case Released():
            return "handed back", logging.DEBUG
        case Completed():
            return "completed", logging.DEBUG
        case Divided() | Several():
            return "runs again, in a part of its batch", logging.DEBUG
        case _:
            assert_never(outcome)
