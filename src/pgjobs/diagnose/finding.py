"""What `why` and `doctor` find: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")  # the worst first


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that holds up a job, or that is wrong with an installation.

    `name`: a short name that stays the same; docs/why.md and docs/doctor.md list them. `sentence`: what was found.
    `next_step`: what to do about it. `facts`: the figures behind the sentence, by name. `level`: for the doctor, an
    "error" stops jobs or loses them, a "warning" may, a "note" is worth knowing.
    """

    name: str
    sentence: str
    next_step: str
    facts: dict[str, Any] = field(default_factory=dict)
    level: Level = "note"


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job does not run now, or how it ended.

    `reason`: the name of the first finding; docs/why.md lists them. `sentence`, `next_step`, `facts`: as in `Finding`.
    `also`: what would hold the job up next, once the first reason is gone.
    """

    id: int
    reason: str
    sentence: str
    next_step: str
    facts: dict[str, Any]
    also: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found. `findings`: the worst first. `checks`: the names of all that was checked."""

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]

    @property
    def has_errors(self) -> bool:
        """Whether a finding is an error."""
        return any(finding.level == "error" for finding in self.findings)
