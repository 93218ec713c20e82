"""The tables as SQLAlchemy objects, for an application's own queries; nothing else in pgjobs needs them.

    from pgjobs.tables import jobs

    waiting = select(jobs.c.queue, func.count()).where(jobs.c.status == "queued").group_by(jobs.c.queue)
    mine = select(Order, jobs.c.status).join(jobs, jobs.c.id == Order.receipt_job_id)

They describe what `pgjobs migrate` creates, and are not meant to create it. They belong to a `metadata` of their own,
so that an alembic autogenerate of the application does not see them. `make_tables` describes those of another schema.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import (
    REAL,
    UUID,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from pgjobs.core.config import Settings, settings

_MOMENT = DateTime(timezone=True)
_KEY = Text(collation="C")  # compared byte by byte


class Tables(NamedTuple):
    """The tables of one schema."""

    jobs: Table
    """Every job, whatever its state; see `status`."""
    dead_jobs: Table
    """Jobs that ran out of attempts, with the error of each."""
    workers: Table
    """The workers that are alive."""
    queues: Table
    """The settings and switches of queues."""
    retention: Table
    """One row: how long finished jobs and dead letters are kept."""
    schedules: Table
    """What is enqueued when."""
    schedule_owners: Table
    """The supervisors whose code declares schedules, subscriptions, topics and pipelines."""
    subscriptions: Table
    """What is enqueued for which events."""
    topics: Table
    """The topics that keep their events, and how long."""
    events: Table
    """What was published in such topics."""
    broadcasts: Table
    """What every worker process, or host, runs once."""
    broadcast_runs: Table
    """What came of it in each."""
    audit: Table
    """What was done by hand: by which user, to what, and what came of it."""
    queue_minutes: Table
    """What happened in queues and tasks, minute by minute."""
    finished_totals: Table
    """How many jobs have ended, apart from those that a supervisor serves to Prometheus itself."""
    pipelines: Table
    """The pipelines that code declares, and how many items may wait in their stages."""
    pipeline_stages: Table
    """The stages of pipelines."""
    limits: Table
    """Limits of keys: how many jobs run at once, and how many start in a period."""
    tenants: Table
    """The weights of tenants, where they are not 1."""
    buckets: Table
    """The token buckets of rates."""
    key_locks: Table
    """What claims lock: a row for each limit, sequence, breaker or limited queue that a claim has needed of late."""
    workflows: Table
    """Workflows: how each is, and how many steps it has."""
    workflow_counts: Table
    """What has changed of that since the workflow was last looked at; only the sum means something."""
    workflow_steps: Table
    """Which job is which step."""
    workflow_callbacks: Table
    """Jobs that are enqueued when a workflow ends."""
    signals: Table
    """What was said to jobs and workflows."""
    waits: Table
    """Which job waits for which signal, or sleeps."""
    dependencies: Table
    """Which job waits for which."""
    unique_keys: Table
    """Which job has a unique key, or had it last."""
    breakers: Table
    """Circuit breakers: their settings and their states."""
    paused_tasks: Table
    """The tasks, modules and patterns that are paused."""
    progress: Table
    """How far jobs have come, by their own word."""
    job_steps: Table
    """What the steps that jobs do once have returned."""
    switch: Table
    """One row: whether everything is paused."""
    results: Table
    """What jobs returned, for those that keep it, until it expires."""


def make_tables(schema: str, metadata: MetaData | None = None) -> Tables:
    """Describe the tables of a schema, in `metadata` (default: a new one).

    Raises:
        UsageError: the schema's name cannot be used.

    """
    schema = Settings(schema=schema).schema  # checked: it is part of the SQL of a default
    metadata = MetaData() if metadata is None else metadata
    columns: dict[str, list[Column[Any]]] = {
        "jobs": [*_job_columns(schema), *_flow_columns()],
        "dead_jobs": [
            *_job_columns(None),
            *_flow_columns(),
            _required("died_at", _MOMENT, "now()"),
            Column("ends_sequence", Boolean),
        ],
        "workers": [
            Column("id", BigInteger, Identity(), primary_key=True),
            _required("host", Text),
            _required("pid", Integer),
            _required("queues", JSONB),
            _required("version", Text),
            _required("state", Text, "'running'"),
            _required("started_at", _MOMENT, "now()"),
            _required("heartbeat_at", _MOMENT, "now()"),
            Column("rescue_after", REAL),
            Column("signs", Boolean),
            Column("pooled", Boolean),
            Column("clock_ahead", REAL),
        ],
        "queues": [
            Column("name", Text, primary_key=True),
            _required("paused", Boolean, "false"),
            Column("paused_at", _MOMENT),
            Column("doorbell_until", _MOMENT),
            _required("created_at", _MOMENT, "now()"),
            _required("keep_completed", Boolean, "true"),
            Column("concurrency", Integer),
            *_rate_columns(),
            Column("aging", Interval),
            Column("declared", JSONB),
            Column("sla", Double),
        ],
        "retention": [
            Column("history_days", Integer, server_default=text("7")),
            Column("dead_letter_days", Integer),
            Column("applied_at", _MOMENT),
            Column("one", Boolean, primary_key=True, server_default=text("true")),
            _required("minute_days", Integer, "7"),
        ],
        "schedules": _schedule_columns(),
        "schedule_owners": [
            Column("id", UUID, primary_key=True),
            _required("role", Text),
            _required("names", ARRAY(Text)),
            _required("started_at", _MOMENT, "clock_timestamp()"),
            _required("seen_at", _MOMENT, "clock_timestamp()"),
            Column("ended_at", _MOMENT),
            _required("subscriptions", ARRAY(Text), "'{}'"),
            _required("topics", ARRAY(Text), "'{}'"),
            _required("pipelines", ARRAY(Text), "'{}'"),
        ],
        "subscriptions": _subscription_columns(),
        "topics": [
            Column("pattern", _KEY, primary_key=True),
            _required("app", Text),
            _required("keep", Interval),
            *_pattern_columns(),
            Column("retired_at", _MOMENT),
            _required("created_at", _MOMENT, "now()"),
            _required("updated_at", _MOMENT, "now()"),
        ],
        "events": [
            # No key: it is a partitioned table, and an id is given out once.
            _required("id", BigInteger),
            _required("published_at", _MOMENT),
            _required("kept_until", _MOMENT),
            _required("topic", _KEY),
            Column("sequence", _KEY),
            _required("delivered", ARRAY(Integer), "'{}'"),
            Column("signature", LargeBinary),
            _required("body", LargeBinary),
        ],
        "broadcasts": [
            Column("id", BigInteger, Identity(always=True), primary_key=True),
            _required("target", Text),
            _required("within", Double),
            _required("created_at", _MOMENT, "now()"),
            Column("committed_at", _MOMENT),
            Column("closes_at", _MOMENT),
            _required("task", Text),
            Column("summary", Text),
            Column("timeout", REAL),
            Column("signature", LargeBinary),
            _required("payload", LargeBinary),
        ],
        "broadcast_runs": [
            Column("id", BigInteger, Identity(always=True), primary_key=True),
            _required("broadcast_id", BigInteger),
            _required("unit", Text),
            _required("host", Text),
            Column("worker_id", BigInteger),
            Column("pid", Integer),
            _required("state", Text, "'queued'"),
            Column("started_at", _MOMENT),
            Column("finished_at", _MOMENT),
            Column("error", Text),
            Column("traceback", Text),
            Column("is_json", Boolean),
            Column("signature", LargeBinary),
            Column("value", LargeBinary),
        ],
        "audit": [
            Column("id", BigInteger, Identity(always=True), primary_key=True),
            _required("at", _MOMENT, "clock_timestamp()"),
            _required("by", Text),
            _required("via", Text),
            _required("action", Text),
            _required("target", JSONB, "'{}'"),
            Column("number", BigInteger),
            Column("outcome", Text),
            Column("failed", Boolean),
            Column("ended_at", _MOMENT),
        ],
        "queue_minutes": [
            Column("minute", _MOMENT, nullable=False),
            Column("queue", _KEY, nullable=False),
            Column("task", _KEY, nullable=False, server_default=text("''")),
            _required("sampled", Boolean, "false"),
            Column("enqueued", BigInteger),
            Column("latency", REAL),
            *(Column(name, Integer) for name in ("due", "later", "waiting", "running")),
            *(_required(how, BigInteger, "0") for how in ("completed", "failed", "cancelled", "retried")),
            _required("slots", REAL, "0"),
            _required("busy", REAL, "0"),
            _required("run_seconds", Double, "0"),
            _required("wait_seconds", Double, "0"),
            _required("runs", ARRAY(Integer), "'{}'"),
            _required("waits", ARRAY(Integer), "'{}'"),
        ],
        "finished_totals": [
            Column("queue", _KEY, primary_key=True),
            Column("task", _KEY, primary_key=True),
            *(_required(how, BigInteger, "0") for how in ("completed", "failed", "cancelled", "retried")),
        ],
        "pipelines": [
            Column("name", _KEY, primary_key=True),
            _required("app", Text),
            _required("at_most", Integer),
            Column("paused_at", _MOMENT),
            Column("retired_at", _MOMENT),
            _required("created_at", _MOMENT, "now()"),
            _required("updated_at", _MOMENT, "now()"),
            Column("digest", LargeBinary),
        ],
        "pipeline_stages": [
            Column("key", _KEY, primary_key=True),
            _required("pipeline", _KEY),
            _required("place", Integer),
            _required("name", Text),
            _required("task", Text),
            _required("queue", Text),
            Column("next", _KEY),
        ],
        "limits": [
            Column("name", _KEY, primary_key=True),
            Column("concurrency", Integer),
            *_rate_columns(),
            _required("set_by", Text, "'operator'"),
            _required("updated_at", _MOMENT, "now()"),
            Column("declared", JSONB),
        ],
        "tenants": [
            Column("name", _KEY, primary_key=True),
            _required("weight", Double),
            _required("updated_at", _MOMENT, "now()"),
        ],
        "buckets": [
            Column("kind", Text, primary_key=True),
            Column("name", _KEY, primary_key=True),
            _required("tokens", Double),
            _required("at", _MOMENT),
        ],
        "key_locks": [
            Column("kind", Text, primary_key=True),
            Column("name", _KEY, primary_key=True),
        ],
        "progress": [
            Column("job_id", BigInteger, primary_key=True, autoincrement=False),
            Column("done", Double),
            Column("total", Double),
            Column("message", Text),
            Column("state", JSONB),
            _required("updated_at", _MOMENT, "now()"),
            Column("waits_for", ARRAY(BigInteger)),
            Column("waits_claim", Integer),
        ],
        "job_steps": [
            Column("job_id", BigInteger, primary_key=True, autoincrement=False),
            Column("key", _KEY, primary_key=True),
            _required("value", LargeBinary),
            Column("signature", LargeBinary),
            _required("done_at", _MOMENT, "now()"),
        ],
        "workflows": [
            Column("id", BigInteger, Identity(), primary_key=True),
            _required("name", Text),
            Column("key", _KEY),
            _required("status", Text, "'running'"),
            _required("steps", BigInteger, "0"),
            _required("active", BigInteger, "0"),
            *(_required(how, BigInteger, "0") for how in ("completed", "failed", "cancelled", "skipped")),
            _required("created_at", _MOMENT, "statement_timestamp()"),
            Column("ended_at", _MOMENT),
            Column("paused_at", _MOMENT),
            Column("cancelled_at", _MOMENT),
            Column("cancel_reason", Text),
            _required("checked_at", _MOMENT, "now()"),
        ],
        "workflow_counts": [
            Column("workflow_id", BigInteger, primary_key=True, autoincrement=False),
            Column("shard", SmallInteger, primary_key=True, autoincrement=False),
            _required("steps", BigInteger, "0"),
            _required("active", BigInteger, "0"),
            *(_required(how, BigInteger, "0") for how in ("completed", "failed", "cancelled", "skipped")),
        ],
        "workflow_steps": [
            Column("job_id", BigInteger, primary_key=True, autoincrement=False),
            _required("workflow_id", BigInteger),
            _required("node", BigInteger),
            Column("parent", BigInteger),
            Column("n", Integer),
            Column("kind", Text),
            Column("status", Text),
            _required("if_failed", Text, "'wait'"),
            _required("name", Text),
            Column("needs", ARRAY(BigInteger)),
        ],
        "workflow_callbacks": _callback_columns(),
        "signals": [
            Column("kind", Text, primary_key=True),
            Column("target", BigInteger, primary_key=True),
            Column("name", _KEY, primary_key=True),
            Column("payload", JSONB),
            _required("sent_at", _MOMENT, "now()"),
            _required("settled", Boolean, "false"),
        ],
        "waits": [
            Column("job_id", BigInteger, primary_key=True, autoincrement=False),
            Column("name", _KEY, primary_key=True),
            Column("signal", _KEY),
            Column("workflow_id", BigInteger),
            Column("until", _MOMENT),
            _required("began_at", _MOMENT, "now()"),
        ],
        "dependencies": [
            Column("needs_id", BigInteger, primary_key=True, autoincrement=False),
            Column("job_id", BigInteger, primary_key=True),
            _required("on_failure", Text, "'wait'"),
            _required("settled", Boolean, "false"),
            Column("in_doubt", BigInteger),
        ],
        "unique_keys": [
            Column("key", Text, primary_key=True),
            Column("job_id", BigInteger),
            _required("until_started", Boolean, "false"),
            Column("held_until", _MOMENT),
        ],
        "breakers": _breaker_columns(),
        "paused_tasks": [
            Column("task", Text, primary_key=True),
            _required("patterns", ARRAY(Text)),
            _required("paused_at", _MOMENT, "now()"),
        ],
        "switch": [
            Column("one", Boolean, primary_key=True, server_default=text("true")),
            _required("paused", Boolean, "false"),
            Column("paused_at", _MOMENT),
        ],
        "results": [
            # No key: a job that ran again may have two, of which the newer one counts.
            _required("job_id", BigInteger),
            _required("kept_until", _MOMENT),
            _required("stored_at", _MOMENT, "now()"),
            _required("is_json", Boolean),
            Column("signature", LargeBinary),
            _required("value", LargeBinary),
        ],
    }
    keys = {"queue_minutes": [PrimaryKeyConstraint("queue", "task", "minute")]}  # in another order than the columns
    tables = {
        name: Table(name, metadata, *columns[name], *keys.get(name, ()), schema=schema) for name in Tables._fields
    }
    return Tables(**tables)


def _required(name: str, kind: Any, default: str | None = None) -> Column[Any]:
    """Return a column that is never NULL, with its default as SQL."""
    return Column(name, kind, nullable=False, server_default=None if default is None else text(default))


def _breaker_columns() -> list[Column[Any]]:
    return [
        Column("name", _KEY, primary_key=True),
        _required("state", Text, "'closed'"),
        Column("until", _MOMENT),
        _required("probes", Integer, "3"),
        _required("forced", Boolean, "false"),
        _required("failures", Double, "0.5"),
        _required("period", Interval, "'30 s'"),
        _required("min_calls", Integer, "20"),
        _required("cooldown", Interval, "'60 s'"),
        _required("passed", Integer, "0"),
        _required("calls", JSONB, "'[]'"),
        _required("streak", Integer, "0"),
        Column("changed_at", _MOMENT),
        Column("changed_by", Text),
        Column("reason", Text),
        _required("created_at", _MOMENT, "now()"),
    ]


def _schedule_columns() -> list[Column[Any]]:
    return [
        Column("name", Text, primary_key=True),
        Column("app", Text),
        _required("cron", Text),
        _required("tz", Text, "'UTC'"),
        _required("missed", Text, "'once'"),
        _required("overlap", Text, "'allow'"),
        Column("paused_at", _MOMENT),
        Column("retired_at", _MOMENT),
        Column("next_at", _MOMENT),
        Column("last_at", _MOMENT),
        Column("last_job_id", BigInteger),
        Column("error", Text),
        _required("created_at", _MOMENT, "now()"),
        _required("updated_at", _MOMENT, "now()"),
        Column("digest", LargeBinary),
        _required("columns", JSONB),
        Column("summary", Text),
        _required("options", JSONB, "'{}'"),
        Column("signature", LargeBinary),
        _required("payload", LargeBinary),
    ]


def _pattern_columns() -> list[Column[Any]]:
    """Describe what the database makes of a pattern, in generated columns."""
    return [_required("prefix", _KEY), Column("regex", _KEY)]


def _subscription_columns() -> list[Column[Any]]:
    return [
        Column("name", Text, primary_key=True),
        Column("id", Integer, Identity(always=True), nullable=False),
        _required("app", Text),
        _required("pattern", _KEY),
        *_pattern_columns(),
        Column("drops_since", _MOMENT),
        Column("retired_at", _MOMENT),
        _required("created_at", _MOMENT, "now()"),
        _required("updated_at", _MOMENT, "now()"),
        Column("digest", LargeBinary),
        _required("queue", Text),
        _required("priority", SmallInteger),
        _required("max_attempts", Integer),
        Column("timeout", REAL),
        Column("executor", Text),
        Column("meta", JSONB),
        Column("expires", Double),
        Column("limit_key", _KEY),
        Column("fair_by", _KEY),
        Column("breaker", _KEY),
        Column("cost", REAL),
        _required("on_failure", Text, "'block'"),
        Column("summary", Text),
        Column("signature", LargeBinary),
    ]


def _job_columns(defaults_in: str | None) -> list[Column[Any]]:
    """Describe a job's columns: with the defaults of `jobs` in that schema, or without any, as in `dead_jobs`."""

    def required(name: str, kind: Any, sql: str) -> Column[Any]:
        return _required(name, kind, None if defaults_in is None else sql)

    default = f"nextval('{defaults_in}.jobs_id_seq')"
    sequence = None if defaults_in is None else text(default)
    return [
        # Unique among the live jobs and in dead_jobs; in the history an index.
        Column("id", BigInteger, primary_key=True, autoincrement=False, server_default=sequence),
        required("run_at", _MOMENT, "statement_timestamp()"),
        required("enqueued_at", _MOMENT, "statement_timestamp()"),
        Column("started_at", _MOMENT),
        Column("finished_at", _MOMENT),
        Column("worker_id", BigInteger),
        required("claims", Integer, "0"),
        required("attempt", Integer, "0"),
        required("max_attempts", Integer, "5"),
        Column("prior_attempts", Integer),
        Column("timeout", REAL),
        required("priority", SmallInteger, "5"),
        Column("isolate", Boolean),
        required("status", Text, "'queued'"),
        required("queue", Text, "'default'"),
        _required("task", Text),
        Column("executor", Text),
        Column("summary", Text),
        Column("error", Text),
        Column("error_kind", Text),
        Column("signature", LargeBinary),
        _required("payload", LargeBinary),
        Column("errors", JSONB),
        Column("meta", JSONB),
    ]


