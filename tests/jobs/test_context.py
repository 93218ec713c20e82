"""What a job sees of itself."""

from __future__ import annotations

import threading
import time

import pytest

from pgjobs import CurrentJob, current_job
from pgjobs.effects.progress import ProgressWriter
from pgjobs.jobs import context
from pgjobs.jobs.context import RunningJob, current
from tests.support.claimed import claimed_job


def test_current_job_has_the_documented_attributes_only() -> None:
    assert {name for name in dir(CurrentJob) if not name.startswith("_")} == {
        "attempt",
        "cancelled",
        "id",
        "max_attempts",
        "members",
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


def test_jobs_that_need_the_reporter_at_the_same_moment_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "_reporting", context._Reporting())
    made: list[Told] = []

    def make() -> Told:
        time.sleep(0.05)
        made.append(Told())
        return made[-1]

    with pytest.raises(LookupError, match="this process is not one"):
        CurrentJob(claimed_job(7)).progress(1)
    context.report_to(make)
    threads = [threading.Thread(target=CurrentJob(claimed_job(each)).progress, args=[each]) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert sorted(made[0].reports) == [0, 1, 2, 3]


class Told(ProgressWriter):
    """Remembers which jobs have reported."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[int] = []

    def report(self, job: RunningJob, *values: object) -> None:
        self.reports.append(job.id)
