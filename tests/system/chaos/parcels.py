"""Adds items of a pipeline and broadcasts to a load, and sees that each part is kept once, and each one heard."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs import broadcast, enqueue_many
from tests.support.processes import wait_until
from tests.support.tasks import URL
from tests.system.chaos import tasks_stages
from tests.system.chaos.load import KINDS

if TYPE_CHECKING:
    import random

    from tests.system.chaos.stage import Stage

ITEM = "item"
OPTIONS = ("-q", "stores:2", "--import", "tests.system.chaos.tasks_stages")
LATER = "pgjobs.stage_of_lane(lane) IN ('parcels/wrap', 'parcels/store')"


def before(stage: Stage) -> None:
    """Make the tables, and add items and broadcasts to the load."""
    with stage.cluster.connected() as conn:
        conn.execute(tasks_stages.TABLES)
    stage.env = {URL: stage.worker_url}
    stage.load.kinds = [*KINDS, (1, ITEM, _items), (0.3, "broadcast", _broadcast)]


def check(stage: Stage) -> list[str]:
    """See that there is one row for each part of each item, and that each broadcast is accounted for."""
    unfinished = "SELECT count(*) FROM pgjobs.broadcast_runs WHERE state IN ('queued', 'running')"
    query = """
        SELECT (SELECT count(*) FROM ledger WHERE kind = %(item)s), (SELECT count(*) FROM stored),
               (SELECT count(DISTINCT (item, part)) FROM stored),
               (SELECT count(*) FROM announced FULL JOIN pgjobs.broadcasts AS b USING (id)
                WHERE b.id IS NULL OR announced.id IS NULL),
               (SELECT count(*) FROM announced), (SELECT count(*) - count(DISTINCT (token, pid)) FROM heard),
               (SELECT count(*) FROM pgjobs.broadcast_runs AS r JOIN announced AS a ON a.id = r.broadcast_id
                WHERE r.state = 'completed' AND NOT EXISTS (SELECT FROM heard AS h
                                                            WHERE h.token = a.token AND h.pid = r.pid)),
               (SELECT count(*) FROM pgjobs.broadcast_runs WHERE state = 'failed')
    """
    with stage.cluster.connected() as conn:
        wait_until(lambda: conn.execute(unfinished).fetchone() == (0,), 30)
        row = conn.execute(query, {"item": ITEM}).fetchone()
        later = conn.execute(f"SELECT id FROM pgjobs.jobs WHERE {LATER}".encode()).fetchall()
        states = conn.execute("SELECT state, count(*) FROM pgjobs.broadcast_runs GROUP BY 1 ORDER BY 1").fetchall()
    assert row is not None
    stage.own += [found[0] for found in later]
    items, kept, different, strays, broadcasts, twice, unheard, failed = row
    stage.note(f"{items} items, {kept} parts kept; {broadcasts} broadcasts, in worker processes: {dict(states)}")
    wrong = []
    if not items or not kept == different == tasks_stages.PARTS * items:
        wrong.append(f"{items} items, {kept} parts kept, {different} different ones")
    if not broadcasts or strays or twice or unheard or failed:
        wrong.append(
            f"{broadcasts} broadcasts, {strays} lost or rolled back and there, {twice} heard twice, "
            f"{unheard} completed and not heard, {failed} failed"
        )
    return wrong


def _items(conn: psycopg.Connection[Any], dice: random.Random) -> list[int]:
    names = [(str(uuid.uuid4()),) for _ in range(dice.randint(1, 5))]
    return [handle.id for handle in enqueue_many(conn, tasks_stages.parcels, names)]


def _broadcast(conn: psycopg.Connection[Any], _dice: random.Random) -> list[int]:
    token = str(uuid.uuid4())
    handle = broadcast(conn, tasks_stages.hear, token, within=2.0)
    conn.execute("INSERT INTO announced VALUES (%s, %s)", [token, handle.id])
    return []
