"""A job as a worker process holds it, from its claim to its acknowledgement."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pgjobs.jobs.retry import since_replay
from pgjobs.worker.runtime.job_claim import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pgjobs.worker.local.local_queue import LocalQueue


@dataclass(slots=True, eq=False)
class ClaimedJob:
    """A claimed row. One is made for each job that runs, so it has no checks and no properties.

    `claim_number`: how often the job had been claimed by then. `isolate`: run it in a process of its own, because it
    may have killed the last one. `lane`, `breaker`: None for a plain job; a job with flow control has a lane, and a
    breaker if one was named.
    """

    queue: str
    local_queue: LocalQueue
    id: int
    claim_number: int
    attempt: int
    max_attempts: int
    prior_attempts: int | None
    priority: int
    run_at: datetime
    task: str
    executor: str | None
    isolate: bool | None
    timeout: float | None  # seconds
    signature: bytes | None
    payload: bytes
    meta: dict[str, Any] | None
    lane: str | None = None
    breaker: str | None = None
    cancelled: bool = False  # asked to end; set while it runs
    exception: BaseException | None = None  # that ended it in this process; for its log line
    function: Callable[..., object] | None = None  # that it runs in this process
    completing: bool = False  # it called complete(): its row says whether that transaction was committed
    releases: bool = False  # and other jobs wait for it
    handed_since: float = 0.0  # monotonic seconds: when the first job of those that were handed over ended; 0: none was

    @property
    def members(self) -> Sequence[ClaimedJob]:
        """The jobs that were claimed together: itself alone, unless it is a batch."""
        return (self,)

    @property
    def together(self) -> Sequence[ClaimedJob]:
        """Those of them that run in this call."""
        return (self,)

    def find(self, claim: Claim) -> ClaimedJob | None:
        """Return the job of this claim; None: it is another one."""
        return self if self.key() == claim else None

    def key(self) -> Claim:
        """Return what tells this claim from others, of this job and of other jobs."""
        return Claim(self.id, self.claim_number)

    def budget(self) -> tuple[int, int]:
        """Return the attempt and the maximum, both counted since the last replay."""
        return since_replay(self.attempt, self.max_attempts, self.prior_attempts)


_NAMES = [field.name for field in fields(ClaimedJob)]
COLUMNS = tuple(_NAMES[_NAMES.index("id") : _NAMES.index("meta") + 1])  # that claim.sql returns, in its order
CONTROLLED_COLUMNS = (*COLUMNS, "lane", "breaker", "is_late")  # that claim_waiting.sql returns


def check_columns(description: Sequence[Any] | None, expected: Sequence[str]) -> None:
    """Compare the columns of a result with the fields that its rows become.

    Raises:
        AssertionError: they differ, so statement and dataclass no longer belong together.

    """
    found = [column.name for column in description or ()]
    if found != list(expected):
        raise AssertionError(f"a claim returned the columns {found}, but ClaimedJob expects {list(expected)}")
