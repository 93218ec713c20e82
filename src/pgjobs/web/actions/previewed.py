"""What was in a preview, as one value of its form: an action changes that, and nothing else.

Ids of jobs are close to one another as a rule, so ten thousand of them take some thousand characters.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime

from pgjobs.core.errors import UsageError
from pgjobs.db.query import MAX_ID

MAX_LENGTH = 200_000  # characters of the value
MAX_TEXT = 4_000_000  # bytes, unpacked


def pack(at: datetime, ids: Iterable[int]) -> str:
    """Write when a preview was made, and the ids that were in it.

    >>> unpack(pack(datetime(2026, 1, 2, tzinfo=UTC), [7, 12, 9])) == (datetime(2026, 1, 2, tzinfo=UTC), {7, 9, 12})
    True

    """
    before, steps = 0, []
    for each in sorted(ids):
        steps.append(f"{each - before:x}")
        before = each
    packed = base64.urlsafe_b64encode(zlib.compress(" ".join(steps).encode(), 9)).decode()
    return f"{at.isoformat()}~{packed}"


def unpack(value: str) -> tuple[datetime, set[int]]:
    """Return what `pack` has written.

    Raises:
        UsageError: it is something else.

    """
    moment, _, packed = value.partition("~")
    try:
        at = datetime.fromisoformat(moment).astimezone(UTC)
        reader = zlib.decompressobj()
        text = reader.decompress(base64.b64decode(packed.encode(), altchars=b"-_", validate=True), MAX_TEXT)
        if not reader.eof:
            raise ValueError("cut off, or too long")
        found, number = set(), 0
        for step in text.split():
            number += int(step, 16)
            found.add(number)
        if number > MAX_ID:
            raise ValueError("no id")
    except (ValueError, OverflowError, zlib.error) as error:
        raise UsageError("this form is not one of yours, or too old: look at the preview again.") from error
    return at, found
