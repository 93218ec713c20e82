"""What a broadcast gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class BroadcastHandle(Generic[R_co]):
    """A broadcast: `id` is its row in `pgjobs.broadcasts`, once the transaction is committed.

    For type checkers it knows what the function returns.
    """

    id: int
