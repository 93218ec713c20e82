"""PostgreSQL that is stopped, crashes, is full, or does not let anybody in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from tests.support.refusals import writes_refused
from tests.system.chaos.cluster import wait_for_children
from tests.system.chaos.scenario import scenario

if TYPE_CHECKING:
    from tests.system.chaos.stage import Stage

FORGOTTEN = {
    "same_claim": "claims are committed asynchronously, and a crash forgets the last ones",
    "repeated": "as above: it had run under the claim that was forgotten",
    "overlaps": "as above",
}


@scenario("stop fast, and start again", "server", 15)
def stop_fast(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        with stage.outage():
            stage.cluster.stop("fast")
            time.sleep(stage.dice.uniform(0.2, 4.0))
            stage.cluster.start()


@scenario("stop immediate, and start again", "server", 15, may=FORGOTTEN)
def stop_immediate(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        with stage.outage():
            stage.cluster.stop("immediate")
            time.sleep(stage.dice.uniform(0.2, 4.0))
            stage.cluster.start()


@scenario("kill -9 of the postmaster", "server", 15, may=FORGOTTEN, slice=True)
def kill_postmaster(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        with stage.outage():
            if stage.dice.random() < 0.5:
                stage.cluster.kill_all()
            else:
                stage.cluster.kill()
            wait_for_children(stage.cluster)
            time.sleep(stage.dice.uniform(0.0, 2.5))
            stage.cluster.start()


@scenario("pg_terminate_backend every 200 ms", "server", 12, slice=True)
def terminate(stage: Stage) -> None:
    with stage.cluster.connected() as conn:
        for _ in stage.until_over(0.2, 0.2):
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE 'pgjobs%' AND datname = current_database() ORDER BY random() LIMIT 2"
            )


@scenario(
    "connection limit reached", "server", 12, settings={"max_connections": 24, "superuser_reserved_connections": 3}
)
def no_connections(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        taken: list[psycopg.Connection] = []
        with stage.outage() as outage:
            with stage.cluster.connected() as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgjobs%'"
                )
                while True:
                    try:
                        taken.append(psycopg.connect(stage.cluster.url))
                    except psycopg.OperationalError:
                        break
            time.sleep(stage.dice.uniform(1.0, 4.0))
            for one in taken:
                one.close()
        stage.note(f"{len(taken)} connections taken for {outage.ended - outage.began:.1f} s")


@scenario("read-only mode", "server", 12)
def read_only(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        with stage.outage(), stage.cluster.connected() as conn, writes_refused(conn, "jobs_live"):
            time.sleep(stage.dice.uniform(1.0, 4.0))


@scenario("a lock held on jobs", "server", 12)
def locked(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        with stage.outage(), stage.cluster.connected() as conn, conn.transaction():
            mode = stage.dice.choice(["ACCESS EXCLUSIVE", "EXCLUSIVE", "SHARE"])
            conn.execute(f"LOCK TABLE pgjobs.jobs IN {mode} MODE")
            time.sleep(stage.dice.uniform(1.0, 4.0))


@scenario("a migration while workers run", "server", 12)
def migration(stage: Stage) -> None:
    for number in stage.until_over(0.5, 1.0):  # what one to come may do, under a lock on all jobs
        if number % 2:  # the statements that are prepared give another type
            there = "ALTER TABLE pgjobs.jobs ALTER COLUMN summary TYPE varchar"
            back = "ALTER TABLE pgjobs.jobs ALTER COLUMN summary TYPE text"
        else:  # all rows get a value
            there = "ALTER TABLE pgjobs.jobs ADD COLUMN probe int NOT NULL DEFAULT 1"
            back = "ALTER TABLE pgjobs.jobs DROP COLUMN probe"
        with stage.cluster.connected() as conn:
            conn.execute(there)
            time.sleep(stage.dice.uniform(0.0, 1.0))
            conn.execute(back)
