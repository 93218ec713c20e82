"""What can be changed of a job that has not started, and its check. `admin.set_jobs` and the command line use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import UsageError
from pgjobs.jobs.options import JobOptions

if TYPE_CHECKING:
    from datetime import datetime, timedelta


def check_settable(
    *,
    priority: int | None = None,
    run_at: datetime | None = None,
    delay: float | timedelta | None = None,
    queue: str | None = None,
) -> dict[str, Any]:
    """Return the values that `admin.set_jobs` is to store, by column, as `JobOptions` would keep them.

    Raises:
        UsageError: a value cannot be used, both times were given, or nothing was.

    """
    values: dict[str, Any] = {"priority": priority, "run_at": run_at, "delay": delay, "queue": queue}
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise UsageError("nothing to change: give priority, run_at, delay or queue.")
    if run_at is not None and delay is not None:
        raise UsageError("delay= and run_at= were both given: use one of them.")
    options = JobOptions(**given)
    return values | {name: getattr(options, name) for name in given}
