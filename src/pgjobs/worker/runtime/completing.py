"""Write that jobs completed, on the hot path, and what they returned: for a whole flush of the acknowledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.statements import statement
from pgjobs.db.workflow_counts import grow
from pgjobs.job_results.encode import signature_of
from pgjobs.jobs.outcome import Completed, KeptResult
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.pass_on import pass_on
from pgjobs.worker.runtime.settle import array

if TYPE_CHECKING:
    import psycopg

    from pgjobs.flow.workflow_state import GrownSteps


_LISTS = 5  # at the end of each row of complete_and_release.sql


@dataclass(slots=True)
class Awaited:
    """Jobs that have completed and that others waited for.

    `steps`: of workflows, that have ended with them. `workflows`: that are to be looked at as well; `busy`: those
    in which the same commit has let steps run.
    """

    jobs: set[int] = field(default_factory=set)
    steps: set[int] = field(default_factory=set)
    workflows: set[int] = field(default_factory=set)
    busy: set[int] = field(default_factory=set)


def complete(
    cursor: psycopg.Cursor[Any],
    worker_id: int,
    ids: list[int],
    claim_numbers: list[int],
    *,
    keep: bool = True,
    controlled: bool = False,
    awaited: Awaited | None = None,
    patient: bool = True,
    claiming: str | None = None,
    claimed: list[tuple[Any, ...]] | None = None,
    results: Mapping[int, KeptResult] | None = None,
) -> list[int]:
    """Write that jobs completed (on the hot path), and return the ids of those that this worker no longer owns.

    `keep`: in history; else they are deleted. `controlled`: they had to wait for their turn. Jobs that others wait for
    are always kept, and added to `awaited`. `patient`: see `release_dependents`. `claiming`: the
    statement that also claims the jobs that come next; their rows are added to `claimed`. `results`: what is kept of
    them, by their ids.
    """
    values = {"ids": array(ids), "claim_numbers": array(claim_numbers), "worker_id": worker_id}
    if results is not None:
        return _complete_with_results(
            cursor, values, results, ids, keep, awaited, patient, claiming, claimed if claiming is not None else None
        )
    if not keep:
        moved = cursor.execute(statement("complete_without_history"), values).rowcount
    elif claiming is not None and claimed is not None:
        *rows, last = cursor.execute(statement(claiming), values).fetchall()
        claimed += rows
        moved = last[0]
    elif controlled:
        moved = cursor.execute(statement("complete_with_flow"), {**values, "awaited": False}).rowcount
    else:
        (moved,) = cursor.execute(statement("complete"), values).fetchall()[0]
    if moved == len(ids):
        return []
    if keep:
        left = {row[0] for row in cursor.execute(statement("not_completed"), values).fetchall()}
    else:
        left = set(ids) - {row[0] for row in cursor.fetchall()}
    return _without_awaited(cursor, values, left, awaited, None, patient=patient)


def _complete_with_results(
    cursor: psycopg.Cursor[Any],
    values: dict[str, Any],
    results: Mapping[int, KeptResult],
    ids: list[int],
    keep: bool,
    awaited: Awaited | None,
    patient: bool,
    claiming: str | None,
    claimed: list[tuple[Any, ...]] | None,
) -> list[int]:
    """Do what `complete` does, and write the results in the same transaction."""
    if claiming is None or claimed is None:
        more = {**_result_values(results, ids), "keep": keep}
        done = {row[0] for row in cursor.execute(statement("complete_with_results"), {**values, **more})}
        left = set(ids) - done
    else:
        with cursor.connection.transaction():
            *rows, last = cursor.execute(statement(claiming), values).fetchall()
            left = set()
            if last[0] != len(ids):
                left = {row[0] for row in cursor.execute(statement("not_completed"), values)}
            _write_results(cursor, results, [job for job in ids if job not in left])
        claimed += rows
    if left and keep:  # an answer may have been lost, and this be the second try
        left = {row[0] for row in cursor.execute(statement("not_completed"), values)}
    return _without_awaited(cursor, values, left, awaited, results, patient=patient)


def _without_awaited(
    cursor: psycopg.Cursor[Any],
    values: dict[str, Any],
    left: set[int],
    awaited: Awaited | None,
    results: Mapping[int, KeptResult] | None,
    *,
    patient: bool,
) -> list[int]:
    """Complete those that are left because others wait for them, and return the rest."""
    if not left:
        return []
    found = awaited or Awaited()
    if patient:
        done = _complete_together(cursor, values, results or {}, found)
    else:
        done = _complete_step_by_step(cursor, values, results or {}, found, patient=patient)
    return sorted(left - done)


def _result_values(results: Mapping[int, KeptResult], ids: Iterable[int]) -> dict[str, Any]:
    """Return the results of these jobs as parameters, signed if this process has a key."""
    kept = [(job, results[job]) for job in ids]
    signatures = [signature_of(job, result) for job, result in kept] if settings().signing_keys else None
    return {
        "seconds": array(result.seconds for _, result in kept),
        "is_json": [result.is_json for _, result in kept],
        "signatures": signatures,
        "results": [result.value for _, result in kept],
    }


def _write_results(cursor: psycopg.Cursor[Any], results: Mapping[int, KeptResult], ids: Sequence[int]) -> None:
    """Write the results of these jobs, which this transaction has completed."""
    if not ids:
        return
    values = {"ids": array(ids), **_result_values(results, ids)}
    if cursor.execute(statement("write_results"), values).rowcount != len(ids):
        from psycopg.errors import TriggeredActionException

        raise TriggeredActionException("a trigger or rule of pgjobs.results has kept a result out")


def complete_stages(
    cursor: psycopg.Cursor[Any],
    worker_id: int,
    outcomes: Mapping[Claim, Completed],
    awaited: Awaited,
    *,
    keep: bool,
    patient: bool = True,
) -> list[int]:
    """Write that items of pipelines completed: their ends, results, and items of the next stages, in one commit.

    Returns the ids of those that this worker no longer owns. `awaited`: see `complete`. What an earlier try
    has written, whose answer was lost, is not passed on again.
    """
    ids = [claim.job_id for claim in outcomes]
    values = {
        "ids": array(ids),
        "claim_numbers": array(claim.claim_number for claim in outcomes),
        "worker_id": worker_id,
    }
    results = {claim.job_id: outcome.result for claim, outcome in outcomes.items() if outcome.result is not None}
    released: set[int] = set()
    steps: set[int] = set()
    with cursor.connection.transaction():
        if keep:
            done = {row[0] for row in cursor.execute(statement("complete_with_flow"), {**values, "awaited": False})}
        else:
            done = {row[0] for row in cursor.execute(statement("complete_without_history"), values)}
        if len(done) < len(ids):
            released = {row[0] for row in cursor.execute(statement("complete_with_flow"), {**values, "awaited": True})}
            done |= released
        _write_results(cursor, results, [job for job in results if job in done])
        pass_on(cursor, [got.items for claim, got in outcomes.items() if claim.job_id in done and got.items])
        if released:
            ended = [EndedJob(job, awaited=True) for job in released]
            steps = release_dependents(cursor, ended, completed=True, patient=patient)
    awaited.jobs.update(released)
    awaited.steps.update(steps)
    left = [job for job in ids if job not in done]
    if left and keep:
        return [row[0] for row in cursor.execute(statement("not_completed"), values) if row[0] not in done]
    return left


def complete_steps(
    cursor: psycopg.Cursor[Any],
    worker_id: int,
    outcomes: Mapping[Claim, Completed],
    awaited: Awaited,
    *,
    patient: bool = True,
    rooms: Mapping[str, int] | None = None,
    claimed: list[tuple[Any, ...]] | None = None,
) -> list[int]:
    """Write that steps of workflows completed: their ends, results, what they add, and what may run now, in one commit.

    Returns the ids of those that this worker no longer owns. `awaited`: see `complete`. `rooms`: how many of the jobs
    that may run now are claimed at once, by queue; their rows are added to `claimed`.
    """
    results = {claim.job_id: outcome.result for claim, outcome in outcomes.items() if outcome.result is not None}
    grown = {claim.job_id: outcome.grown for claim, outcome in outcomes.items() if outcome.grown is not None}
    apart = [claim for claim in outcomes if claim.job_id in grown] if patient else list(outcomes)
    together = [claim for claim in outcomes if claim.job_id not in grown] if apart else list(outcomes)
    done: set[int] = set()
    if apart:
        values = _claim_values(worker_id, apart)
        done |= _complete_step_by_step(cursor, values, results, awaited, grown=grown, patient=patient)
    if together and patient:
        values = _claim_values(worker_id, together)
        done |= _complete_together(cursor, values, results, awaited, rooms, claimed)
    stale: list[int] = []
    if len(done) == len(outcomes):
        return stale
    left = {claim: outcome for claim, outcome in outcomes.items() if claim.job_id not in done}
    for kept in (True, False):  # put back by hand, perhaps: their rows do not say that they are steps
        some = [claim for claim, outcome in left.items() if (outcome.result is not None) is kept]
        if some:
            ids, numbers = [claim.job_id for claim in some], [claim.claim_number for claim in some]
            given = results if kept else None
            stale += complete(cursor, worker_id, ids, numbers, controlled=True, patient=patient, results=given)
    return stale


def _claim_values(worker_id: int, claims: Sequence[Claim]) -> dict[str, Any]:
    return {
        "ids": array([claim.job_id for claim in claims]),
        "claim_numbers": array([claim.claim_number for claim in claims]),
        "worker_id": worker_id,
    }


def _complete_step_by_step(
    cursor: psycopg.Cursor[Any],
    values: dict[str, Any],
    results: Mapping[int, KeptResult],
    awaited: Awaited,
    *,
    grown: Mapping[int, GrownSteps] | None = None,
    patient: bool,
) -> set[int]:
    """Complete jobs that others wait for in the rare ways: without patience, or what they add to their workflows.

    That is inserted before their dependents are released, because these wait for it, too. Returns which were completed.
    """
    steps: set[int] = set()
    with cursor.connection.transaction():
        done = {row[0] for row in cursor.execute(statement("complete_with_flow"), {**values, "awaited": True})}
        _write_results(cursor, results, sorted(done & results.keys()))
        grow(cursor, {job: more for job, more in (grown or {}).items() if job in done})
        if done:
            ended_jobs = [EndedJob(job, awaited=True) for job in done]
            steps = release_dependents(cursor, ended_jobs, completed=True, patient=patient)
    awaited.jobs.update(done)
    awaited.steps.update(steps)
    return done


def _complete_together(
    cursor: psycopg.Cursor[Any],
    values: dict[str, Any],
    results: Mapping[int, KeptResult],
    awaited: Awaited,
    rooms: Mapping[str, int] | None = None,
    claimed: list[tuple[Any, ...]] | None = None,
) -> set[int]:
    """Complete jobs that others wait for, and release those, by one statement. Returns which were completed."""
    queues = rooms if rooms and claimed is not None else {}
    more = {"queues": list(queues), "rooms": array(queues.values())}
    with cursor.connection.transaction():
        *rows, last = cursor.execute(statement("complete_and_release"), {**values, **more}).fetchall()
        ended, bells, held, busy, others = last[-_LISTS:]
        if results:
            _write_results(cursor, results, [job for job in ended if job in results])
        if held:
            cursor.execute(statement("hold_steps"), {"ids": held})
        if bells:  # of jobs that now wait for their turn: they were updated, and only an INSERT rings
            cursor.execute(statement("notify_queues"), {"queues": sorted(bells)})
    if claimed is not None:
        claimed += [row[:-_LISTS] for row in rows]
    awaited.jobs.update(ended)
    awaited.busy.update(busy)
    awaited.workflows.update(others)
    return set(ended)
