"""Two transactions on a pipeline, stepped by hand: an item that moves on beside a claim, a pause, a rescue.

As in `test_interleavings.py`, what is in the tables in the end has to be what one of the two orders gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations_with_replacement, product
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs.admin import cancel_jobs, pause_pipeline, replay_dead, resume_pipeline
from pgjobs.db.enqueue_columns import EnqueueColumns
from pgjobs.flow.stage import NextItems
from pgjobs.jobs.outcome import Completed, Failed, Retried
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_claims import LaneClaims
from pgjobs.worker.local.local_queue import LocalQueue
from pgjobs.worker.runtime.completing import Awaited, complete_stages
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support.rows import letters_of
from tests.system.model.stage import Action, Stage, State, stage_on

if TYPE_CHECKING:
    from tests.support.postgres import Server

pytestmark = pytest.mark.in_turns(3)

ITEM = 1
FIRST, SECOND = 11, 12  # workers; the first has claimed the item
FENCE = Claim(ITEM, 1)
PARSE, STORE = "\x1f\x1f\x1f\x1f\x1findex/parse", "\x1f\x1f\x1f\x1f\x1findex/store"

_PIPELINE = (
    "INSERT INTO pgjobs.pipelines (name, app, at_most) VALUES ('index', 'shop', {}); "
    "INSERT INTO pgjobs.pipeline_stages (key, pipeline, place, name, task, queue, next) VALUES "
    "('index/parse', 'index', 1, 'parse', 'a:b', 'default', 'index/store'), "
    "('index/store', 'index', 2, 'store', 'a:c', 'store', NULL); "
)
_COLUMNS = (
    "id, queue, status, claims, attempt, max_attempts, worker_id, lane, counted_queue, finished_at, task, payload"
)
_RUNS = f"(1, 'default', 'running', 1, 1, 1, 11, '{PARSE}', E'\\x1findex/parse', NULL, 'a:b', '')"
_WAITS = f"(2, 'default', 'waiting', 0, 0, 1, NULL, '{PARSE}', NULL, NULL, 'a:b', '')"
_STORES = f"(3, 'store', 'waiting', 0, 0, 1, NULL, '{STORE}', NULL, NULL, 'a:c', '')"


def _rows(*rows: str, room: int = 1, more: str = "") -> str:
    jobs = f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES {', '.join(rows)}"
    return _PIPELINE.format(room) + jobs + more


STATES = {
    "an item runs": _rows(_RUNS, _WAITS),
    "there is room": _rows(_RUNS, _WAITS, room=9),
    "the next stage is full": _rows(_WAITS, _STORES),
    "it is paused": _rows(_RUNS, _WAITS, room=9, more="; UPDATE pgjobs.pipelines SET paused_at = now()"),
    "an item is dead": _PIPELINE.format(9) + f"WITH f AS (INSERT INTO pgjobs.jobs ({_COLUMNS}, errors) VALUES "
    f"(1, 'default', 'failed', 1, 1, 1, 11, '{PARSE}', NULL, now(), 'a:b', '', '[]') RETURNING *) "
    f"INSERT INTO pgjobs.dead_jobs {letters_of('f')}",
}


def _claims(queue: str) -> Action:
    def claim(conn: psycopg.Connection) -> None:
        local = LocalQueue(queue, 9, 0)
        with conn.cursor() as cursor:
            LaneClaims(queue, Intake(local, SimpleQueue()), SECOND).claim_rows(cursor, 9, 9, datetime.now(UTC))
        local.close()

    return claim


def _complete(conn: psycopg.Connection) -> None:
    columns = EnqueueColumns(None, 0.0, "store", 5, 1, None, None, "a:c", None)._asdict()
    common = dict.fromkeys(("on_failure", "expires_at", "expires_after"))
    rows: dict[str, list[Any]] = {
        "lanes": [STORE],
        "costs": [None],
        "summaries": [None],
        "signatures": [None],
        "payloads": [b""],
    }
    done = Completed(items=NextItems(columns, common, rows))
    complete_stages(conn.cursor(), FIRST, {FENCE: done}, Awaited(), keep=True)


ACTIONS: dict[str, Action] = {
    "move on": _complete,
    "claim": _claims("default"),
    "claim the next stage": _claims("store"),
    "retry": lambda conn: settle(conn.cursor(), FIRST, "host", [(FENCE, Retried("no", 0.0))]),
    "fail": lambda conn: settle(conn.cursor(), FIRST, "host", [(FENCE, Failed("no"))]),
    "rescue": lambda conn: settle_dead_worker(conn, WorkerExit(FIRST, "killed by SIGKILL", frozenset({FENCE}))),
    "cancel": lambda conn: cancel_jobs(conn, [ITEM]),
    "cancel what is next": lambda conn: cancel_jobs(conn, [3]),
    "replay": lambda conn: replay_dead(conn, [ITEM]),
    "pause": lambda conn: pause_pipeline(conn, "index"),
    "resume": lambda conn: resume_pipeline(conn, "index"),
    "make room": lambda conn: conn.execute("UPDATE pgjobs.pipelines SET at_most = 9"),
}
SKIPS_LOCKED = {"claim", "claim the next stage", "replay", "rescue"}
MOVES = {"move on", "claim", "claim the next stage"}
PAIRS = [
    f"{first} and {second}"
    for first, second in combinations_with_replacement(sorted(ACTIONS), 2)
    if not MOVES.isdisjoint({first, second})  # the others are in test_interleavings.py
]


def look_at(conn: psycopg.Connection) -> State:
    jobs = conn.execute(
        "SELECT CASE WHEN id < 100 THEN id END, queue, status, claims, CASE status WHEN 'running' THEN worker_id END, "
        "cancel_reason FROM pgjobs.jobs"
    ).fetchall()
    paused = conn.execute("SELECT at_most, paused_at IS NULL FROM pgjobs.pipelines").fetchall()
    letters = conn.execute("SELECT id FROM pgjobs.dead_jobs").fetchall()
    return tuple(sorted(jobs, key=repr)), paused, letters


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    url = server.create()
    with psycopg.connect(url) as conn:  # what is passed on gets other ids than those of the states
        conn.execute("SELECT setval(pg_get_serial_sequence('pgjobs.jobs', 'id'), 100)")
    with stage_on(url, STATES, look_at) as found:
        yield found
    server.drop(url)


@pytest.mark.parametrize("pair", PAIRS)
def test_what_two_do_to_a_pipeline_at_once_is_what_they_do_one_after_the_other(stage: Stage, pair: str) -> None:
    names = pair.split(" and ")
    for state, (first, second), commit in product(STATES, {tuple(names), tuple(reversed(names))}, (True, False)):
        one, two = ACTIONS[first], ACTIONS[second]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)] if commit else [stage.alone(state, two)]
        if second in SKIPS_LOCKED:
            allowed.append(stage.alone(state, one) if commit else stage.alone(state))
        found = stage.side_by_side(state, one, two, commit=commit)
        assert found in allowed, f"{state}: {first}, then {second}, commit={commit}"


def test_an_item_is_passed_on_once_by_whichever_completes_it(stage: Stage) -> None:
    found = stage.side_by_side("there is room", _complete, _complete, commit=True)
    assert [row[2] for row in found[0]] == ["completed", "waiting", "waiting"]
