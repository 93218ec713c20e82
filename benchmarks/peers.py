"""The other queues, each at its default and at the best settings that its documentation or its authors' figures name.

Where these leave a choice, the fastest of a few was taken; the comment says from where a setting is, and what was
tried. Versions are those that were seen working. Their drivers sit in `drivers/`, and say how a peer is used.
"""

from __future__ import annotations

from benchmarks.contender import Configuration, Contender

PSYCOPG = "psycopg[binary]==3.3.9"
UVLOOP = "uvloop==0.23.0"
REDIS = "redis[hiredis]==8.1.0"  # with the parser in C, as the client's documentation wants it for speed

PEERS: tuple[Contender, ...] = (
    Contender(
        name="pgqueuer",
        title="PgQueuer",
        default=Configuration("default", "batches of 10"),
        # Its guide to performance: larger batches for short jobs, asyncpg, one connection for a worker. Tried: batches
        # of 100 to 2,000, and several consumers in the process, as in its own benchmark, which were slower. (Its less
        # durable tables are left out: the others write to disk what they acknowledge.)
        best=Configuration("500", "batches of 500"),
        jobs=50_000,
        pending="SELECT count(*) FROM pgqueuer",
        packages=("pgqueuer==1.6.0", "asyncpg==0.32.0", UVLOOP, PSYCOPG),
        remark="Deletes a finished job and keeps lines about it in a log, without its payload. Autovacuum is set as "
        "its checklist wants it. `async def` jobs.",
    ),
    Contender(
        name="graphile",
        title="graphile-worker",
        default=Configuration("default", "one job at a time"),
        # What its page on performance gives beside its own figures. Its other setting for the local queue, a delay
        # before fetching again, spares the database and made no difference to a drain.
        best=Configuration("batches", "24 at a time, local queue of 500, completions in batches without delay"),
        jobs=100_000,
        pending="SELECT count(*) FROM graphile_worker._private_jobs",
        keeps=False,
        node=True,
        remark="Node.js. Deletes a finished job. Its log, a line for each job, is off. `async` jobs.",
    ),
    Contender(
        name="awa",
        title="awa",
        default=Configuration("default", "10 workers"),
        # Its notes on benchmarking: more workers bring more parallel completions, and claims of 512 keep them busy.
        # Tried: 64 and 512 workers, and no deadline for jobs. (Partitioning its queue would give up the order of jobs.)
        best=Configuration("1024", "1,024 workers, claims of 512"),
        jobs=30_000,
        # It keeps finished jobs in batches, drops them with the segment that they are in, and counts those. What was
        # enqueued is the number that its sequence stands at.
        pending="""
            SELECT (SELECT coalesce(sum(last_value), 0) FROM pg_sequences
                    WHERE schemaname = 'awa' AND starts_with(sequencename, 'queue_enqueue_seq_'))
                 - (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)
                 - (SELECT coalesce(sum(pruned_completed_count + pruned_failed_count), 0)
                    FROM awa.queue_terminal_rollups)
        """,
        keeps=False,
        packages=("awa-pg==0.6.9", PSYCOPG),
        remark="A runtime in Rust for jobs in Python. Finished jobs are dropped after some seconds, with the segment "
        "that they are in. `async def` jobs.",
    ),
    Contender(
        name="oban",
        title="oban-py",
        default=Configuration("default", "limit 10"),
        # The limit is its one setting for throughput: its guide to production says that it needs no connection for
        # each job. Tried: 100 to 2,000, and other pauses between two fetches than its 5 ms.
        best=Configuration("500", "limit 500"),
        jobs=20_000,
        pending="SELECT count(*) FROM oban_jobs WHERE state IN ('available', 'scheduled', 'executing', 'retryable')",
        packages=("oban==0.7.0", UVLOOP, PSYCOPG),
        python="python3.12",
        remark="`async def` jobs.",
    ),
    Contender(
        name="procrastinate",
        title="procrastinate",
        default=Configuration("default", "one job at a time"),
        # Its page on concurrency has 30. Tried: 10, and deleting finished jobs, which was no faster.
        best=Configuration("30", "30 at a time"),
        jobs=5_000,
        pending="SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
        packages=("procrastinate==3.10.0", UVLOOP, "psycopg[binary,pool]==3.3.9"),
        remark="`async def` jobs.",
    ),
    Contender(
        name="chancy",
        title="chancy",
        default=Configuration("default", "plain jobs in child processes, as many as cores, polls every 5 s"),
        # Its documentation names the executor for coroutines for jobs that do not compute, and eager polling for queues
        # that are never empty. Tried: 100, 500 and 1,000 at a time.
        best=Configuration("async-500", "`async def` jobs, 500 at a time, eager polling"),
        jobs=20_000,
        pending="SELECT count(*) FROM chancy_jobs WHERE state IN ('pending', 'running', 'retrying')",
        packages=("chancy==0.26.0", "psycopg[binary,pool]==3.3.9"),
        remark="At its default a worker with a backlog takes as many jobs as there are cores, every 5 s: it does not "
        "drain the queue in the time that a measure has. Acknowledges once a second. Its log, a line for each job, is "
        "off.",
    ),
    Contender(
        name="celery",
        title="Celery (Redis)",
        default=Configuration("default", "child processes, prefetch 4"),
        # Its guide to optimizing: for short jobs a prefetch of 64 or 128; what is not needed is switched off. Tried:
        # threads, which are slower, and no pool ("solo"), which is as fast, but cannot use a second core.
        best=Configuration("prefork", "child processes, prefetch 128, no gossip, mingle, heartbeat"),
        jobs=5_000,
        keeps=False,
        packages=("celery[redis]==5.7.0", REDIS),
        redis=True,
        processes=True,
        remark="Results are ignored. One process means one child and the parent that feeds it. Acknowledges before a "
        "job runs. Has no call for many jobs at once.",
    ),
    Contender(
        name="rq",
        title="RQ (Redis)",
        default=Configuration("default", "a fork for each job"),
        # Its page on benchmarks compares these two.
        best=Configuration("simple", "SimpleWorker: jobs in the worker's process"),
        jobs=1_000,
        packages=("rq==3.0.0", REDIS),
        redis=True,
        remark="Keeps a finished job for 500 s.",
    ),
    Contender(
        name="dramatiq",
        title="dramatiq (Redis)",
        default=Configuration("default", "8 threads, prefetch 16"),
        # Its command's own settings: threads and prefetch. Tried: 1 to 64 threads, prefetch of twice that and of 100.
        best=Configuration("prefetch", "16 threads, prefetch 100"),
        jobs=10_000,
        keeps=False,
        packages=("dramatiq==2.2.1", REDIS),
        redis=True,
        processes=True,
        remark="Has no call for many jobs at once.",
    ),
    Contender(
        name="taskiq",
        title="taskiq (Redis)",
        default=Configuration("default", "streams, 100 at a time"),
        # Its command's own settings, which its guide names for high rates. Tried: 10, 100 and 1,000 at a time. (Its
        # broker on lists has no acknowledgements: a job is lost with its worker.)
        best=Configuration("500", "streams, 500 at a time, prefetch 500"),
        jobs=10_000,
        keeps=False,
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", REDIS, UVLOOP),
        redis=True,
        processes=True,
        remark="Has no call for many jobs at once; they are sent concurrently. `async def` jobs.",
    ),
)
