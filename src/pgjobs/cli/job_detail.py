"""What `pgjobs jobs show` and `pgjobs dead show` print."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from pgjobs.cli.output import clean, print_pairs, say, when
from pgjobs.core.text import bounded, plural

if TYPE_CHECKING:
    from pgjobs.admin import JobDetail, JobRow
    from pgjobs.job_results.looks import Progress as Said

MAX_STATE = 1_000  # characters


def tries(job: JobRow) -> str:
    """Write the attempt and the budget, as counted since the last replay."""
    prior = job.prior_attempts or 0
    return f"{max(job.attempt - prior, 0)}/{job.max_attempts - prior}"


def progress_text(progress: Said) -> str:
    """Write how far a job has come, by its own word."""
    done, total = progress.done, progress.total
    amount = "" if done is None else f"{done:g}"
    if done is not None and total:
        amount = f"{done:g} of {total:g} ({done / total:.0%})"
    return ": ".join(filter(None, (amount, progress.message)))


def print_job(job: JobDetail) -> None:
    """Print everything about a job, with the traceback of every failed attempt."""
    worker = None if job.worker_id is None else str(job.worker_id)
    said = job.progress
    if job.worker_host is not None:
        worker = f"{worker} ({job.worker_host}, pid {job.worker_pid})"
    print_pairs(
        [
            ("id", str(job.id)),
            ("status", job.status),
            ("task", job.task),
            ("call", job.summary),
            ("queue", f"{job.queue} (priority {job.priority})"),
            ("attempt", f"{tries(job)}{f', {job.prior_attempts} before a replay' if job.prior_attempts else ''}"),
            ("enqueued", when(job.enqueued_at)),
            ("due", when(job.run_at)),
            ("started", when(job.started_at)),
            ("finished", when(job.finished_at)),
            ("dead since", when(job.died_at)),
            ("worker", worker),
            ("executor", job.executor),
            ("limit key", job.limit_key),
            ("cost", None if job.cost is None else f"{job.cost:g}"),
            ("tenant", job.tenant),
            ("sequence", job.sequence),
            ("on failure", job.on_failure if job.sequence else None),  # of a sequence: others have no use for it
            ("breaker", job.breaker),
            ("expires", when(job.expires_at)),
            ("held", job.held),
            ("waits for", _ids(job.waits_for)),
            ("if failed", job.if_failed),
            ("awaited by", _ids(job.awaited_by)),
            ("timeout", None if job.timeout is None else f"{job.timeout:g} s"),
            ("payload", f"{plural(job.payload_bytes, 'byte')}{', signed' if job.signed else ''}"),
            ("meta", None if job.meta is None else json.dumps(job.meta, ensure_ascii=False)),
            ("error", job.error),
            ("progress", None if said is None else f"{progress_text(said)} (at {when(said.updated_at)})"),
            ("state", None if said is None else _state(said.state)),
            ("result", None if job.result is None else f"{job.result} (kept until {when(job.result_until)})"),
        ]
    )
    for failure in job.errors:
        say("")
        place = f" on {failure.get('host')}" if failure.get("host") else ""
        say(f"attempt {failure.get('attempt')} at {_moment(failure.get('at'))}{place}, worker {failure.get('worker')}:")
        # Workers keep it short; a row that was written by hand may have anything there.
        for line in bounded(str(failure.get("traceback") or failure.get("error") or "")).splitlines():
            say(f"  {clean(line)}")


def _state(state: object) -> str | None:
    text = json.dumps(state, ensure_ascii=False)
    return None if state is None else text if len(text) <= MAX_STATE else f"JSON of {len(text)} characters"


def _ids(ids: list[int]) -> str | None:
    some = ", ".join(map(str, ids))
    return f"the first 10: {some}" if len(ids) == 10 else some or None


def _moment(text: object) -> str | None:
    try:
        return when(datetime.fromisoformat(str(text)))
    except ValueError:  # written by hand
        return str(text)
