"""Rows of all that pages show, ordinary or hostile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from psycopg.types.json import Jsonb

from pgjobs import Workflow, admin, broadcast, enqueue
from pgjobs.flow.limits import LimitSettings
from tests.support import tasks
from tests.support.rows import put_dead, put_job, put_pipeline, put_worker

if TYPE_CHECKING:
    import psycopg

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}\u202e\x1b[31m\x9b\u2066"
LONG = "x" * 1_000_000


def put_all(conn: psycopg.Connection, text: str = "plain") -> dict[str, int]:
    """Insert one or more of everything, with this text where a text can be, and return ids."""
    name = name_of(text)
    worker = put_worker(conn, {name: 4})
    errors = [
        {"attempt": 1, "at": text, "error": text, "traceback": f"{text}\n{LONG}{text}", "worker": text, "host": text}
    ]
    meta = Jsonb({text.replace("\x00", ""): [text, {"user": 7}]})
    common = {"queue": name, "task": f"shop.tasks:{name}", "summary": text, "error": text, "meta": meta}
    running = put_job(conn, status="running", worker_id=worker, attempt=1, **common)
    dead = put_dead(conn, **{**common, "errors": errors, "sequence": name})
    put_job(conn, status="completed", **common)
    queued = put_job(conn, **common)
    put_job(conn, status="waiting", lane=f"\x1f{name}\x1f{name}\x1f", **common)
    conn.execute("INSERT INTO pgjobs.progress (job_id, done, total, message) VALUES (%s, 4, 10, %s)", [running, text])
    admin.set_limit(conn, name, LimitSettings(concurrency=2))
    admin.set_tenant_weight(conn, name, 2)
    admin.open_breaker(conn, name, by=text)
    admin.pause_queue(conn, name)
    admin.pause_task(conn, name)
    admin.add_schedule(conn, "nightly", "0 0 * * *", tasks.nothing, (1, 2))
    conn.execute(
        "UPDATE pgjobs.schedules SET summary = %s, error = %s, app = %s, last_job_id = 1, last_at = now()", [text] * 3
    )
    put_pipeline(conn, at_most=2, name=re.sub("[^A-Za-z0-9_.:-]", "", name))
    conn.execute("UPDATE pgjobs.pipelines SET app = %s", [text])
    conn.execute(
        "INSERT INTO pgjobs.subscriptions (name, app, pattern, queue, priority, max_attempts)"
        " VALUES (%(text)s, %(text)s, '#', 'default', 5, 1)",
        {"text": name},
    )
    conn.execute("INSERT INTO pgjobs.topics (pattern, app, keep) VALUES ('#', %s, '1 day')", [text])
    broadcast(conn, tasks.nothing, 1, 2)
    conn.execute("UPDATE pgjobs.broadcasts SET summary = %s", [text])
    flow = Workflow("flow", key=f"{name}:1")
    step = flow.add(tasks.nothing, 1, 2)
    flow.add(tasks.nothing.options(after=[step]) if hasattr(tasks.nothing, "options") else tasks.nothing, 1, 2)
    workflow = enqueue(conn, flow).id
    conn.execute("UPDATE pgjobs.workflows SET name = %s, cancel_reason = %s", [text] * 2)
    conn.execute("UPDATE pgjobs.workflow_steps SET name = %s", [text])
    admin.begin_audit(conn, text, text, {name: text})
    admin.set_queue_sla(conn, name, 30)
    put_minutes(conn, name, f"shop.tasks:{name}")
    return {"running": running, "dead": dead, "queued": queued, "workflow": workflow, "worker": worker}


def put_minutes(conn: psycopg.Connection, queue: str, task: str = "shop:sell", minutes: int = 120) -> None:
    """Insert what happened in a queue and a task of it in the last minutes."""
    for row in (("", ""), (queue, ""), (queue, task)):
        conn.execute(
            "INSERT INTO pgjobs.queue_minutes (minute, queue, task, sampled, enqueued, latency, due, later, waiting,"
            " running, completed, failed, retried, slots, busy, run_seconds, wait_seconds, runs, waits)"
            " SELECT date_trunc('minute', now()) - m * interval '1 minute', %(queue)s, %(task)s, %(queue)s = '',"
            " CASE WHEN %(queue)s = '' THEN 100000 - m * 60 END, 20 + 15 * sin(m / 9.0), 20 + m %% 7, 3, 1, 4, 60,"
            " m %% 4, m %% 6, 8, 5 + m %% 3, 30, 60, '{1,2,30,20,7}', '{0,0,1,20,30,9}'"
            " FROM generate_series(1, %(minutes)s) AS m ON CONFLICT DO NOTHING",
            {"queue": row[0], "task": row[1], "minutes": minutes},
        )


def name_of(text: str) -> str:
    """Return the name of a queue, and of other things, that is as close to a text as names can be."""
    return "".join(each for each in text if each.isprintable() and each not in "*{}")[:60]


def addresses(ids: dict[str, int], text: str = "plain") -> list[str]:
    """Return an address of each page."""
    return [
        "/",
        "/queues",
        f"/queue?name={quote(name_of(text))}",
        "/jobs",
        f"/jobs/{ids['running']}",
        f"/jobs/{ids['dead']}",
        f"/jobs/{ids['queued']}",
        "/dead",
        "/workflows",
        f"/workflows/{ids['workflow']}",
        "/schedules",
        "/limits",
        "/workers",
        "/subscriptions",
        "/pipelines",
        "/doctor",
        "/audit",
    ]
