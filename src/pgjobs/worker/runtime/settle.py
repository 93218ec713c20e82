"""Write outcomes to the database: one statement per kind of outcome, however many jobs.

Both the acknowledger (for its own worker) and the rescuer (for a dead one) settle through here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.config import settings
from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.encoding import TextEncoding, encoding_of
from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    RELEASED,
    Cancelled,
    Failed,
    KeptResult,
    Outcome,
    Parked,
    Released,
    Retried,
    Snoozed,
)
from pgjobs.worker.runtime.job_claim import Claim

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.settle")
DEFAULT_DELAY = 60.0  # seconds


Settlement = tuple[Claim, Outcome]
_AS_ASKED = Cancelled("")  # with the reason of the request


class _Settling(NamedTuple):
    """What one call of `settle` was given."""

    worker_id: int
    host: str
    written: dict[Claim, Outcome]
    patient: bool


def settle(
    cursor: psycopg.Cursor[Any],
    worker_id: int,
    host: str,
    outcomes: Iterable[Settlement],
    *,
    written: dict[Claim, Outcome] | None = None,
    patient: bool = True,
) -> list[Claim]:
    """Write outcomes of jobs that `worker_id` runs, and return the claims that it no longer owns.

    `written` gets what each job has become. Claims in neither have rows that others refuse, which is logged.
    `patient`: see `release_dependents`.

    A job with a request to cancel it is cancelled, whatever its outcome here; only `complete` takes precedence.

    If PostgreSQL rejects one outcome, for example because its error text contains a character that it cannot store,
    that outcome is written separately in a reduced form, so the rest of the batch is not affected.
    """
    groups: dict[type[Outcome], list[Settlement]] = defaultdict(list)
    encoding = encoding_of(cursor.connection)
    if not encoding.has_all:
        outcomes = [(claim, _stored(outcome, encoding)) for claim, outcome in outcomes]
    for settlement in outcomes:
        groups[type(settlement[1])].append(settlement)
    stale: list[Claim] = []
    settling = _Settling(worker_id, host, {} if written is None else written, patient)
    for kind, group in groups.items():
        left = _settle_group(cursor, settling, kind, group)
        if left and kind is Parked:  # what paused them does so no longer
            left = _settle_group(cursor, settling, Released, [(claim, RELEASED) for claim in left])
        stale += left
    if stale:
        asked: list[Settlement] = [(claim, _AS_ASKED) for claim in stale]
        stale = _settle_group(cursor, settling, Cancelled, asked)
    return stale


def complete(
    cursor: psycopg.Cursor[Any],
    worker_id: int,
    ids: list[int],
    claim_numbers: list[int],
    *,
    keep: bool = True,
    controlled: bool = False,
    awaited: set[int] | None = None,
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
    awaited: set[int] | None,
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
            write_results(cursor, results, [job for job in ids if job not in left])
        claimed += rows
    if left and keep:  # an answer may have been lost, and this be the second try
        left = {row[0] for row in cursor.execute(statement("not_completed"), values)}
    return _without_awaited(cursor, values, left, awaited, results, patient=patient)


def _without_awaited(
    cursor: psycopg.Cursor[Any],
    values: dict[str, Any],
    left: set[int],
    awaited: set[int] | None,
    results: Mapping[int, KeptResult] | None,
    *,
    patient: bool,
) -> list[int]:
    """Complete those that are left because others wait for them, and return the rest."""
    if not left:
        return []
    done = _complete_awaited(cursor, values, results, patient=patient)
    if awaited is not None:
        awaited |= done
    return sorted(left - done)


def _result_values(results: Mapping[int, KeptResult], ids: Iterable[int]) -> dict[str, Any]:
    """Return the results of these jobs as parameters, signed if this process has a key."""
    kept = [(job, results[job]) for job in ids]
    keys = settings().signing_keys
    signatures: list[bytes] | None = None
    if keys:
        from pgjobs.payload.signing import sign_result  # imported lazily: hashlib is slow to import

        signatures = [sign_result(keys[0], job, result.is_json, result.value) for job, result in kept]
    return {
        "seconds": array(result.seconds for _, result in kept),
        "is_json": [result.is_json for _, result in kept],
        "signatures": signatures,
        "results": [result.value for _, result in kept],
    }


def write_results(cursor: psycopg.Cursor[Any], results: Mapping[int, KeptResult], ids: Sequence[int]) -> None:
    """Write the results of these jobs, which this transaction has completed."""
    if not ids:
        return
    values = {"ids": array(ids), **_result_values(results, ids)}
    if cursor.execute(statement("write_results"), values).rowcount != len(ids):
        from psycopg.errors import TriggeredActionException

        raise TriggeredActionException("a trigger or rule of pgjobs.results has kept a result out")


def _complete_awaited(
    cursor: psycopg.Cursor[Any], values: dict[str, Any], results: Mapping[int, KeptResult] | None, *, patient: bool
) -> set[int]:
    """Complete jobs that others wait for, and release those."""
    with cursor.connection.transaction():
        done = {row[0] for row in cursor.execute(statement("complete_with_flow"), {**values, "awaited": True})}
        if results is not None:
            write_results(cursor, results, sorted(done))
        release_dependents(cursor, [EndedJob(job, awaited=True) for job in done], completed=True, patient=patient)
    return done


def is_refusal(error: Exception) -> bool:
    """Return True for an error by which others refuse a row: a trigger, rule, constraint, index or foreign key."""
    from psycopg import errors

    return isinstance(error, errors.TriggeredActionException | errors.IntegrityError | errors.RaiseException)


def log_kept_out(ids: Sequence[int], outcome: Outcome, error: Exception) -> None:
    """Log which jobs have rows that others refuse: they may not leave their table, or not arrive where they move to."""
    log.error(
        "%d jobs stay running until this worker ends, and then run again: their outcome (%s) cannot be written: %s; "
        "`pgjobs doctor` names triggers and foreign keys of others: %s",
        len(ids),
        type(outcome).__name__,
        str(error).partition("\n")[0],
        ", ".join(map(str, ids[:20])),
    )


def array(numbers: Iterable[float]) -> str:
    """Return PostgreSQL's text form of an array of numbers; far cheaper than adapting each of them."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _settle_group(
    cursor: psycopg.Cursor[Any], settling: _Settling, kind: type[Outcome], group: Sequence[Settlement]
) -> list[Claim]:
    import psycopg

    try:
        with cursor.connection.transaction():
            left = _execute(cursor, settling, kind, group)
    except psycopg.errors.TriggeredActionException as error:
        if len(group) > 1:
            return [c for one in group for c in _settle_group(cursor, settling, kind, [one])]
        claim, outcome = group[0]
        log_kept_out([claim.job_id], outcome, error)
        return [claim] if kind is Parked else []
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise  # an outage, a deadlock, a full disk: it is tried again as it is
    except psycopg.Error as error:
        if cursor.connection.closed:
            raise
        if len(group) > 1:
            return [c for one in group for c in _settle_group(cursor, settling, kind, [one])]
        claim, outcome = group[0]
        log.exception(
            "PostgreSQL rejected the outcome %r; it is stored without its text", outcome, extra={"job_id": claim.job_id}
        )
        stale = _settle_plainly(cursor, settling, claim, outcome, error)
        if stale is None:
            return []
        left = stale
    settling.written.update(
        (claim, CANCELLED_ON_REQUEST if outcome is _AS_ASKED else outcome)
        for claim, outcome in group
        if claim not in left
    )
    return left


