"""What the doctor finds: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")  # the worst first


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    `name` stays the same; they are all in docs/doctor.md. `level`: an `error` stops jobs or loses them, a `warning`
    may, a `note` is worth knowing. `sentence` says what it is, `next_step` what to do, `facts` has the figures.
    """

    name: str
    level: Level
    sentence: str
    next_step: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, the worst first, and the names of what was looked at."""

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]

    @property
    def has_errors(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.level == "error" for finding in self.findings)
