"""Jobs whose time matters."""

from __future__ import annotations

import time

import psycopg

from pgjobs import Retry, current_job, job, settings
from pgjobs.core.interrupts import JobTimeout


@job(max_attempts=2)
def once_more_soon() -> None:
    if current_job().attempt == 1:
        raise Retry(0.3)


@job(executor="process", timeout=1.0, give_up_on=JobTimeout)
def not_worth_waiting_for() -> None:
    time.sleep(60)


@job
def uses_the_workers_database() -> None:
    with psycopg.connect(settings().database_url or "") as connection:
        connection.execute("SELECT FROM pgjobs.workers")


@job(executor="process")
def uses_the_workers_database_in_a_child() -> None:
    uses_the_workers_database()
