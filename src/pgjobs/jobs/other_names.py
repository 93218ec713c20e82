"""What users of other queues type first, and what it is called here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgjobs.core.text import shorten_repr
from pgjobs.jobs.options import JobArguments, OptionChanges

# Options of Celery, RQ, dramatiq, Huey, Procrastinate, arq, TaskIQ, Oban and Django's tasks: what is given instead.
OPTIONS = {
    **dict.fromkeys(("countdown", "schedule_in", "enqueue_in", "defer_by", "_defer_by", "delay_seconds"), "delay"),
    **dict.fromkeys(("eta", "at", "schedule_at", "scheduled_at", "run_after", "defer_until", "_defer_until"), "run_at"),
    **dict.fromkeys(("retries", "retry", "max_retries", "max_tries", "attempts", "tries"), "max_attempts"),
    **dict.fromkeys(("time_limit", "soft_time_limit", "job_timeout", "timeout_seconds"), "timeout"),
    **dict.fromkeys(("ttl", "max_age", "expires_at", "deadline", "discard_after"), "expires"),
    **dict.fromkeys(
        ("retry_backoff", "default_retry_delay", "retry_delay", "retry_interval", "min_backoff"), "backoff"
    ),
    **dict.fromkeys(("autoretry_for", "retry_exceptions", "retry_for"), "retry_on"),
    **dict.fromkeys(("throws", "dont_autoretry_for"), "give_up_on"),
    **dict.fromkeys(("depends_on", "run_after_jobs", "wait_for"), "after"),
    **dict.fromkeys(("queueing_lock", "unique_key", "job_id", "_job_id", "task_id"), "unique"),
    **dict.fromkeys(("lock", "group"), "sequence"),
    **dict.fromkeys(("headers", "tags", "labels"), "meta"),
    **dict.fromkeys(("result_ttl", "keep_result", "store_results", "store_result", "result_expires"), "result"),
    **dict.fromkeys(("queue_name", "routing_key", "_queue_name"), "queue"),
    **dict.fromkeys(("actor_name", "task_name"), "name"),
}
_SENTENCES = {
    "rate_limit": 'rate_limit= is limit=Limit("KEY", rate=…) here',
    "bind": "bind= has no counterpart: current_job() is what self.request was",
    "acks_late": "acks_late= is not needed: a job is acknowledged after it has run",
    "args": "arguments are given as they are: enqueue(conn, function, 1, 2)",
    "kwargs": "arguments are given as they are: enqueue(conn, function, copy=True)",
}
_ENQUEUE = frozenset(
    (
        *("delay", "send", "defer", "defer_async", "enqueue", "aenqueue", "kiq", "perform_async", "submit"),
        *("delay_on_commit", "call", "push"),
    )
)
_WITH_OPTIONS = frozenset(
    ("apply_async", "send_with_options", "configure", "using", "kicker", "schedule", "enqueue_in")
)
_MANY = frozenset(("map", "starmap", "chunks", "abatch", "batch_defer", "bulk", "enqueue_many"))

_SHOW_JOB = "admin.show_job(conn, handle)"
_HANDLES = {
    **dict.fromkeys(("job_id", "task_id", "message_id", "uuid", "pk", "key"), "its id is handle.id"),
    **dict.fromkeys(
        ("status", "state", "get_status", "get_state", "info", "refresh", "reload"),
        f"{_SHOW_JOB}.status tells it, or SQL: SELECT status FROM pgjobs.jobs WHERE id = …",
    ),
    **dict.fromkeys(
        ("ready", "is_finished", "is_ready", "finished", "done", "successful", "failed", "is_failed", "is_queued"),
        f"look at {_SHOW_JOB}.status",
    ),
    **dict.fromkeys(
        ("traceback", "exc_info", "error", "errors", "exception", "failure"),
        f"look at {_SHOW_JOB}.errors",
    ),
    **dict.fromkeys(
        (
            *("get", "result", "get_result", "results", "return_value", "latest_result", "value", "wait", "join"),
            *("wait_result", "collect", "then"),
        ),
        "call pgjobs.result(engine, handle), which waits for a job that keeps what it returns: @job(result=True)",
    ),
    **dict.fromkeys(("cancel", "revoke", "abort", "stop", "kill", "delete"), "call admin.cancel_jobs(conn, [handle])"),
    **dict.fromkeys(("retry", "requeue", "reschedule"), "call admin.retry_jobs(conn, [handle])"),
}


def handle_hint(name: str) -> str | None:
    """Return what is done instead of what the handles of other queues have, without an end; None if it is not known.

    >>> handle_hint("revoke")
    'call admin.cancel_jobs(conn, [handle])'

    """
    return _HANDLES.get(name)


def option_hint(name: str) -> str | None:
    """Return what an option of another queue is called here, without an end; None if it is not known.

    >>> option_hint("countdown")
    'countdown= is delay= here'

    """
    own = OPTIONS.get(name)
    return _SENTENCES.get(name) if own is None else f"{name}= is {own}= here"


def method_hint(name: str, function: str) -> str | None:
    """Return what is called instead of a method of another queue; None if it is not known.

    >>> method_hint("delay", "send")
    'call enqueue(conn, send, …), which is part of the transaction of conn'

    """
    if name in _ENQUEUE:
        return f"call enqueue(conn, {function}, …), which is part of the transaction of conn"
    if name in _WITH_OPTIONS:
        return f"call enqueue(conn, {function}.options(delay=…, queue=…), …), which is part of the transaction of conn"
    if name in _MANY:
        return f"call enqueue_many(conn, {function}, [(1,), (2,)]), which is part of the transaction of conn"
    if name == "retry":
        return "raise Retry(…) in the job; what has failed is retried by itself"
    return None


def argument_hint(function: str, names: tuple[str, ...] | None, kwargs: Mapping[str, Any], *, is_job: bool) -> str:
    """Return a sentence for a call with an option among its arguments, or an empty text.

    `names`: the parameters of the function. `kwargs`: the arguments by name.
    """
    for name, value in kwargs.items():
        if name in (names or ()):
            continue
        own = OPTIONS.get(name, name)
        said = f"{option_hint(name)}, and an option" if own != name else f"{name}= is an option"
        if own in OptionChanges.__annotations__:
            first = "" if is_job else f"decorate {function} with @job, then "
            shown = shorten_repr(value) if own == name else "…"
            return f" {said}: {first}enqueue(conn, {function}.options({own}={shown}), …)."
        if own in JobArguments.__annotations__:
            return f" {said} of the job: @job({own}=…)."
        if name in _SENTENCES:
            sentence = _SENTENCES[name]
            return f" {sentence[0].upper() if name in ('args', 'kwargs') else sentence[0]}{sentence[1:]}."
    return ""
