"""Database roles with the least rights, as statements: to enqueue, to work, and to look.

They are group roles without a login; yours become members of them (`GRANT pgjobs_work TO worker`). Roles
belong to the whole server, so with tables in another schema their names begin with that schema's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pgjobs.core.config import Settings, settings
from pgjobs.core.errors import ConfigurationError, UsageError
from pgjobs.db.enqueue_columns import EnqueueColumns
from pgjobs.db.statements import rename_schema

if TYPE_CHECKING:
    import psycopg


class Roles(NamedTuple):
    """The names of the three roles."""

    enqueue: str
    work: str
    read: str


_MAX_ROLE_PREFIX = 63 - len("_enqueue")

# What `enqueue` writes. The status is not among it: a role that may only enqueue cannot insert a finished job.
_SHARED = (name for name in EnqueueColumns._fields if name != "delay")  # which is added to the time of the statement
_ENQUEUED = ", ".join((*_SHARED, "summary", "signature", "payload"))
_CONTROLLED = "held, lane, limit_key, sequence, breaker, cost, on_failure, expires_at"
_BROADCAST = "target, within, task, summary, timeout, signature, payload"

# What `work` changes.
_CHANGED = [
    *("jobs", "jobs_live", "jobs_waiting", "jobs_history", "jobs_history_default", "dead_jobs"),
    *("workers", "queues", "retention"),
    *("limits", "tenants", "buckets", "key_locks"),
    *("progress", "job_steps"),
    *("results", "results_default"),
    *("workflows", "workflow_counts", "workflow_steps", "workflow_callbacks", "signals", "waits"),
    *("dependencies", "unique_keys", "breakers"),
    *("schedules", "schedule_owners", "paused_tasks", "switch"),
    *("subscriptions", "topics", "events", "events_default"),
    *("broadcasts", "broadcast_runs"),
    *("pipelines", "pipeline_stages"),
    *("queue_minutes", "queue_minutes_default", "finished_totals"),
]

_GRANTS = [
    'GRANT USAGE ON SCHEMA "{schema}" TO "{enqueue}", "{work}", "{read}"',
    # The trigger that rings the doorbell runs with the rights of the role that enqueues.
    f'GRANT INSERT ({_ENQUEUED}), SELECT (id) ON pgjobs.jobs TO "{{enqueue}}"',
    # A job that waits for its turn goes into its partition by name, because this role cannot choose its status.
    f'GRANT INSERT ({_ENQUEUED}, {_CONTROLLED}), SELECT (id) ON pgjobs.jobs_waiting TO "{{enqueue}}"',
    'GRANT SELECT (name, doorbell_until) ON pgjobs.queues TO "{enqueue}"',
    'GRANT USAGE ON SEQUENCE pgjobs.jobs_id_seq TO "{enqueue}"',
    f'GRANT INSERT ({_BROADCAST}), SELECT (id) ON pgjobs.broadcasts TO "{{enqueue}}"',
    'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO "{work}", "{read}"',
    *(f'GRANT INSERT, UPDATE, DELETE ON pgjobs.{table} TO "{{work}}"' for table in _CHANGED),
    # What was done stays written.
    'GRANT INSERT, UPDATE (number, outcome, failed, ended_at) ON pgjobs.audit TO "{work}"',
    'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{work}"',
    # pg_dump reads sequences as well.
    'GRANT SELECT ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{work}", "{read}"',
    # A restore without privileges has lost what the first migration granted to all.
    'GRANT SELECT ON SEQUENCE pgjobs.doorbell, pgjobs.result_bell TO "{enqueue}", "{work}"',
    # These read other jobs and keys, or who subscribes, which a role that may only enqueue cannot.
    *(
        statement.format(function=f"pgjobs.{name}", enqueue="{enqueue}", work="{work}")
        for name in (
            *("enqueue_after_checks", "lock_unique_keys", "publish_event"),
            *("add_workflow", "add_steps", "add_callback", "end_empty_workflow", "signal"),
        )
        for statement in (
            "ALTER FUNCTION {function} SECURITY DEFINER",
            "REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC",
            'GRANT EXECUTE ON FUNCTION {function} TO "{enqueue}", "{work}"',
        )
    ),
    # These look for jobs in history, with the rights of the owner.
    *(
        statement.format(function=f"pgjobs.{name}", granted=granted)
        for name, granted in {
            "find_ended": '"{work}", "{read}"',
            "largest_id": '"{work}", "{read}"',
            "arm_result_bell": '"{work}", "{read}"',
            "hold_ended": '"{work}"',
            "advance_ids": '"{work}"',
        }.items()
        for statement in (
            "REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC",
            "GRANT EXECUTE ON FUNCTION {function} TO {granted}",
        )
    ),
    # Only workers create and drop days of history, results, events and minutes, with the rights of the owner.
    *(
        statement.format(function=f"pgjobs.{name}(date)", work="{work}")
        for name in (
            *("create_history_partition", "drop_history_partition"),
            *("create_results_partition", "drop_results_partition"),
            *("create_events_partition", "drop_events_partition"),
            *("create_minutes_partition", "drop_minutes_partition"),
        )
        for statement in (
            "ALTER FUNCTION {function} SECURITY DEFINER SET search_path = pg_catalog, pg_temp",
            "REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC",
            'GRANT EXECUTE ON FUNCTION {function} TO "{work}"',
        )
    ),
]

# Another transaction may create the role at the same moment: one of the two gets an error that it exists.
_CREATE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE "{role}" NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$"""


def roles_of(schema: str) -> Roles:
    """Name the roles for the tables in a schema.

    Raises:
        UsageError: the schema's name cannot be used, or is too long: PostgreSQL cuts names after 63 bytes, and what is
            left of the three would be one and the same role.

    """
    name = Settings(schema=schema).schema
    if len(name) > _MAX_ROLE_PREFIX:
        raise UsageError(
            f"the schema's name {name!r} has {len(name)} characters, and names of roles begin with it: give one of "
            f"{_MAX_ROLE_PREFIX} at most, or grant the rights to roles of your own."
        )
    return Roles(f"{name}_enqueue", f"{name}_work", f"{name}_read")


def role_statements(schema: str | None = None) -> list[str]:
    """Return the statements that create the roles and grant their rights; they can be run again."""
    schema = schema or settings().schema
    roles = roles_of(schema)
    create = [_CREATE.format(role=role).strip() for role in roles]
    return create + [rename_schema(grant, schema).format(schema=schema, **roles._asdict()) for grant in _GRANTS]


def make_roles(connection: psycopg.Connection, schema: str | None = None) -> Roles:
    """Create the roles, or grant existing ones the rights that this version needs, in one transaction.

    Raises:
        ConfigurationError: the connected role may not do that.

    """
    import psycopg

    try:
        with connection.transaction():
            for statement in role_statements(schema):
                connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"the roles could not be made: {reason}. It takes the owner of the tables, with the right to create roles "
            "(CREATEROLE), or run what `pgjobs migrate --roles --sql` prints as a superuser."
        ) from error
    return roles_of(schema or settings().schema)
