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
    Contender(
        name="awa",
        title="awa",
        default=Configuration("default", "10 workers"),
        best=Configuration("1024", "1,024 workers, claims of 512"),
        jobs=20_000,
        pending="""SELECT (SELECT coalesce(sum(last_value), 0) FROM pg_sequences
    WHERE schemaname = 'awa' AND starts_with(sequencename, 'queue_enqueue_seq_'))
- (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)
- (SELECT coalesce(sum(pruned_completed_count + pruned_failed_count), 0) FROM awa.queue_terminal_rollups)""",
        packages=("awa-pg==0.6.9", "psycopg[binary]==3.3.9"),
    ),
    Contender(
        name="oban",
        title="oban-py",
        default=Configuration("default", "limit 10"),
        best=Configuration("500", "limit 500"),
        jobs=20_000,
        pending="SELECT count(*) FROM oban_jobs WHERE state IN ('available', 'executing', 'scheduled', 'retryable')",
        packages=("oban==0.7.0", "psycopg[binary]==3.3.9", "uvloop==0.23.0"),
        python="python3.12",
    ),
    Contender(
        name="procrastinate",
        title="procrastinate",
        default=Configuration("default", "concurrency 1"),
        best=Configuration("30", "concurrency 30"),
        jobs=5_000,
        pending="SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
        packages=("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9", "uvloop==0.23.0"),
    ),
    Contender(
        name="chancy",
        title="chancy",
        default=Configuration("default", "child processes, as many as cores"),
        best=Configuration("async-500", "coroutines, 500 at a time, eager polling"),
        jobs=20_000,
        pending="SELECT count(*) FROM chancy_jobs WHERE state IN ('pending', 'running', 'retrying')",
        packages=("chancy==0.26.0", "psycopg[binary,pool]==3.3.9"),
    ),
    Contender(
        name="celery",
        title="Celery (Redis)",
        default=Configuration("default", "prefork, prefetch 4"),
        best=Configuration("prefork", "prefork, prefetch 128"),
        jobs=5_000,
        packages=("celery[redis]==5.7.0", "redis[hiredis]==8.1.0"),
        redis=True,
        processes=True,
    ),
    Contender(
        name="rq",
        title="RQ (Redis)",
        default=Configuration("default", "a process for each job"),
        best=Configuration("simple", "SimpleWorker"),
        jobs=5_000,
        packages=("rq==3.0.0", "redis[hiredis]==8.1.0"),
        redis=True,
    ),
    Contender(
        name="dramatiq",
        title="dramatiq (Redis)",
        default=Configuration("default", "8 threads"),
        best=Configuration("1", "1 thread"),
        jobs=5_000,
        packages=("dramatiq==2.2.1", "redis[hiredis]==8.1.0"),
        redis=True,
        processes=True,
    ),
    Contender(
        name="taskiq",
        title="taskiq (Redis)",
        default=Configuration("default", "streams"),
        best=Configuration("500", "streams, 500 at a time"),
        jobs=5_000,
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis[hiredis]==8.1.0", "uvloop==0.23.0"),
        redis=True,
        processes=True,
    ),
)
