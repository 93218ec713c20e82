"""`running`: a job's function that a test calls itself."""

from __future__ import annotations

import pytest

from pgjobs import current_job, job
from pgjobs.core.errors import UsageError
from pgjobs.testing import running

done: list[str] = []


@job(queue="mail", max_attempts=7)
def remind(name: str) -> str:
    now = current_job()
    now.once("mail", done.append, name)
    now.once("mail", done.append, name)
    now.progress(1, 2, state={"name": name})
    return f"{now.queue} {now.attempt}/{now.max_attempts} {now.meta} {now.state} {now.task.rpartition(':')[2]}"


def test_current_job_has_the_options_of_the_function() -> None:
    done.clear()
    with running(remind, attempt=2, meta={"user": 7}) as now:
        assert remind("ada") == "mail 2/7 {'user': 7} {'name': 'ada'} remind"
        assert now.attempt == 2
    assert done == ["ada"]


def test_what_a_worker_refuses_is_refused() -> None:
    with running(remind), pytest.raises(UsageError, match="give a number"):
        current_job().progress("half")  # type: ignore[arg-type]  # that is the point


def test_outside_of_the_block_no_job_runs() -> None:
    with running(remind):
        pass
    with pytest.raises(LookupError):
        current_job()
