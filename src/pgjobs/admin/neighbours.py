"""What stands around a job: the workflow that it is a step of, and its sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.admin.jobs import JobDetail, show_job
from pgjobs.db.adapters.operations import operation
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import fetch, fetch_dicts, local_settings

if TYPE_CHECKING:
    import psycopg

    from pgjobs.db.query import AnyJob

MOST = 5  # jobs before it, and behind it


@dataclass(frozen=True)
class Neighbour:
    """A job of the same sequence. `status`: dead: it is a dead letter."""

    id: int
    status: str


@dataclass(frozen=True)
class Neighbours:
    """What stands around a job. `workflow_id`, `workflow`, `step`: None: it is not a step of a workflow.

    `before`, `behind`: those of its sequence that have not ended or are dead letters, by id, 5 at most.
    """

    workflow_id: int | None
    workflow: str | None
    step: str | None
    before: tuple[Neighbour, ...]
    behind: tuple[Neighbour, ...]


@operation
def show_neighbours(conn: psycopg.Connection, id: AnyJob) -> Neighbours:
    """Return the workflow that a job is a step of, and the jobs around it in its sequence.

    Raises:
        NotFoundError: there is no such job.
        UsageError: the id cannot be one.

    """
    job = id if isinstance(id, JobDetail) else show_job(conn, id)
    steps = fetch_dicts(conn, "step_of_job", id=job.id)
    step = steps[0] if steps else {"workflow_id": None, "workflow": None, "step": None}
    near: list[Neighbour] = []
    if job.sequence is not None:
        with local_settings(conn, LOOK_UPS):
            near = fetch(conn, "near_in_sequence", Neighbour, id=job.id, sequence=job.sequence, most=MOST)
    return Neighbours(
        workflow_id=step["workflow_id"],
        workflow=step["workflow"],
        step=step["step"],
        before=tuple(each for each in near if each.id < job.id)[-MOST:],
        behind=tuple(each for each in near if each.id > job.id)[:MOST],
    )
