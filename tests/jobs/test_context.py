"""What a job sees of itself."""

from __future__ import annotations

import pytest

from pgjobs import CurrentJob, current_job
from pgjobs.jobs.context import current
from tests.support.claimed import claimed_job


def test_current_job_has_the_documented_attributes_only() -> None:
    assert {name for name in dir(CurrentJob) if not name.startswith("_")} == {
        "attempt",
        "cancelled",
        "id",
        "max_attempts",
        "meta",
        "once",
        "once_in",
        "needs",
        "workflow",
        "prior_attempts",
        "priority",
        "progress",
        "queue",
        "run_at",
        "state",
        "task",
        "timeout",
    }


def test_current_job_is_read_only_and_follows_the_claimed_job() -> None:
    claimed = claimed_job(7, queue="mail", timeout=2.5)
    job = CurrentJob(claimed)
    assert (job.id, job.queue, job.timeout, job.cancelled) == (7, "mail", 2.5, False)
    claimed.cancelled = True
    assert job.cancelled
    with pytest.raises(AttributeError):
        job.id = 8  # type: ignore[misc]
    assert job == CurrentJob(claimed)
    assert job != CurrentJob(claimed_job(7))


@pytest.mark.parametrize(("stored", "shown"), [(None, {}), ({"user": 7}, {"user": 7})])
def test_current_job_meta_is_empty_without_one(stored: dict[str, int] | None, shown: dict[str, int]) -> None:
    assert CurrentJob(claimed_job(meta=stored)).meta == shown


def test_current_job_outside_a_job_is_an_error() -> None:
    with pytest.raises(LookupError, match="outside a job"):
        current_job()
    token = current.set(claimed_job(3))
    try:
        assert current_job().id == 3
    finally:
        current.reset(token)