def _stored(outcome: Outcome, encoding: TextEncoding) -> Outcome:
    """Return an outcome in characters that the database has: the diagnosis is worth more than one of them."""
    if isinstance(outcome, Retried | Failed):
        trace = outcome.traceback
        return replace(
            outcome, error=encoding.stored(outcome.error), traceback=None if trace is None else encoding.stored(trace)
        )
    if isinstance(outcome, Cancelled) and outcome is not _AS_ASKED:
        return replace(outcome, reason=encoding.stored(outcome.reason))
    return outcome


def _settle_plainly(
    cursor: psycopg.Cursor[Any], settling: _Settling, claim: Claim, outcome: Outcome, error: Exception
) -> list[Claim] | None:
    """Return the claim if it is stale, and None if its row is refused in any form."""
    import psycopg

    plain = _plainly(outcome, f"{type(outcome).__name__}; its error cannot be stored: {type(error).__name__}")
    try:
        with cursor.connection.transaction():
            return _execute(cursor, settling, type(plain), [(claim, plain)])
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except psycopg.Error:
        if cursor.connection.closed:
            raise
        log.exception(
            "PostgreSQL rejected the outcome without its text too; the job stays running until this worker ends",
            extra={"job_id": claim.job_id},
        )
        return None


def _plainly(outcome: Outcome, error: str) -> Outcome:
    match outcome:
        case Retried():
            delay = outcome.delay if isinstance(outcome.delay, float) else DEFAULT_DELAY
            return Retried(error, delay, isolate=outcome.isolate, kind=outcome.kind)
        case Failed():
            return Failed(error, kind=outcome.kind)
        case Cancelled():
            return outcome if outcome is _AS_ASKED else Cancelled(error)
        case Snoozed():
            return replace(outcome, delay=DEFAULT_DELAY)
        case _:
            return outcome


