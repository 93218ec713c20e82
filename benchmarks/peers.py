"""The other queues. Each at its default, and at the settings that its documentation or its authors call fastest."""

from __future__ import annotations

from benchmarks.contender import Configuration, Contender

PEERS: tuple[Contender, ...] = (
    Contender(
        name="pgqueuer",
        title="PgQueuer",
        default=Configuration("default", "batches of 10, one consumer"),
        # Its guide to performance says larger batches for short jobs, and one connection for a worker.
        best=Configuration("500", "batches of 500, one consumer"),
        jobs=50_000,
        pending="SELECT count(*) FROM pgqueuer",
        packages=("pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0", "psycopg[binary]==3.3.9"),
        remark="A finished job leaves the queue for a log table; its recommended autovacuum settings are applied.",
    ),
    Contender(
        name="graphile",
        title="graphile-worker",
        default=Configuration("default", "one job at a time"),
        # The configuration that its page on performance gives for its own figures.
        best=Configuration("batches", "24 at a time, local queue of 500, completions in batches, delay 0"),
        jobs=100_000,
        pending="SELECT count(*) FROM graphile_worker._private_jobs",
        keeps=False,
        node=True,
        remark="Node.js. Deletes a job when it is finished.",
    ),
)
