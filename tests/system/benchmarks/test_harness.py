"""The harness itself: it measures real workers, and nothing that a contender does keeps it waiting."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from benchmarks.contender import Configuration, Contender
from benchmarks.contenders import PGJOBS
from benchmarks.measures.drain import check, drain
from benchmarks.running import Failed, Stand, command_of
from benchmarks.server import look

from tests.support import postgres

SILENT = """
import sys, time
if sys.argv[1] == "reset":
    sys.exit("reset: /home/anna/peer.py: no such table")
if sys.argv[1] == "worker":
    time.sleep(60)
"""


@pytest.fixture
def ours(server: postgres.Server) -> Iterator[Stand]:
    stand = Stand(PGJOBS, PGJOBS.default, command_of(PGJOBS), look(server.url))
    stand.set_up()
    yield stand
    stand.tear_down()


@pytest.fixture
def silent(server: postgres.Server, tmp_path: Path) -> Stand:
    """A contender that does nothing of what it is told to."""
    driver = tmp_path / "driver.py"
    driver.write_text(SILENT)
    plain = Configuration("default", "")
    return Stand(Contender("silent", "", plain, plain, 10), plain, (sys.executable, str(driver)), look(server.url))


def test_a_drain_of_ours_counts_every_job_and_what_it_cost(ours: Stand) -> None:
    found = drain(ours, 500)

    assert (found["jobs"], found["ran"], found["distinct"], found["twice"]) == (500, 500, 500, 0)
    assert found["per_second"] > 100
    assert 200 < found["cost"]["wal_bytes"] < 20_000
    assert 1 <= found["cost"]["dead_rows"] < 10


def test_a_driver_that_fails_is_one_line_without_its_folder(silent: Stand) -> None:
    with pytest.raises(Failed, match=r"^reset: reset: peer.py: no such table$"):
        drain(silent, 10)


def test_workers_that_do_nothing_are_not_waited_for_and_are_gone(silent: Stand) -> None:
    began = time.monotonic()

    with pytest.raises(Failed, match=r"^0 of 10 jobs ran in 0.3 s$"), silent.workers(2) as workers:
        workers.wait_for(10, 0.3)

    assert time.monotonic() - began < 5
    assert not any(psutil.pid_exists(pid) for pid in workers.pids)


def test_a_job_that_did_not_run_fails_the_drain() -> None:
    with pytest.raises(Failed, match="1 of 3 jobs never ran"):
        check([(0, 1), (2, 1), (2, 2), (-1, 0)], 3)
