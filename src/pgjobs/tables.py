"""The tables as SQLAlchemy objects, to ask about jobs in one's own SQL; nothing else in pgjobs needs them.

    from pgjobs.tables import jobs

    waiting = select(jobs.c.queue, func.count()).where(jobs.c.status == "queued").group_by(jobs.c.queue)
    mine = select(Order, jobs.c.status).join(jobs, jobs.c.id == Order.receipt_job_id)

They describe what `pgjobs migrate` makes; they are not meant to create it, and belong to a `metadata` of their own, so
that an alembic autogenerate of the application does not see them. `make_tables` gives them for another schema.
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
    """The switches of queues."""
    retention: Table
    """One row: how long what has finished is kept."""
    schedules: Table
    """What is to be enqueued when."""
    schedule_owners: Table
    """The supervisors whose code declares schedules."""
    limits: Table
    """How many jobs of a key may run at once, and how many in a period."""
    tenants: Table
    """How many turns a tenant gets, where it is not one."""
    buckets: Table
    """What is left of rates."""
    dependencies: Table
    """Who waits for whom."""
    unique_keys: Table
    """Which job has a unique key, or had it last."""
    breakers: Table
    """Circuit breakers: their settings and their states."""
    paused_tasks: Table
    """The tasks, modules and patterns that are paused."""
    switch: Table
    """One row: whether everything is paused."""


def make_tables(schema: str, metadata: MetaData | None = None) -> Tables:
    """Describe the tables of a schema, in `metadata` (default: one of their own).

    Raises:
        UsageError: the schema's name can not be used.

    """
    schema = Settings(schema=schema).schema  # it gets into the SQL of a default
    metadata = MetaData() if metadata is None else metadata
    jobs = Table("jobs", metadata, *_job_columns(schema), *_flow_columns(), schema=schema)
    dead_jobs = Table(
        "dead_jobs",
        metadata,
        *_job_columns(None),
        *_flow_columns(),
        Column("died_at", _MOMENT, nullable=False, server_default=text("now()")),
        schema=schema,
    )
    workers = Table(
        "workers",
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("queues", JSONB, nullable=False),
        Column("version", Text, nullable=False),
        Column("state", Text, nullable=False, server_default=text("'running'")),
        Column("started_at", _MOMENT, nullable=False, server_default=text("now()")),
        Column("heartbeat_at", _MOMENT, nullable=False, server_default=text("now()")),
        Column("rescue_after", REAL),
        Column("signs", Boolean),
        Column("pooled", Boolean),
        Column("clock_ahead", REAL),
        schema=schema,
    )
    queues = Table(
        "queues",
        metadata,
        Column("name", Text, primary_key=True),
        Column("paused", Boolean, nullable=False, server_default=text("false")),
        Column("paused_at", _MOMENT),
        Column("doorbell_until", _MOMENT),
        Column("created_at", _MOMENT, nullable=False, server_default=text("now()")),
        Column("keep_completed", Boolean, nullable=False, server_default=text("true")),
        Column("concurrency", Integer),
        *_rate_columns(),
        Column("aging", Interval),
        Column("declared", JSONB),
        schema=schema,
    )
    retention = Table(
        "retention",
        metadata,
        Column("history_days", Integer, server_default=text("7")),
        Column("dead_letter_days", Integer),
        Column("applied_at", _MOMENT),
        schema=schema,
    )
    schedules = Table("schedules", metadata, *_schedule_columns(), schema=schema)
    schedule_owners = Table(
        "schedule_owners",
        metadata,
        Column("id", UUID, primary_key=True),
        Column("role", Text, nullable=False),
        Column("names", ARRAY(Text), nullable=False),
        Column("started_at", _MOMENT, nullable=False, server_default=text("clock_timestamp()")),
        Column("seen_at", _MOMENT, nullable=False, server_default=text("clock_timestamp()")),
        Column("ended_at", _MOMENT),
        schema=schema,
    )
    limits = Table(
        "limits",
        metadata,
        Column("name", _KEY, primary_key=True),
        Column("concurrency", Integer),
        *_rate_columns(),
        Column("set_by", Text, nullable=False, server_default=text("'operator'")),
        Column("updated_at", _MOMENT, nullable=False, server_default=text("now()")),
        Column("declared", JSONB),
        schema=schema,
    )
    tenants = Table(
        "tenants",
        metadata,
        Column("name", _KEY, primary_key=True),
        Column("weight", Double, nullable=False),
        Column("updated_at", _MOMENT, nullable=False, server_default=text("now()")),
        schema=schema,
    )
    buckets = Table(
        "buckets",
        metadata,
        Column("kind", Text, primary_key=True),
        Column("name", _KEY, primary_key=True),
        Column("tokens", Double, nullable=False),
        Column("at", _MOMENT, nullable=False),
        schema=schema,
    )
    dependencies = Table(
        "dependencies",
        metadata,
        Column("needs_id", BigInteger, primary_key=True, autoincrement=False),
        Column("job_id", BigInteger, primary_key=True),
        Column("on_failure", Text, nullable=False, server_default=text("'wait'")),
        Column("settled", Boolean, nullable=False, server_default=text("false")),
        schema=schema,
    )
    unique_keys = Table(
        "unique_keys",
        metadata,
        Column("key", Text, primary_key=True),
        Column("job_id", BigInteger),
        Column("until_started", Boolean, nullable=False, server_default=text("false")),
        Column("held_until", _MOMENT),
        schema=schema,
    )
    breakers = Table("breakers", metadata, *_breaker_columns(), schema=schema)
    paused_tasks = Table(
        "paused_tasks",
        metadata,
        Column("task", Text, primary_key=True),
        Column("patterns", ARRAY(Text), nullable=False),
        Column("paused_at", _MOMENT, nullable=False, server_default=text("now()")),
        schema=schema,
    )
    switch = Table(
        "switch",
        metadata,
        Column("one", Boolean, primary_key=True, server_default=text("true")),
        Column("paused", Boolean, nullable=False, server_default=text("false")),
        Column("paused_at", _MOMENT),
        schema=schema,
    )
    return Tables(
        jobs,
        dead_jobs,
        workers,
        queues,
        retention,
        schedules,
        schedule_owners,
        limits,
        tenants,
        buckets,
        dependencies,
        unique_keys,
        breakers,
        paused_tasks,
        switch,
    )


def _breaker_columns() -> list[Column[Any]]:
    return [
        Column("name", _KEY, primary_key=True),
        Column("state", Text, nullable=False, server_default=text("'closed'")),
        Column("until", _MOMENT),
        Column("probes", Integer, nullable=False, server_default=text("3")),
        Column("forced", Boolean, nullable=False, server_default=text("false")),
        Column("failures", Double, nullable=False, server_default=text("0.5")),
        Column("period", Interval, nullable=False, server_default=text("'30 s'")),
        Column("min_calls", Integer, nullable=False, server_default=text("20")),
        Column("cooldown", Interval, nullable=False, server_default=text("'60 s'")),
        Column("passed", Integer, nullable=False, server_default=text("0")),
        Column("calls", JSONB, nullable=False, server_default=text("'[]'")),
        Column("streak", Integer, nullable=False, server_default=text("0")),
        Column("changed_at", _MOMENT),
        Column("changed_by", Text),
        Column("reason", Text),
        Column("created_at", _MOMENT, nullable=False, server_default=text("now()")),
    ]


def _schedule_columns() -> list[Column[Any]]:
    return [
        Column("name", Text, primary_key=True),
        Column("app", Text),
        Column("cron", Text, nullable=False),
        Column("tz", Text, nullable=False, server_default=text("'UTC'")),
        Column("missed", Text, nullable=False, server_default=text("'once'")),
        Column("overlap", Text, nullable=False, server_default=text("'allow'")),
        Column("paused_at", _MOMENT),
        Column("retired_at", _MOMENT),
        Column("next_at", _MOMENT),
        Column("last_at", _MOMENT),
        Column("last_job_id", BigInteger),
        Column("error", Text),
        Column("created_at", _MOMENT, nullable=False, server_default=text("now()")),
        Column("updated_at", _MOMENT, nullable=False, server_default=text("now()")),
        Column("digest", LargeBinary),
        Column("queue", Text, nullable=False, server_default=text("'default'")),
        Column("priority", SmallInteger, nullable=False, server_default=text("5")),
        Column("max_attempts", Integer, nullable=False, server_default=text("5")),
        Column("timeout", REAL),
        Column("executor", Text),
        Column("task", Text, nullable=False),
        Column("summary", Text),
        Column("options", JSONB, nullable=False, server_default=text("'{}'")),
        Column("signature", LargeBinary),
        Column("payload", LargeBinary, nullable=False),
    ]


def _job_columns(defaults_in: str | None) -> list[Column[Any]]:
    """Describe a job's columns: with the defaults of `jobs` in that schema, or without any, as in `dead_jobs`."""

    def default(sql: str) -> Any:
        return None if defaults_in is None else text(sql)

    sequence = f"nextval('{defaults_in}.jobs_id_seq')"
    return [
        # Unique among the live jobs and in dead_jobs; in the history an index.
        Column("id", BigInteger, primary_key=True, autoincrement=False, server_default=default(sequence)),
        Column("run_at", _MOMENT, nullable=False, server_default=default("statement_timestamp()")),
        Column("enqueued_at", _MOMENT, nullable=False, server_default=default("statement_timestamp()")),
        Column("started_at", _MOMENT),
        Column("finished_at", _MOMENT),
        Column("worker_id", BigInteger),
        Column("claims", Integer, nullable=False, server_default=default("0")),
        Column("attempt", Integer, nullable=False, server_default=default("0")),
        Column("max_attempts", Integer, nullable=False, server_default=default("5")),
        Column("prior_attempts", Integer),
        Column("timeout", REAL),
        Column("priority", SmallInteger, nullable=False, server_default=default("5")),
        Column("isolate", Boolean),
        Column("status", Text, nullable=False, server_default=default("'queued'")),
        Column("queue", Text, nullable=False, server_default=default("'default'")),
        Column("task", Text, nullable=False),
        Column("executor", Text),
        Column("summary", Text),
        Column("error", Text),
        Column("error_kind", Text),
        Column("signature", LargeBinary),
        Column("payload", LargeBinary, nullable=False),
        Column("errors", JSONB),
        Column("meta", JSONB),
    ]


def _flow_columns() -> list[Column[Any]]:
    """Describe what holds a job up; NULL for most."""
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
        Column("slot", _KEY),
        Column("cancel_reason", Text),
        Column("cancel_force", Boolean),
    ]


def _rate_columns() -> list[Column[Any]]:
    return [Column("rate", Double), Column("period", Interval), Column("burst", Double)]


metadata = MetaData()
_tables = make_tables(settings().schema, metadata)
jobs, dead_jobs, workers, queues, retention = _tables[:5]
