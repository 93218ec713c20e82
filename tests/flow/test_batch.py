"""What a batch is made of, and what a lane says of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from pgjobs import Batch, Breaker, EnqueueError, UsageError, Workflow, job
from pgjobs.flow.batch import BatchSpec
from pgjobs.payload.encoder import encoder_for


@dataclass
class Doc:
    tenant: str


@job(batch=Batch(100, wait=timedelta(seconds=0.5), by="{tenant}", max_bytes=4096))
def index(docs: list[Any]) -> None: ...


@job(batch=Batch(7))
def add(numbers: list[int]) -> None: ...


@job(batch=Batch(7, by="{meta.team}"))
def by_team(numbers: list[int]) -> None: ...


@job(batch=Batch(7))
def add_rows(rows: list[list[int]]) -> None: ...


def lane_of(task: Any, *arguments: Any) -> str:
    return str(encoder_for(task).row_values(arguments, {})["lane"])


def test_a_lane_says_how_large_its_batches_are() -> None:
    lane = lane_of(index, Doc("acme"))
    assert BatchSpec.of_lane(lane) == (100, 0.5, 4096)
    assert BatchSpec.of_lane(lane_of(add, 1)) == (7, 1.0, None)
    assert BatchSpec.of_lane("acme\x1fapi\x1f\x1f") is None


def test_jobs_of_one_key_and_task_have_one_lane() -> None:
    lanes = {lane_of(index, Doc("acme")), lane_of(index, {"tenant": "acme"})}
    assert len(lanes) == 1
    lanes |= {lane_of(index, Doc("b")), lane_of(add, 1), lane_of(by_team.options(meta={"team": "x"}), 1)}
    assert len(lanes) == 4


@pytest.mark.parametrize("lane", ["\x1f\x1f\x1f\x1f", "\x1f\x1f\x1f\x1f1:2", "\x1f\x1f\x1f\x1f999999:0::", "\x1f" * 9])
def test_a_lane_that_was_written_by_hand_has_no_batches(lane: str) -> None:
    assert BatchSpec.of_lane(lane) is None


def test_a_name_that_is_too_long_for_a_lane_is_told_from_others() -> None:
    batch = Batch(1)
    parts = {batch.lane_part("a" * 200, ""), batch.lane_part("a" * 199 + "b", "")}
    assert len(parts) == 2
    assert all(len(part) < 120 for part in parts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1, 2],), "enqueue one item"),
        ((1, 2), "cannot be called"),
        ((), "cannot be called"),
    ],
)
def test_what_is_not_one_item_is_refused(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(EnqueueError, match=said):
        lane_of(add, *arguments)


def test_an_item_may_be_a_list_where_the_annotation_says_so() -> None:
    assert lane_of(add_rows, [1, 2])


def test_an_item_without_the_key_is_refused() -> None:
    with pytest.raises(EnqueueError, match="takes 'tenant' of each item, and this int has none"):
        lane_of(index, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": "api"}, "batch= and limit= were both given"),
        ({"sequence": "s"}, "batch= and sequence= were both given"),
        ({"breaker": Breaker("b")}, "batch= and breaker= were both given"),
        ({"batch": 100}, "give a Batch"),
    ],
)
def test_options_that_do_not_go_with_batches_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        job(**{"batch": Batch(10), **options})(lambda items: None)


def test_a_function_that_takes_no_list_is_refused() -> None:
    def two(a: list[int], b: int) -> None: ...

    with pytest.raises(UsageError, match="give it one parameter"):
        job(batch=Batch(10))(two)  # type: ignore[arg-type]  # which is what this is about


@pytest.mark.parametrize(
    "values", [{"size": 0}, {"size": 10_001}, {"wait": -1}, {"by": "tenant"}, {"by": 3}, {"max_bytes": 0}]
)
def test_values_of_no_batch_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Batch(**{"size": 10, **values})


def test_a_batch_cannot_be_changed_at_enqueue() -> None:
    with pytest.raises(UsageError, match="give it to @job"):
        add.options(batch=Batch(3))  # type: ignore[call-arg]  # which is what this is about


def test_a_job_that_runs_in_batches_cannot_be_a_step() -> None:
    flow = Workflow("index")
    with pytest.raises(UsageError, match="a step of a workflow runs alone"):
        flow.add(add, [1])
