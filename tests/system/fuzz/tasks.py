"""What the fuzz tests enqueue."""

from __future__ import annotations

from pgjobs import job


@job(max_attempts=1)
def healthy(number: int) -> int:
    """Do nothing, well."""
    return number


def anything(*args: object, **kwargs: object) -> None:
    """Take whatever is given."""
