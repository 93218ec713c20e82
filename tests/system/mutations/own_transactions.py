"""Protections of jobs that complete in the transaction of their own work, and of what their worker then finds."""

from __future__ import annotations

from tests.system.mutations.protection import SQL, Protection

COMPLETE = "tests/effects/test_complete.py"
TRANSACTION = "tests/effects/test_transaction.py"
TOLD = ("tests/hooks/test_outcome_hooks.py", "-k", "completed_itself")

OWN_TRANSACTIONS = (
    Protection(
        "the mode of a connection under a session is looked at",
        "src/pgjobs/effects/own_transaction.py",
        "    driver = _driver_connection(conn)\n",
        "    driver = conn\n",
        (COMPLETE, "-k", "engine_in_autocommit"),
    ),
    Protection(
        "complete() that is not awaited is noticed",
        "src/pgjobs/effects/complete.py",
        "        job.completing = True  # already: if it is not awaited, the row says so\n",
        "",
        (COMPLETE, "-k", "not_awaited"),
    ),
    Protection(
        "a job that waits for its turn again has not completed itself",
        f"{SQL}/acknowledge/claims_left.sql",
        "WHERE waiting.id = ANY (%(ids)s::bigint[])",
        "WHERE waiting.id = ANY (%(ids)s::bigint[]) AND false",
        TOLD,
    ),
    Protection(
        "a job that another attempt has ended was not completed by this one",
        "src/pgjobs/worker/acknowledge/outcome_writer.py",
        "            ids |= self._ended_otherwise(",
        "            _ = self._ended_otherwise(",
        TOLD,
    ),
    Protection(
        "a function that has executed COMMIT or ROLLBACK has not completed its job",
        "src/pgjobs/worker/runtime/own_connections.py",
        "    if _is_idle(conn):\n        raise UsageError(",
        "    if _is_idle(conn) and conn.closed:\n        raise UsageError(",
        (TRANSACTION, "-k", "ended_by_a_statement"),
    ),
    Protection(
        "a connection whose transaction a function has ended is not kept",
        "src/pgjobs/worker/runtime/own_connections.py",
        "        elif not self._is_left:\n            self.conn.close()\n",
        "",
        (TRANSACTION, "-k", "ended_by_a_statement"),
    ),
    Protection(
        "a function that has rolled back, or closed its session, has not completed its job",
        "src/pgjobs/worker/runtime/own_engines.py",
        "    if now is not begun:\n",
        "    if now is None:\n",
        (TRANSACTION, "-k", "what_does_not_return"),
    ),
    Protection(
        "a step in a batch is refused",
        "src/pgjobs/jobs/context.py",
        '        self._refuse_in_batch("once_in()")\n',
        "",
        ("tests/effects/test_steps.py", "-k", "one_commit"),
    ),
    Protection(
        "a rescue notices that the backends of a silent worker have gone",
        "src/pgjobs/worker/runtime/registration.py",
        '            cursor.execute("SELECT pg_stat_clear_snapshot()")\n',
        "",
        ("tests/worker/supervisor/test_rescue.py", "-k", "backends_only"),
    ),
    Protection(
        "only steps have their workflows looked at",
        "src/pgjobs/db/workflow_counts.py",
        "    return {step for step, _ in rows} & {change.id for change in changes if change.ends is not None}",
        "    return {change.id for change in changes if change.ends is not None}",
        ("tests/worker/acknowledge/test_workflow_looks.py",),
    ),
)
