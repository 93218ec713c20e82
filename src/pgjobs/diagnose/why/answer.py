"""What `why` answers: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for which a job does not run now. Each sentence is a whole one and stands for itself."""

    reason: str
    sentence: str
    next_step: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job does not run now, or what became of it.

    `reason`: a short name that stays the same; they are all in docs/why.md. `sentence`: the reason in words.
    `next_step`: what to do about it. `facts`: the figures behind the sentence, by name. `also`: what would hold it up
    besides, in the same form, once the first reason is gone.
    """

    id: int
    reason: str
    sentence: str
    next_step: str
    facts: dict[str, Any]
    also: tuple[Finding, ...] = ()
