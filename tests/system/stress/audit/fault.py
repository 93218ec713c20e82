"""What an auditor found."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """Something that may not be. `key`: the limit, sequence, key or queue; `at`: seconds since 1970."""

    invariant: str
    text: str
    at: float
    key: str = ""
    jobs: tuple[int, ...] = ()
