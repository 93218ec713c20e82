"""Transactions that enqueue what the plan says. What was committed is written down in the same transaction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from pgjobs import enqueue_many
from pgjobs.core.errors import DuplicateJobError, EnqueueError
from pgjobs.flow.values import Limit, Sequence, Unique
from tests.system.stress.tasks import TASKS

if TYPE_CHECKING:
    import psycopg

    from tests.system.stress.plan import Call
ABOUT = ("after", "if_failed", "unique", "max_attempts")  # options that the auditor asks for


def options_of(call: Call) -> dict[str, Any]:
    """Return the options as `Job.options` takes them. Pure."""
    options = dict(call.options)
    if "limit" in options:
        key, cost = options["limit"]
        options["limit"] = Limit(key, cost=cost)
    if "sequence" in options:
        key, on_failure = options["sequence"]
        options["sequence"] = Sequence(key, on_failure=on_failure)
    if "unique" in options:
        key, until, on_conflict = options["unique"]
        options["unique"] = Unique(key, until=until, on_conflict=on_conflict)
    if "after" in options and options.get("unique") and options["unique"].on_conflict == "replace":
        del options["after"]
    return options


def perform(conn: psycopg.Connection[Any], call: Call) -> list[int]:
    """Enqueue, and return the jobs that were committed.

    Raises:
        psycopg.Error: the server did not answer.

    """
    options = options_of(call)
    function: Any = TASKS[call.task]
    count = 1 if "unique" in options else call.jobs
    try:
        with conn.transaction(force_rollback=not call.commit):
            row = conn.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            calls = [(call.tenant, call.seconds, call.fate)] * count
            handles = enqueue_many(conn, function.options(**options), calls)
            about = {name: call.options[name] for name in ABOUT if name in options}
            for handle in handles:
                if not handle.conflict:
                    conn.execute("INSERT INTO stress.calls VALUES (%s, %s)", [handle.id, Jsonb(about)])
                if "unique" in options:
                    conn.execute(
                        "INSERT INTO stress.unique_calls VALUES (%s, %s, %s, %s, %s, %s)",
                        [*call.options["unique"], handle.id, handle.conflict, row[0]],
                    )
            if call.hold:
                time.sleep(call.hold)
    except (DuplicateJobError, EnqueueError):  # the key is taken; or a job to wait for has been rolled back
        return []
    return [handle.id for handle in handles if not handle.conflict] if call.commit else []
