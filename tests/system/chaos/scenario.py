"""What a scenario is, and what it is allowed to do to jobs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.system.chaos.stage import Stage

NEVER = ("lost", "stuck", "ghosts", "doubled", "undocumented", "broken_promises", "wrong_results")
"""What may not happen in any scenario, unless it says that it may."""
SOMETIMES = ("cut_off", "repeated", "same_claim", "overlaps")
"""What may happen in scenarios that say so, and is counted in all."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault under load.

    `strike` does it: it is called while load and workers run, and returns when the fault is over. `may`: what of
    NEVER and SOMETIMES it is allowed to cause, with the reason. `seconds`: how long it strikes (`stage.seconds` is
    that, or less in the slice). `needs`: programs without which it cannot be produced; `wants`: what else, by name,
    and whether it is there. `options`: of `pgjobs work`, beside the usual ones. `through`: what goes through the
    proxy. `settings`: of the server. `before`: called before workers and load start. `after`: called when all is
    audited and the workers have been stopped; gives what is wrong. `patience`: seconds until a job counts as stuck,
    when all faults are over. `check`: looks, when all jobs have ended, for what the auditor does not know of, and says
    what is wrong.
    """

    name: str
    group: str
    strike: Callable[[Stage], None]
    seconds: float
    may: dict[str, str]
    needs: tuple[str, ...] = ()
    wants: dict[str, Callable[[], bool]] = field(default_factory=dict)
    options: tuple[object, ...] = ()
    workers: int = 1
    through: tuple[str, ...] = ()
    settings: dict[str, object] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    slice: bool = False
    recovers_in: float = 15.0
    before: Callable[[Stage], None] | None = None
    after: Callable[[Stage], list[str]] | None = None
    patience: float = 60.0
    check: Callable[[Stage], list[str]] | None = None

    def missing(self) -> list[str]:
        """List the programs, and what else it takes, that are not on this machine."""
        programs = [name for name in self.needs if shutil.which(name) is None]
        return programs or [name for name, is_there in self.wants.items() if not is_there()]


ALL: dict[str, Scenario] = {}


def scenario(
    name: str, group: str, seconds: float = 10.0, **values: Any
) -> Callable[[Callable[[Stage], None]], Scenario]:
    """Declare one."""

    def declare(strike: Callable[[Stage], None]) -> Scenario:
        assert name not in ALL, name
        values.setdefault("may", {})
        ALL[name] = Scenario(name, group, strike, seconds, **values)
        return ALL[name]

    return declare
