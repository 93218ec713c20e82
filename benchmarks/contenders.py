"""Ours, and the SQL alone, as contenders like the others."""

from __future__ import annotations

from benchmarks.contender import Configuration, Contender

PGJOBS = Contender(
    name="pgjobs",
    title="pgjobs",
    default=Configuration("default", "`pgjobs work -q bench`: 10 slots, threads"),
    best=Configuration("best", "`pgjobs work -q bench:20`: 20 slots, threads"),
    jobs=100_000,
    pending="SELECT count(*) FROM pgjobs.jobs_live",
    processes=True,
)

# For the curves that compare how jobs run; the driver's own configurations, with the jobs that go with them.
ASYNC = Configuration("async", "`pgjobs work -q bench:100`: 100 slots, `async def` jobs")
PROCESS = Configuration("process", '`pgjobs work -q bench:10`: 10 slots, `executor="process"`')

# What is left when the jobs are loaded and called too, without slots, threads, contexts, or a note of what runs.
CALLED = Configuration("called", "claims of 1,000, whose jobs the claiming thread loads and calls one by one")

RAW_SQL = Contender(
    name="raw_sql",
    title="the SQL alone",
    default=Configuration("500", "claims of 500"),
    best=Configuration("1000", "claims of 1,000"),
    jobs=100_000,
    pending="SELECT count(*) FROM pgjobs.jobs_live",
    remark="The statements that claim and acknowledge, on two connections per process, and no job is run. Bulk is "
    "INSERT … FROM unnest, one per transaction a bare INSERT: the same rows, tables and indexes, without our trigger.",
)
