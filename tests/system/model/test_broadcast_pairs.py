"""Two transactions on a broadcast, stepped by hand: workers that join, leave and run it while it is committed.

As in `test_interleavings.py`; what maintenance does a moment later is done first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.db.statements import statement
from tests.system.model.stage import Action, Stage, State, stage_on

if TYPE_CHECKING:
    from tests.support.postgres import Server

_SEND = "INSERT INTO pgjobs.broadcasts (target, within, task, payload) VALUES ('{}', 60, 'a:b', '')"
STATES = {
    "nothing is sent": "SELECT 1",
    "it is sent to workers": _SEND.format("workers"),
    "it is sent to hosts": _SEND.format("hosts"),
    "a worker runs it": _SEND.format("workers")
    + "; UPDATE pgjobs.broadcast_runs SET state = 'running', started_at = now() WHERE worker_id = 11",
}


def _claims(worker: int) -> Action:
    return lambda conn: conn.execute(statement("claim_broadcast"), {"worker_id": worker, "pid": worker})


def _end(conn: psycopg.Connection) -> None:
    ids = [row[0] for row in conn.execute("SELECT id FROM pgjobs.broadcast_runs WHERE worker_id = 11").fetchall()]
    values = {"state": "completed", **dict.fromkeys(("error", "traceback", "is_json", "signature", "value"))}
    for run in ids:
        conn.execute(statement("end_broadcast"), {"id": run, "worker_id": 11, **values})


def _join(conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.workers (id, host, pid, queues, version) OVERRIDING SYSTEM VALUE "
        "VALUES (13, 'other', 0, '{}', '0') ON CONFLICT DO NOTHING"
    )


ACTIONS: dict[str, Action] = {
    "send": lambda conn: conn.execute(_SEND.format("workers").encode()),
    "run": _claims(11),
    "run by another": _claims(12),
    "end": _end,
    "join": _join,
    "leave": lambda conn: conn.execute("DELETE FROM pgjobs.workers WHERE id = 11"),
    "settle": lambda conn: conn.execute(statement("settle_broadcasts")),
    "purge": lambda conn: conn.execute("UPDATE pgjobs.broadcasts SET closes_at = now() - interval '1 d'"),
}
SKIPS_LOCKED = {"run", "run by another"}
PAIRS = [
    f"{first} and {second}"
    for first, second in combinations_with_replacement(sorted(ACTIONS), 2)
    if {first, second} != {"join"}  # a worker registers once
]


def look_at(conn: psycopg.Connection) -> State:
    conn.execute(statement("settle_broadcasts"))
    rows = conn.execute(
        "SELECT b.target, r.unit, r.state, r.worker_id FROM pgjobs.broadcasts AS b "
        "LEFT JOIN pgjobs.broadcast_runs AS r ON r.broadcast_id = b.id"
    ).fetchall()
    return tuple(sorted(rows, key=repr))


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    url = server.create()
    with stage_on(url, STATES, look_at) as found:
        yield found
    server.drop(url)


@pytest.mark.parametrize("pair", PAIRS)
def test_what_two_do_to_a_broadcast_at_once_is_what_they_do_one_after_the_other(stage: Stage, pair: str) -> None:
    names = pair.split(" and ")
    for state, (first, second), commit in product(STATES, {tuple(names), tuple(reversed(names))}, (True, False)):
        one, two = ACTIONS[first], ACTIONS[second]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)] if commit else [stage.alone(state, two)]
        if second in SKIPS_LOCKED:
            allowed.append(stage.alone(state, one) if commit else stage.alone(state))
        found = stage.side_by_side(state, one, two, commit=commit)
        assert found in allowed, f"{state}: {first}, then {second}, commit={commit}"
