"""Flow control: jobs that wait in a partition of their own, limits, sequences, breakers, and who waits for whom.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# NULL for every job that uses none of it, and a NULL takes no room. Keys are compared byte by byte, as Python does it.
_COLUMNS = {
    "expires_at": "timestamptz",  # not worth running after it
    "lane": 'text COLLATE "C"',  # tenant, limit_key, sequence and breaker; NULL: it is never held up
    "limit_key": 'text COLLATE "C"',  # a name in `limits`, or one that is matched by a pattern there
    "cost": "real",  # tokens that it takes from the limit's rate; NULL: 1
    "sequence": 'text COLLATE "C"',  # its jobs run one after another
    "on_failure": "text",  # what a dead letter does to its sequence: block, skip or end
    "breaker": 'text COLLATE "C"',  # a name in `breakers`
    "held": "text",  # why a waiting job is not even looked at; see jobs_waiting_held_check
    "needs": "integer",  # of a waiting job: so many others have to end before
    "dependents": "boolean",  # others wait for this one
    "slot": 'text COLLATE "C"',  # of a running job: the queue whose limit counts it
}
_ADD = ", ".join(f"ADD COLUMN {name} {type_}" for name, type_ in _COLUMNS.items())
_DROP = ", ".join(f"DROP COLUMN {name}" for name in _COLUMNS)

_RING = """
    CREATE OR REPLACE FUNCTION pgjobs.is_to_ring(queue text, run_at timestamptz, status text) RETURNS boolean
    LANGUAGE plpgsql AS $$
    BEGIN
        IF pg_catalog.current_setting('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', true)
                   OPERATOR(pg_catalog.=) queue
                OR status OPERATOR(pg_catalog.{silent}
                OR run_at OPERATOR(pg_catalog.>)
                   (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '2 s') THEN
            RETURN false;
        END IF;
        PERFORM pg_catalog.set_config('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', queue, true);
        RETURN EXISTS (SELECT FROM pgjobs.queues AS q
                       WHERE q.name OPERATOR(pg_catalog.=) is_to_ring.queue
                         AND q.doorbell_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp());
    END $$
    """

UPGRADE = [
    f"ALTER TABLE pgjobs.jobs {_ADD}",
    f"ALTER TABLE pgjobs.dead_jobs {_ADD}",
    # What waits gets a partition of its own, with indexes of its own: claims of plain jobs never meet it, and no index
    # of the live partition has the status in it (claims would then make new entries in all of them).
    "ALTER TABLE pgjobs.jobs DETACH PARTITION pgjobs.jobs_live",
    """
    CREATE TABLE pgjobs.jobs_waiting PARTITION OF pgjobs.jobs (
        CONSTRAINT jobs_waiting_lane_check CHECK (lane <> '' AND length(lane) <= 420),
        CONSTRAINT jobs_waiting_cost_check CHECK (cost > 0 AND cost <= 1000000),
        CONSTRAINT jobs_waiting_on_failure_check CHECK (on_failure IN ('block', 'skip', 'end')),
        CONSTRAINT jobs_waiting_needs_check CHECK (needs >= 0),
        CONSTRAINT jobs_waiting_held_check CHECK (held IN ('later', 'needs', 'task'))
    ) FOR VALUES IN ('waiting')
        WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
              autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000)
    """,
    "ALTER TABLE pgjobs.jobs_waiting ADD CONSTRAINT jobs_waiting_pkey PRIMARY KEY (id)",
    # Nothing was ever made to wait but by hand, or left so by a downgrade, which forgets what it waited for.
    "UPDATE pgjobs.jobs_live SET status = 'queued' WHERE status = 'waiting'",
    "ALTER TABLE pgjobs.jobs ATTACH PARTITION pgjobs.jobs_live FOR VALUES IN ('queued', 'running')",
    # Turns are taken lane by lane, so what is looked up is the next lane, and the first due job of a lane.
    """
    CREATE INDEX jobs_waiting_turns ON pgjobs.jobs_waiting (queue, priority, lane, run_at, id)
        WHERE held IS NULL AND lane IS NOT NULL
    """,
    "CREATE INDEX jobs_waiting_later ON pgjobs.jobs_waiting (queue, run_at) WHERE held = 'later'",
    "CREATE INDEX jobs_waiting_sequence ON pgjobs.jobs_waiting (sequence, id) WHERE sequence IS NOT NULL",
    "CREATE INDEX jobs_waiting_expires ON pgjobs.jobs_waiting (queue, expires_at) WHERE expires_at IS NOT NULL",
    "CREATE INDEX jobs_waiting_task ON pgjobs.jobs_waiting (task) WHERE held = 'task'",
    # Who holds a slot: counted from the rows that run, so that nothing can leak. A plain job is in none of these.
    "CREATE INDEX jobs_live_limit ON pgjobs.jobs_live (limit_key) WHERE limit_key IS NOT NULL",
    "CREATE INDEX jobs_live_sequence ON pgjobs.jobs_live (sequence) WHERE sequence IS NOT NULL",
    "CREATE INDEX jobs_live_slot ON pgjobs.jobs_live (slot) WHERE slot IS NOT NULL",
    "CREATE INDEX jobs_live_breaker ON pgjobs.jobs_live (breaker) WHERE breaker IS NOT NULL",
    "CREATE INDEX dead_jobs_sequence ON pgjobs.dead_jobs (sequence) WHERE sequence IS NOT NULL",
    """
    CREATE TABLE pgjobs.limits (
        name        text COLLATE "C" PRIMARY KEY CHECK (name <> '' AND length(name) <= 100),
        concurrency integer CHECK (concurrency >= 0),
        rate        double precision CHECK (rate > 0 AND rate < 'infinity'),
        period      interval CHECK (period > interval '0'),
        burst       double precision CHECK (burst > 0 AND burst < 'infinity'),
        set_by      text        NOT NULL DEFAULT 'operator' CHECK (set_by IN ('code', 'operator')),
        updated_at  timestamptz NOT NULL DEFAULT now(),
        CHECK ((rate IS NULL) = (period IS NULL))
    )
    """,
    # How many turns a tenant of `fair_by` gets for one of the others.
    """
    CREATE TABLE pgjobs.tenants (
        name       text COLLATE "C" PRIMARY KEY CHECK (length(name) <= 100),
        weight     double precision NOT NULL CHECK (weight > 0 AND weight <= 1000),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # What is left of a rate, as of `at`. No row: all of it. `kind`: limit (the name is a limit key) or queue.
    """
    CREATE TABLE pgjobs.buckets (
        kind   text CHECK (kind IN ('limit', 'queue')),
        name   text COLLATE "C",
        tokens double precision NOT NULL,
        at     timestamptz      NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITH (fillfactor = 50)
    """,
    """
    ALTER TABLE pgjobs.queues
        ADD COLUMN concurrency integer CHECK (concurrency >= 0),
        ADD COLUMN rate double precision CHECK (rate > 0 AND rate < 'infinity'),
        ADD COLUMN period interval CHECK (period > interval '0'),
        ADD COLUMN burst double precision CHECK (burst > 0 AND burst < 'infinity'),
        ADD COLUMN aging interval CHECK (aging > interval '0')
    """,
    """
    CREATE TABLE pgjobs.breakers (
        name   text COLLATE "C" PRIMARY KEY CHECK (name <> '' AND length(name) <= 100),
        state  text NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open', 'half_open')),
        until  timestamptz,
        probes integer NOT NULL DEFAULT 3 CHECK (probes > 0)
    ) WITH (fillfactor = 50)
    """,
    # Who waits for whom. `job_id` waits until `needs_id` has ended. `settled`: the row of `needs_id` knows of it.
    """
    CREATE TABLE pgjobs.dependencies (
        needs_id   bigint  NOT NULL,
        job_id     bigint  NOT NULL,
        on_failure text    NOT NULL DEFAULT 'wait' CHECK (on_failure IN ('wait', 'run', 'cancel')),
        settled    boolean NOT NULL DEFAULT false,
        PRIMARY KEY (needs_id, job_id)
    )
    """,
    "CREATE INDEX dependencies_job ON pgjobs.dependencies (job_id)",
    "CREATE INDEX dependencies_unsettled ON pgjobs.dependencies (needs_id) WHERE NOT settled",
    _RING.format(silent="=) 'running'"),
    """
    CREATE CONSTRAINT TRIGGER jobs_ring_doorbell AFTER INSERT ON pgjobs.jobs_waiting
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.held IS NULL AND to_timestamp(pg_sequence_last_value('pgjobs.doorbell')::float8) > clock_timestamp()
              AND pgjobs.is_to_ring(NEW.queue, NEW.run_at, NEW.status))
        EXECUTE FUNCTION pgjobs.ring_doorbell()
    """,
]

