"""Write outcomes to the database: one statement per kind of outcome, however many jobs. Completion: `completing.py`.

Both the acknowledger (for its own worker) and the rescuer (for a dead one) settle through here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.encoding import TextEncoding, encoding_of
from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    RELEASED,
    Cancelled,
    Failed,
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
    steps: set[int]
    patient: bool


def settle(
    cursor: psycopg.Cursor[Any],
    worker_id: int,
    host: str,
    outcomes: Iterable[Settlement],
    *,
    written: dict[Claim, Outcome] | None = None,
    steps: set[int] | None = None,
    patient: bool = True,
) -> list[Claim]:
    """Write outcomes of jobs that `worker_id` runs, and return the claims that it no longer owns.

    `written` gets what each job has become, and `steps` the steps of workflows that have ended. Claims in neither the
    list nor `written` have rows that others refuse, which is logged. `patient`: see `release_dependents`.

    A job with a request to cancel it is cancelled, whatever its outcome here; only completion takes precedence.

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
    settling = _Settling(
        worker_id, host, {} if written is None else written, set() if steps is None else steps, patient
    )
    for kind, group in groups.items():
        left = _settle_group(cursor, settling, kind, group)
        if left and kind is Parked:  # what paused them does so no longer
            left = _settle_group(cursor, settling, Released, [(claim, RELEASED) for claim in left])
        stale += left
    if stale:
        asked: list[Settlement] = [(claim, _AS_ASKED) for claim in stale]
        stale = _settle_group(cursor, settling, Cancelled, asked)
    return stale


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
        values |= {"began": [o.began for o in outcomes], "isolates": [o.isolate for o in outcomes]}
    rows = cursor.execute(statement(name), values).fetchall()
    if kind is Failed or kind is Cancelled:
        ended_jobs = [EndedJob(*row) for row in rows]
        if any(end.awaited or end.ends_sequence for end in ended_jobs):
            found = release_dependents(cursor, ended_jobs, completed=False, patient=settling.patient)
            settling.steps.update(found)
    elif kind is not Parked and (controlled := [job for job, is_controlled in rows if is_controlled]):
        cursor.execute(statement("return_to_waiting"), {"ids": array(controlled)})
    written = {row[0] for row in rows}
    return [claim for claim, _ in group if claim.job_id not in written]
