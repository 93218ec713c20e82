"""A protection, and the tests that many of them share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Protection:
    """`what` it is. In `path` (below the project) `old` becomes `new`; then `test` (pytest's arguments) fails."""

    what: str
    path: str
    old: str
    new: str
    test: tuple[str, ...]


SQL = "src/pgjobs/db/sql"
FENCE = ("tests/system/model/test_fence.py",)
PAIRS = ("tests/system/model/test_interleavings.py",)
MODEL = ("tests/system/model/test_model.py",)
CHAOS = "tests/system/chaos/test_slice.py"
FIRING = "tests/schedules/test_firing.py"
