"""Whether a supervisor lives, and whether it is ready: decided from plain values.

Live: to end it and start another one would not help. Draining, an outage of PostgreSQL, processes that die at their
start, and tables of another revision are no reasons to kill it. Ready: at least one of its processes can claim.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Probe = Literal["live", "ready"]
STILL = 30.0  # seconds without a turn of its main loop, after which it is stuck


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a probe. `detail`: what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """What is known of a supervisor at one moment.

    `idle_for`: seconds since its main loop turned last. `dead_threads`: names of threads that have ended. `wanted`,
    `registered`, `claiming`: worker processes that it is to have, that are in the table, and that can claim. `trouble`:
    why others cannot. `last_death`: how the last process ended that died or could not work. `outage`: why heartbeats
    are not answered. `misfit`: tables of another version.
    """

    idle_for: float = 0.0
    dead_threads: tuple[str, ...] = ()
    draining: bool = False
    wanted: int = 1
    registered: int = 0
    claiming: int = 0
    trouble: str | None = None
    last_death: str | None = None
    outage: str | None = None
    misfit: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to a probe."""

    probe: Probe
    ok: bool
    checks: tuple[Check, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def as_text(self) -> str:
        """Return it for people: a line for each check.

        >>> print(Health("live", True, (Check("threads", True, "all run"),)).as_text(), end="")
        live: yes
        ok      threads: all run

        """
        lines = [f"{self.probe}: {'yes' if self.ok else 'no'}"]
        lines += [f"{'ok' if check.ok else 'failed':<7} {check.name}: {check.detail}" for check in self.checks]
        return "".join(f"{line}\n" for line in lines)


def live(state: SupervisorState) -> Health:
    """Answer whether the supervisor lives."""
    dead = ", ".join(state.dead_threads)
    return _health(
        "live",
        Check("main loop", state.idle_for < STILL, f"turned {state.idle_for:.1f} s ago"),
        Check("threads", not dead, f"ended: {dead}" if dead else "all run"),
    )


def ready(state: SupervisorState) -> Health:
    """Answer whether jobs can be claimed."""
    processes = f"{state.registered} of {state.wanted}"
    last = f"; the last one that ended: {state.last_death}" if state.last_death and not state.registered else ""
    return _health(
        "ready",
        *live(state).checks,
        Check("draining", not state.draining, "it claims no more" if state.draining else "no"),
        # Tables of another version do not stop a worker that runs a job. Its supervisor drains it, which is a check.
        Check("tables", True, state.misfit or "of this version"),
        Check("PostgreSQL", state.outage is None, state.outage or "heartbeats are answered"),
        Check("processes", state.registered > 0, f"{processes} registered{last}"),
        Check(
            "claims",
            state.claiming > 0,
            f"{state.claiming} can claim" + (f"; others: {state.trouble}" if state.trouble else ""),
        ),
    )


def _health(probe: Probe, *checks: Check) -> Health:
    return Health(probe, all(check.ok for check in checks), checks)
