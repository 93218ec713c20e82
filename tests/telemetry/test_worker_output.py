"""What jobs print is there, line by line, and what failed reaches an application's own log."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.jobs.outcome import Failed
from pgjobs.worker.acknowledge.outcome_log import report
from pgjobs.worker.runtime.job_output import LONGEST, JobOutput, unfinished
from tests.support import tasks_output as tasks
from tests.support.claimed import claimed_job
from tests.support.processes import environment
from tests.support.worker import wait_done, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Server

EXECUTORS = ("thread", "async", "process")


@pytest.fixture(scope="module")
def said(server: Server) -> Iterator[str]:
    """What a worker wrote before it was stopped: jobs that print, and one that ends its process."""
    url = server.create()
    with (
        psycopg.connect(url, autocommit=True) as conn,
        work(url, "-q", "default:1", env={"PYTHONUNBUFFERED": ""}) as running,
    ):
        enqueue(conn, tasks.say, "thread")
        enqueue(conn, tasks.say_async, "async")
        wait_done(conn, log=lambda: running.output)
        enqueue(conn, tasks.crash)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'failed')", log=lambda: running.output)
        enqueue(conn, tasks.say.options(executor="process"), "process")
        wait_done(conn, log=lambda: running.output)
        enqueue(conn, tasks.crash.options(executor="process"))
        wait_for(conn, "(SELECT count(*) = 2 FROM pgjobs.jobs WHERE status = 'failed')", log=lambda: running.output)
        yield running.output
    server.drop(url)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_all_that_a_completed_job_printed_is_there_when_a_later_one_ends_the_process(said: str, executor: str) -> None:
    for text in ("a line\n", "bytes\n", "two pieces\n", "no end|"):
        assert f"{executor}: {text}" in said


def test_a_job_that_ends_its_process_has_printed_its_lines(said: str) -> None:
    assert said.count("the last words\n") == 2, "of a worker, and of the process of a job"


def test_lines_of_jobs_that_run_at_once_are_not_mixed_where_python_is_unbuffered(database_url: str) -> None:
    with (
        psycopg.connect(database_url, autocommit=True) as conn,
        work(database_url, "-q", "default:4", env={"PYTHONUNBUFFERED": "1"}) as running,
    ):
        enqueue_many(conn, tasks.say_together, [(number,) for number in range(4)])
        wait_done(conn, log=lambda: running.output)
        lines = Counter(line for line in running.output.splitlines() if "job" in line and not line.startswith("{"))
    texts = ("job {} prints", "job {} walks ahead", "job {} complains")
    assert lines == {text.format(number): 100 for number in range(4) for text in texts}


def test_a_line_that_has_begun_waits_for_its_end_a_flush_or_too_much_text() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    stream = io.TextIOWrapper(io.FileIO(writer, "wb"), encoding="utf-8")
    output = JobOutput(stream)

    def read() -> bytes:
        try:
            return os.read(reader, 2 * LONGEST)
        except BlockingIOError:
            return b""

    output.write("begun")
    assert read() == b""
    output.flush()
    assert read() == b"begun"
    output.write("x" * LONGEST)
    assert read() == b""
    output.write("y")
    assert read() == b"x" * LONGEST + b"y"
    assert not unfinished
    stream.close()
    os.close(reader)


def test_code_that_has_a_standard_stream_already_writes_lines_too() -> None:
    code = """if True:
        import os, sys
        before = sys.stdout
        from pgjobs.worker.runtime.job_output import print_whole_lines
        print_whole_lines()
        before.write("as before\\n")
        print(sys.__stdout__ is sys.stdout)
        os._exit(0)  # as a crash does
    """
    buffered = {**environment(), "PYTHONUNBUFFERED": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=buffered, check=True)
    assert done.stdout.splitlines() == ["as before", "True"]


@pytest.fixture(scope="module")
def logged(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, int]]]:
    """The log file of an application that configured logging in a job, and its jobs that failed then."""
    url, path = server.create(), tmp_path_factory.mktemp("log") / "application.log"
    with psycopg.connect(url, autocommit=True) as conn, work(url) as running:
        enqueue(conn, tasks.configure.options(executor="thread"), str(path))
        wait_done(conn, log=lambda: running.output)
        failed = {
            "thread": enqueue(conn, tasks.fail, "in thread").id,
            "async": enqueue(conn, tasks.fail_async, "in async").id,
            "process": enqueue(conn, tasks.fail.options(executor="process"), "in process").id,
        }
        wait_done(conn, log=lambda: running.output)
        enqueue(conn, tasks.break_a_handler)
        wait_done(conn, log=lambda: running.output)
        failed["unheard"] = enqueue(conn, tasks.fail, "with a broken handler").id
        wait_done(conn, log=lambda: running.output)
        assert running.stop() == 0
        yield path.read_text(), failed
    server.drop(url)


def test_a_handler_of_all_loggers_that_raises_breaks_nothing_and_keeps_no_variables_of_the_job_alive() -> None:
    handler, job = tasks.BrokenHandler(), claimed_job()
    job.exception = ValueError("no")
    logging.getLogger("pgjobs").addHandler(handler)
    try:
        report(job, Failed("ValueError: no"))
    finally:
        logging.getLogger("pgjobs").removeHandler(handler)
    assert job.exception is None


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_application_that_disables_existing_loggers_gets_each_failure_with_its_traceback(
    logged: tuple[str, dict[str, int]], executor: str
) -> None:
    text, failed = logged
    line = f"ERROR:{failed[executor]}:failed in attempt 1 of 1, now a dead letter: ValueError: in {executor}\n"
    _, found, rest = text.partition(line)
    assert found, text
    trace = rest.partition("\nERROR:")[0]
    assert "in inner\n" in trace
    assert f"ValueError: in {executor}" in trace
    assert "/pgjobs/worker/" not in trace  # it begins with the job's own code


def test_a_handler_that_raises_is_named_and_does_not_end_the_worker(logged: tuple[str, dict[str, int]]) -> None:
    text, failed = logged
    assert (
        f"WARNING:{failed['unheard']}:a log handler raised RuntimeError; the line was: failed in attempt 1 of 1, now a "
        "dead letter: ValueError: with a broken handler\n"
    ) in text
