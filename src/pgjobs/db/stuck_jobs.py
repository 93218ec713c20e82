"""Jobs that never start by themselves, because a job that they wait for did not complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pgjobs.core.text import listed, plural
from pgjobs.db.adapters.operations import operation
from pgjobs.db.query import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

SCAN = 100_000  # dependencies that are looked at
MOST = 20  # jobs that are found


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job that waits for `needs_id`, which is `state`: dead means that its dead letter can be replayed."""

    job_id: int
    queue: str
    needs_id: int
    state: Literal["dead", "failed", "cancelled", "gone"]


@operation
def stuck_jobs(
    conn: psycopg.Connection[Any],
    *,
    needs: Iterable[int] | None = None,
    queues: Iterable[str] | None = None,
    scan: int = SCAN,
    most: int = MOST,
) -> list[StuckJob]:
    """Find such jobs: those that wait for one of `needs`, and are in one of `queues` (None: whatever they are)."""
    return fetch(
        conn,
        "stuck_jobs",
        StuckJob,
        needs=None if needs is None else list(needs),
        queues=None if queues is None else list(queues),
        scan=scan,
        most=most,
    )


def sentence(stuck: Sequence[StuckJob]) -> str:
    """Return which jobs are stuck, and on what.

    >>> sentence([StuckJob(501, "img", 14, "dead")])
    '1 job waits for one that did not complete: 501 waits for 14 (a dead letter)'

    """
    shown = listed([f"{each.job_id} waits for {each.needs_id} ({_STATES[each.state]})" for each in stuck], 3)
    number = len({each.job_id for each in stuck})
    verb = "waits for one" if number == 1 else "wait for others"
    return f"{plural(number, 'job', cap=MOST)} {verb} that did not complete: {shown}"


def ways_out(stuck: Sequence[StuckJob]) -> str:
    """Return the commands that let them start, and the one that cancels them.

    >>> ways_out([StuckJob(501, "img", 14, "dead")])
    'replay what failed: `pgjobs dead replay 14`; or cancel what waits: `pgjobs jobs cancel 501`'

    """
    dead = _ids(each.needs_id for each in stuck if each.state == "dead")
    ended = _ids(each.needs_id for each in stuck if each.state in ("failed", "cancelled"))
    ways = [f"replay what failed: `pgjobs dead replay {dead}`"] if dead else []
    ways += [f"run again what ended: `pgjobs jobs retry {ended}`"] if ended else []
    cancel = f"cancel what waits: `pgjobs jobs cancel {_ids(each.job_id for each in stuck)}`"
    return "; ".join([*ways, f"or {cancel}" if ways else cancel])


def _ids(ids: Iterable[int]) -> str:
    return " ".join(map(str, list(dict.fromkeys(ids))[:5]))


_STATES = {
    "dead": "a dead letter",
    "failed": "failed, and its dead letter was discarded",
    "cancelled": "cancelled",
    "gone": "gone",
}
