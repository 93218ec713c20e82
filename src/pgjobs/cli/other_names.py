"""Options of other queues' workers, and what is given to `pgjobs work` instead."""

from __future__ import annotations

_NAME = "-q NAME:CONCURRENCY"

# Options of Celery, RQ, dramatiq, Huey, Procrastinate, arq and TaskIQ.
_WORK = {
    **dict.fromkeys(
        ("-c", "--concurrency", "-t", "--threads", "-k", "--autoscale", "--max-async-tasks"),
        f"{_NAME} here: each queue has its own concurrency",
    ),
    **dict.fromkeys(("-Q", "--queues", "--queue-name"), f"{_NAME} here"),
    **dict.fromkeys(("-A", "--app", "-I", "--include"), "--import MODULE here"),
    **dict.fromkeys(("-w", "--workers", "-p", "--num-workers"), "--processes N here"),
    **dict.fromkeys(("-l", "--loglevel", "--logging-level", "--logging_level"), "--log-level LEVEL here"),
    **dict.fromkeys(("-b", "--broker", "-u", "--url", "--redis-url"), "--database-url URL here"),
    **dict.fromkeys(("--max-tasks-per-child", "--maxtasksperchild", "--max-tasks"), "--max-jobs N here"),
    "--max-memory-per-child": "--max-memory MB here",
    **dict.fromkeys(("--burst", "--one-shot", "--no-wait"), "--drain here"),
    **dict.fromkeys(("--shutdown-timeout", "--shutdown-graceful-timeout"), "--grace SECONDS here"),
    **dict.fromkeys(("-P", "--pool", "--worker-class"), '@job(executor=…) here: "thread" or "process"'),
    **dict.fromkeys(("-B", "--beat", "--with-scheduler"), "not needed here: all workers run schedules"),
}


def option_hint(command: str, option: str) -> str | None:
    """Return what an option of another queue's worker is here, without an end; None if it is not known.

    >>> option_hint("pgjobs work", "--burst")
    '--burst is --drain here'

    """
    own = _WORK.get(option) if command == "pgjobs work" else None
    return None if own is None else f"{option} is {own}"