def _flow_columns() -> list[Column[Any]]:
    """Describe the columns of flow control, NULL for most jobs."""
    return [
        Column("expires_at", _MOMENT),
        Column("lane", _KEY),
        Column("limit_key", _KEY),
        Column("cost", REAL),
        Column("sequence", _KEY),
        Column("on_failure", Text),
        Column("breaker", _KEY),
        Column("held", Text),
        Column("needs", Integer),
        Column("dependents", Boolean),
        Column("counted_queue", _KEY),
        Column("cancel_reason", Text),
        Column("cancel_force", Boolean),
    ]


def _callback_columns() -> list[Column[Any]]:
    """Describe what is kept of a job that a workflow calls at its end."""
    return [
        Column("id", BigInteger, Identity(), primary_key=True),
        _required("workflow_id", BigInteger),
        _required("kind", Text),
        _required("queue", Text),
        _required("priority", SmallInteger),
        _required("max_attempts", Integer),
        Column("timeout", REAL),
        Column("executor", Text),
        _required("task", Text),
        Column("meta", JSONB),
        Column("lane", _KEY),
        Column("cost", REAL),
        Column("on_failure", Text),
        Column("summary", Text),
        Column("signature", LargeBinary),
        _required("payload", LargeBinary),
    ]


def _rate_columns() -> list[Column[Any]]:
    return [Column("rate", Double), Column("period", Interval), Column("burst", Double)]


metadata = MetaData()
_tables = make_tables(settings().schema, metadata)
jobs, dead_jobs, workers, queues, retention = _tables[:5]
