"""Times as people give them on the command line."""

from __future__ import annotations

from datetime import datetime

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr


def parse_time(option: str, text: str) -> datetime:
    """Read a time in ISO format; without a zone it is this machine's.

    Raises:
        UsageError: it is none.

    """
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{option} {shorten_repr(text)}: give a time such as 2030-01-31T09:00 or 2030-01-31T09:00+01:00."
        ) from None
