"""The outcome that a child process reports, as bytes: JSON, not a pickle. A result that is kept follows as it is.

The child runs the job, so the job controls what the child sends. The worker accepts only an outcome whose fields have
the right types.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from pgjobs.core.config import settings
from pgjobs.core.text import bounded, one_line
from pgjobs.core.validate import MAX_DELAY
from pgjobs.flow.batch import MAX_SIZE
from pgjobs.jobs.outcome import (
    COMPLETED,
    Cancelled,
    Completed,
    Divided,
    ErrorKind,
    Failed,
    KeptResult,
    Outcome,
    Retried,
    Several,
    Snoozed,
)
from pgjobs.worker.executors.batches import with_outcomes
from pgjobs.worker.executors.grown_codec import grown_from_json, grown_to_json, items_from_json, items_to_json
from pgjobs.worker.local.claimed_batch import ClaimedBatch
from pgjobs.worker.local.claimed_job import ClaimedJob

_TIDY: dict[str, Callable[[Any], Any]] = {
    "error": one_line,
    "reason": one_line,
    "traceback": lambda text: None if text is None else bounded(text),
    "kind": ErrorKind,
}
_RESULT = b"\0"  # between the JSON, which has none, and the result
MAX_OUTCOME_BYTES = 64 << 20  # bytes; an error has some thousand characters, and a step may add thousands of others
_KINDS: dict[str, type[Outcome]] = {
    kind.__name__: kind for kind in (Cancelled, Completed, Divided, Failed, Retried, Snoozed)
}


def _as_it_is(value: Any) -> Any:
    return value


def to_bytes(outcome: Outcome, *, completing: bool = False, releases: bool = False) -> bytes:
    """Write an outcome, and whether the job called `complete`."""
    if isinstance(outcome, Several):
        each = [to_bytes(one) for one in outcome.outcomes]
        head = json.dumps([Several.__name__, [len(one) for one in each], completing, releases]).encode()
        return b"".join((head, _RESULT, *each))
    result = outcome.result if isinstance(outcome, Completed) else None
    if isinstance(outcome, Divided):
        values: dict[str, Any] = {"error": outcome.error, "parts": outcome.parts}
    else:
        values = asdict(outcome) if not isinstance(outcome, Completed) else {}
    if result is not None:
        values = {"seconds": result.seconds, "is_json": result.is_json}
    said: list[Any] = [completing, releases]
    if isinstance(outcome, Completed) and outcome.is_step:
        said.append(None if outcome.grown is None else grown_to_json(outcome.grown))
    elif isinstance(outcome, Completed) and outcome.items is not None:
        said.append(items_to_json(outcome.items))
    head = json.dumps([type(outcome).__name__, values, *said]).encode()
    return head if result is None else head + _RESULT + result.value


def from_bytes(answer: bytes, job: ClaimedJob) -> Outcome:
    """Read an outcome; `job` gets what the child knows of its call of `complete`.

    Raises:
        ValueError: it is not an outcome.

    """
    answer, is_kept, data = answer.partition(_RESULT)
    try:
        name, values, *said = json.loads(answer)
        completing, releases, *step = said or (False, False)
        if name == Several.__name__:
            several = _several(values, data, job)
            job.completing, job.releases = completing is True, releases is True
            return several
        if is_kept or (step and name == Completed.__name__ and not values):
            kept = _completed(name, data, **values) if is_kept else COMPLETED
            job.completing, job.releases = completing is True, releases is True
            return _with_jobs(job, kept, step[0]) if step else kept
        kind = _KINDS[name]
        wrong = [field for field, value in values.items() if not _fits(field, value)]
        outcome = kind(**{field: _TIDY.get(field, _as_it_is)(value) for field, value in values.items()})
    except (TypeError, ValueError, KeyError, RecursionError, AttributeError) as error:
        raise ValueError(f"not an outcome: {type(error).__name__}") from None
    if wrong:
        raise ValueError(f"not an outcome: wrong type or value of {', '.join(wrong)}")
    job.completing, job.releases = completing is True, releases is True
    return COMPLETED if outcome == COMPLETED else outcome


def _with_jobs(job: ClaimedJob, outcome: Completed, said: Any) -> Completed:
    """Add the jobs that it leads to: that it is a step, and what it adds to its workflow; or items of a pipeline."""
    if said is not None and "rows" in said:
        return replace(outcome, items=items_from_json(said))
    added = None if said is None else grown_from_json(said, job.id)
    return replace(outcome, is_step=True, grown=added)


def _several(sizes: Any, data: bytes, job: ClaimedJob) -> Several:
    """Read the outcomes of a batch, one for each of its jobs that were sent.

    Raises:
        ValueError: they are not that.

    """
    if not isinstance(job, ClaimedBatch) or len(sizes) != len(job.called()) or any(type(n) is not int for n in sizes):
        raise ValueError("not the outcomes of this batch")
    found: list[Outcome] = []
    shared: dict[tuple[str, int], Divided] = {}
    at = 0
    for size, (_, member) in zip(sizes, job.called(), strict=True):
        outcome = from_bytes(data[at : at + size], member)
        at += size
        if isinstance(outcome, Divided):  # those that run again together have the same one
            outcome = shared.setdefault((outcome.error, outcome.parts), outcome)
        found.append(outcome)
    return with_outcomes(job, found)


def _completed(name: str, data: bytes, seconds: object, is_json: object) -> Completed:
    """Read the outcome of a job whose result is kept.

    Raises:
        ValueError: it is not one, or too large.

    """
    if name != Completed.__name__ or type(is_json) is not bool or len(data) > settings().result_max_bytes:
        raise ValueError("not a result")
    if type(seconds) is not float or not 0 < seconds <= MAX_DELAY:
        raise ValueError("not a result")
    return Completed(KeptResult(data, is_json, seconds))


def _fits(field: str, value: Any) -> bool:
    match field:
        case "delay":
            return type(value) is float and 0 <= value <= MAX_DELAY
        case "parts":
            return type(value) is int and 0 < value <= MAX_SIZE
        case "isolate" | "began":
            return type(value) is bool
        case "result":  # it does not come as a field
            return False
        case "answered":
            return value is None or type(value) is bool
        case "traceback":
            return value is None or type(value) is str
        case _:  # error, reason, kind
            return type(value) is str
