"""Moments that are given as options: datetimes with a time zone, within what Python and PostgreSQL both have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pgjobs.core.errors import UsageError, shorten_repr
from pgjobs.core.validate import is_exactly

# From the year in which workers begin to look for jobs, to the last that Python and PostgreSQL both have to the end,
# wherever on Earth.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
TOO_LATE = datetime(9999, 1, 1, tzinfo=UTC)


def check_datetime(option: str, value: object, *, or_else: str = "a datetime with a time zone") -> datetime:
    """Give a moment, or refuse what is none.

    Raises:
        UsageError: it is no datetime, has no time zone (or one that raises), or is out of range.

    """
    if not is_exactly(value, datetime):
        raise UsageError(f"{option}={shorten_repr(value)}: give {or_else}.")
    moment: Any = value
    try:
        has_zone, in_range = moment.utcoffset() is not None, False
        if has_zone:
            in_range = EARLIEST <= moment < TOO_LATE
        shown = moment.isoformat()
    except Exception as error:  # a time zone is an object of somebody's, too
        raise UsageError(
            f"{option}={shorten_repr(value)} can not be used, its time zone raises {type(error).__name__}: use another "
            "one, "
            "such as timezone.utc or a ZoneInfo."
        ) from error
    if not has_zone:
        seconds = "delay" if option == "run_at" else option
        raise UsageError(
            f"{option}={shown} has no time zone: say which one is meant, for example "
            f"datetime.now(timezone.utc), or use {seconds}=SECONDS."
        )
    if not in_range:
        raise UsageError(f"{option}={shown}: give a time from 1970 to the end of 9998.")
    checked: datetime = moment
    return checked
