"""The options of a map whose items are known only at run time: they are for the jobs that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pgjobs.core.errors import UsageError
from pgjobs.flow.options import FlowOptions
from pgjobs.flow.values import Limit, Sequence
from pgjobs.jobs.job import Job

_TURNS = ("limit", "fair_by", "sequence", "breaker", "expires")
_NONE: dict[str, Any] = dict.fromkeys(_TURNS)


def without_turns(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the job without what it takes turns by, for the job that only makes the others."""
    if not isinstance(function, Job) or not function.job_options.flow.has_lane:
        return function
    return function.with_job_options(function.job_options.changed(**_NONE))


def changed_turns(function: Callable[..., Any]) -> dict[str, Any] | None:
    """Return what `options()` has changed of that, as JSON has it; None: nothing.

    Raises:
        UsageError: it expires at a fixed time.

    """
    base = function.base if isinstance(function, Job) else None
    if not isinstance(function, Job) or not isinstance(base, Job) or base.job_options.flow == function.job_options.flow:
        return None
    flow = function.job_options.flow
    if isinstance(flow.expires, datetime):
        raise UsageError("expires= of a map over a result is a duration, from when its jobs are enqueued.")
    return {
        "limit": None if flow.limit is None else [flow.limit.key, flow.limit.cost],
        "fair_by": flow.fair_by,
        "sequence": None if flow.sequence is None else [flow.sequence.key, flow.sequence.on_failure],
        "breaker": flow.breaker,
        "expires": flow.expires,
    }


def with_turns(flow: FlowOptions, turns: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options that `changed_turns` has written, as `options()` takes them; without it those of the job."""
    if turns is None:
        return {name: getattr(flow, name) for name in _TURNS}
    limit, sequence = turns["limit"], turns["sequence"]
    return {
        "limit": None if limit is None else Limit(limit[0]) if limit[1] is None else Limit(limit[0], cost=limit[1]),
        "fair_by": turns["fair_by"],
        "sequence": None if sequence is None else Sequence(sequence[0], on_failure=sequence[1]),
        "breaker": turns["breaker"],
        "expires": turns["expires"],
    }
