"""The handle of a job: its id, and no more."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import psycopg
import pytest

from pgjobs import JobHandle, admin
from pgjobs.jobs.handle import ExistingJob, as_handles
from tests.support.rows import put_job


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("status", r"admin\.show_job\(conn, handle\)\.status tells it"),
        ("get", r"call pgjobs\.result\(engine, handle\), which waits .*@job\(result=True\)"),
        ("is_finished", r"look at admin\.show_job\(conn, handle\)\.status"),
        ("traceback", r"look at admin\.show_job\(conn, handle\)\.errors"),
        ("revoke", r"call admin\.cancel_jobs\(conn, \[handle\]\)"),
        ("requeue", r"call admin\.retry_jobs\(conn, \[handle\]\)"),
        ("task_id", r"its id is handle\.id"),
    ],
)
def test_what_handles_of_other_queues_have_is_missing_with_what_to_do(name: str, said: str) -> None:
    for handle in (JobHandle(7), ExistingJob(7), *as_handles([7])):
        with pytest.raises(AttributeError, match=f"'{type(handle).__name__}' object has no attribute '{name}': {said}"):
            getattr(handle, name)
        assert not hasattr(handle, name)


def test_any_other_name_is_missing_without_a_hint() -> None:
    with pytest.raises(AttributeError, match=r"'JobHandle' object has no attribute 'colour'$"):
        getattr(JobHandle(7), "colour")  # noqa: B009 (a type checker knows that it is not there)


def test_what_is_said_to_do_with_a_handle_can_be_done(conn: psycopg.Connection) -> None:
    handle: JobHandle[object] = JobHandle(put_job(conn))
    assert admin.show_job(conn, handle).status == "queued"
    assert admin.show_job(conn, handle).errors == []
    assert admin.cancel_jobs(conn, [handle]).done == (handle.id,)
    assert admin.retry_jobs(conn, [handle]).done == (handle.id,)


def test_a_handle_can_be_copied_pickled_and_compared_and_not_changed() -> None:
    handle: JobHandle[object] = JobHandle(7)
    for same in (copy.copy(handle), copy.deepcopy(handle), pickle.loads(pickle.dumps(handle))):
        assert same == handle
        assert hash(same) == hash(handle)
    with pytest.raises(FrozenInstanceError):
        handle.id = 8  # type: ignore[misc]  # wrong on purpose