def _execute(
    cursor: psycopg.Cursor[Any], settling: _Settling, kind: type[Outcome], group: Sequence[Settlement]
) -> list[Claim]:
    outcomes: list[Any] = [outcome for _, outcome in group]
    values: dict[str, Any] = {
        "ids": array(claim.job_id for claim, _ in group),
        "claim_numbers": array(claim.claim_number for claim, _ in group),
        "worker_id": settling.worker_id,
    }
    if kind is Retried:
        name = "retry"
        values |= {
            "delays": [o.delay for o in outcomes],
            "isolates": [o.isolate for o in outcomes],
            "errors": [o.error for o in outcomes],
            "kinds": [o.kind.value for o in outcomes],
            "tracebacks": [o.traceback for o in outcomes],
            "host": settling.host,
        }
    elif kind is Failed:
        name = "fail"
        values |= {
            "errors": [o.error for o in outcomes],
            "kinds": [o.kind.value for o in outcomes],
            "tracebacks": [o.traceback for o in outcomes],
            "host": settling.host,
        }
    elif kind is Snoozed:
        name = "snooze"
        values |= {"delays": [o.delay for o in outcomes], "began": [o.began for o in outcomes]}
    elif kind is Cancelled:
        name = "cancel"
        values["reasons"] = [None if o is _AS_ASKED else o.reason for o in outcomes]
    elif kind is Parked:
        name = "park_task"
        values["tasks"] = [o.task for o in outcomes]
    else:
        assert kind is Released, kind  # noqa: S101 (for mypy's and the reader's benefit)
        name = "hand_back"
        values["began"] = [o.began for o in outcomes]
    rows = cursor.execute(statement(name), values).fetchall()
    if kind is Failed or kind is Cancelled:
        ended_jobs = [EndedJob(*row) for row in rows]
        if any(end.awaited or end.ends_sequence for end in ended_jobs):
            release_dependents(cursor, ended_jobs, completed=False, patient=settling.patient)
    elif kind is not Parked and (controlled := [job for job, is_controlled in rows if is_controlled]):
        cursor.execute(statement("return_to_waiting"), {"ids": array(controlled)})
    written = {row[0] for row in rows}
    return [claim for claim, _ in group if claim.job_id not in written]