DOWNGRADE = [
    "DROP TABLE pgjobs.breakers, pgjobs.dependencies, pgjobs.buckets, pgjobs.tenants, pgjobs.limits",
    "ALTER TABLE pgjobs.queues DROP COLUMN concurrency, DROP COLUMN rate, DROP COLUMN period, DROP COLUMN burst, "
    "DROP COLUMN aging",
    "DROP TRIGGER jobs_ring_doorbell ON pgjobs.jobs_waiting",
    _RING.format(silent="<>) 'queued'"),
    "DROP INDEX pgjobs.jobs_live_limit, pgjobs.jobs_live_sequence, pgjobs.jobs_live_slot, pgjobs.jobs_live_breaker, "
    "pgjobs.dead_jobs_sequence",
    "ALTER TABLE pgjobs.jobs DETACH PARTITION pgjobs.jobs_live",
    "ALTER TABLE pgjobs.jobs DETACH PARTITION pgjobs.jobs_waiting",
    # The version before knows no other way than to run what waited for its turn. What waits for others waits on.
    "UPDATE pgjobs.jobs_waiting SET status = 'queued' WHERE coalesce(held, '') <> 'needs'",
    "INSERT INTO pgjobs.jobs_live SELECT * FROM pgjobs.jobs_waiting",
    "DROP TABLE pgjobs.jobs_waiting",
    "ALTER TABLE pgjobs.jobs ATTACH PARTITION pgjobs.jobs_live FOR VALUES IN ('waiting', 'queued', 'running')",
    f"ALTER TABLE pgjobs.jobs {_DROP}",
    f"ALTER TABLE pgjobs.dead_jobs {_DROP}",
]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Change the tables; every job in them stays."""
    _run(UPGRADE)


def downgrade() -> None:
    """Change them back: what waits for its turn is queued then."""
    _run(DOWNGRADE)
