"""What a function says of the jobs of its batch, one by one: `Outcomes`, and what it leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pgjobs.core.errors import UsageError
from pgjobs.core.text import describe, one_line, shorten_repr
from pgjobs.core.validate import Seconds, as_int, as_seconds, as_str, check_seconds
from pgjobs.jobs.outcome import COMPLETED, Cancelled, ErrorKind, Failed, Outcome, Retried, Retry, Snoozed
from pgjobs.jobs.retry import RetryPolicy, after_exception

KINDS = ("retry", "fail", "cancel", "snooze")


class Outcomes(Exception):
    """What single jobs of a batch have come to. Return it, or raise it; all others have completed.

    Each is a mapping from jobs to reasons, or just an iterable of jobs. A job is the index of its item in the list, or
    what `current_job().members` has for it, or its handle.

    Args:
        retry: these failed, and run again later. The reason: a text, an exception, seconds until then, or `Retry(…)`.
            An attempt is used up; after the last one the job fails.
        fail: these failed for good. The reason: a text or an exception.
        cancel: these end as cancelled. The reason: a text.
        snooze: these run again after that many seconds, and no attempt is used up.
        results: what jobs returned whose result is kept: one for each item, whatever it has come to.

    """

    def __init__(
        self,
        *,
        retry: Mapping[Any, str | BaseException | Seconds | None] | Iterable[Any] = (),
        fail: Mapping[Any, str | BaseException | None] | Iterable[Any] = (),
        cancel: Mapping[Any, str | None] | Iterable[Any] = (),
        snooze: Mapping[Any, Seconds] | None = None,
        results: Sequence[Any] | None = None,
    ) -> None:
        self.retry, self.fail, self.cancel, self.snooze = retry, fail, cancel, snooze or {}
        self.results = results
        super().__init__("outcomes of single jobs")


def outcomes_of(
    said: Outcomes, ids: Sequence[int], budgets: Sequence[tuple[int, int]], policy: RetryPolicy
) -> list[Outcome]:
    """Return what each job has come to. `ids` and `budgets` (attempt, maximum): of the items, in their order.

    Raises:
        UsageError: it names what is not in the batch, or one job twice, or a reason cannot be used.

    """
    found: list[Outcome | None] = [None] * len(ids)
    places = {job: place for place, job in enumerate(ids)}
    for kind in KINDS:
        given = getattr(said, kind)
        for key, reason in given.items() if isinstance(given, Mapping) else ((key, None) for key in given):
            place = _place(kind, key, places)
            if found[place] is not None:
                raise UsageError(f"Outcomes names item {place} twice: give each job one outcome.")
            found[place] = _outcome(kind, reason, *budgets[place], policy)
    return [COMPLETED if outcome is None else outcome for outcome in found]


def _place(kind: str, key: Any, places: Mapping[int, int]) -> int:
    number = as_int(key)
    if number is not None:
        if 0 <= number < len(places):
            return number
        raise UsageError(f"Outcomes({kind}=…) has item {number}, and the batch has {len(places):,}: they count from 0.")
    place = places.get(getattr(key, "id", -1))
    if place is None:
        raise UsageError(
            f"Outcomes({kind}=…) has {shorten_repr(key)}, which is not in this batch: give the index of the item, or "
            "one of current_job().members."
        )
    return place


def _outcome(kind: str, reason: Any, attempt: int, most: int, policy: RetryPolicy) -> Outcome:
    if kind == "snooze":
        return Snoozed(check_seconds("Outcomes.snooze", reason))
    if kind == "cancel":
        return Cancelled(_text(reason, "the job cancelled itself"))
    if kind == "fail":
        if isinstance(reason, BaseException):
            return Failed(*describe(reason))
        return Failed(_text(reason, "the batch reported that it failed"), kind=ErrorKind.EXCEPTION)
    seconds = as_seconds(reason)
    if isinstance(reason, BaseException) and not isinstance(reason, Retry):
        line, trace = describe(reason)
        delay = policy.delay(attempt)
        return Failed(line, trace) if attempt >= most else Retried(line, delay, trace)
    if not isinstance(reason, Retry):
        wish = "the batch asked for it to be retried"
        reason = Retry(seconds, wish if seconds is not None else _text(reason, wish))
    return after_exception(reason, attempt, most, policy)


def _text(reason: object, default: str) -> str:
    text = as_str(reason)
    if reason is not None and text is None:
        raise UsageError(f"Outcomes has the reason {shorten_repr(reason)}: give a text or an exception.")
    return one_line(text or default)
