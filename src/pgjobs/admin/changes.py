"""What a change of several jobs came to: plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that was left alone, and why."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """`done`: ids of the jobs that were changed, in the order asked for; `refused`: the others.

    `asked`: of running ones that were asked to end, which their workers see to.
    """

    done: tuple[int, ...]
    refused: tuple[Refusal, ...] = ()
    asked: tuple[int, ...] = ()
