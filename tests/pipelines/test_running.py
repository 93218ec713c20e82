"""Pipelines as workers run them: items go from stage to stage, whatever kind of job a stage is."""

from __future__ import annotations

import json

import psycopg
import pytest

from pgjobs import admin, enqueue, enqueue_many
from tests.pipelines.conftest import notes, wait_empty
from tests.support import tasks_pipelines as tasks
from tests.support.worker import Work, scalar, wait_for


def test_an_item_goes_through_all_stages(shared: psycopg.Connection, worker: Work) -> None:
    enqueue_many(shared, tasks.numbers, [(number,) for number in range(50)])
    wait_empty(shared, worker)
    assert sorted(notes(shared)) == sorted(repr(str(-(2 * number + 1))) for number in range(50))
    assert scalar(shared, "SELECT count(*) FROM notes") == 250
    assert scalar(shared, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'") == 250


@pytest.mark.parametrize("pipeline", [tasks.fans_out_on_loop, tasks.fans_out_apart], ids=repr)
def test_what_a_generator_yields_are_items(
    shared: psycopg.Connection, worker: Work, pipeline: tasks.AnyPipeline
) -> None:
    enqueue(shared, pipeline, 7)
    enqueue(shared, pipeline, 0)  # it leads to nothing
    wait_empty(shared, worker)
    assert sorted(notes(shared)) == sorted(map(repr, range(7)))


def test_a_generator_in_a_thread(shared: psycopg.Connection, worker: Work) -> None:
    enqueue(shared, tasks.fans_out, 300)
    wait_empty(shared, worker)
    assert sorted(notes(shared)) == sorted(repr(2 * number) for number in range(300))


def test_a_batch_and_a_transaction_may_be_the_last_stage(shared: psycopg.Connection, worker: Work) -> None:
    enqueue_many(shared, tasks.in_batches, [(number,) for number in range(20)])
    enqueue_many(shared, tasks.within, [(number,) for number in range(20)])
    wait_empty(shared, worker)
    batches = [json.loads(item) for item in notes(shared, "store_many")]
    assert sorted(number for batch in batches for number in batch) == [2 * number for number in range(20)]
    assert len(batches) < 20
    assert sorted(map(int, notes(shared, "store_within"))) == [2 * number for number in range(20)]


def test_none_is_passed_on_as_any_value(shared: psycopg.Connection, worker: Work) -> None:
    enqueue(shared, tasks.nothing, "")
    enqueue(shared, tasks.nothing, "a")
    wait_empty(shared, worker)
    assert sorted(notes(shared)) == ["'a'", "None"]


def test_metadata_goes_along(shared: psycopg.Connection, worker: Work) -> None:
    enqueue(shared, tasks.numbers.options(meta={"tenant": "a"}), 1)
    enqueue(shared, tasks.numbers, 2)
    wait_empty(shared, worker)
    rows = shared.execute("SELECT DISTINCT stage, meta FROM notes WHERE meta->>'tenant' = 'a'").fetchall()
    assert len(rows) == 5
    assert scalar(shared, "SELECT count(*) FROM notes WHERE meta IS NULL OR meta = '{}'") == 5


def test_a_poison_item_stops_no_other_and_its_replay_is_passed_on(shared: psycopg.Connection, worker: Work) -> None:
    shared.execute("INSERT INTO broken VALUES ('7')")
    enqueue_many(shared, tasks.numbers, [(number,) for number in range(5)])
    wait_for(shared, "(SELECT count(*) FROM pgjobs.dead_jobs) = 1", log=lambda: worker.output)
    wait_for(shared, "(SELECT count(*) FROM notes WHERE stage = 'store') = 4", log=lambda: worker.output)
    assert scalar(shared, "SELECT error FROM pgjobs.dead_jobs") == "ValueError: 7 is broken"
    shared.execute("DELETE FROM broken")
    admin.replay_dead(shared, admin.JobSelection())
    wait_empty(shared, worker)
    assert sorted(notes(shared)) == sorted(repr(str(-(2 * number + 1))) for number in range(5))


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        (tasks.floods, "has yielded more than 10,000 items"),
        (tasks.refused, "what tests.support.tasks_pipelines:not_picklable passes on is refused"),
        (tasks.early, "leave it out, or do it in the last stage"),
    ],
    ids=repr,
)
def test_what_cannot_be_passed_on_fails_the_item(
    shared: psycopg.Connection, worker: Work, pipeline: tasks.AnyPipeline, said: str
) -> None:
    handle = enqueue(shared, pipeline, 1)
    wait_for(shared, f"EXISTS (SELECT FROM pgjobs.dead_jobs WHERE id = {handle.id})", log=lambda: worker.output)
    assert said in scalar(shared, "SELECT error FROM pgjobs.dead_jobs WHERE id = %s", [handle.id])
    assert notes(shared) == []


def test_a_cancelled_item_is_not_passed_on(shared: psycopg.Connection, worker: Work) -> None:
    handle = enqueue(shared, tasks.leaves, 1)
    wait_empty(shared, worker)
    assert scalar(shared, "SELECT status FROM pgjobs.jobs WHERE id = %s", [handle.id]) == "cancelled"
    assert notes(shared) == []


def test_items_of_a_key_keep_their_order(shared: psycopg.Connection, worker: Work) -> None:
    for number in range(20):
        for key in range(30):
            enqueue(shared, tasks.by_key.options(meta={"key": str(key)}), key, number)
    wait_empty(shared, worker)
    seen = [json.loads(item.replace("(", "[").replace(")", "]")) for item in notes(shared, "in_order")]
    assert len(seen) == 600
    for key in range(30):
        assert [number for found, number in seen if found == key] == list(range(20))
