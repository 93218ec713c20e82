"""The pytest plugin, as a project has it: in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

SHOP = """
import os
from pgjobs import enqueue, job

@job(queue="mail")
def send(number: int) -> None:
    open(os.environ["SENT"], "a").write(f"{number}\\n")
"""
TESTS = """
import psycopg
import pytest
from pgjobs import enqueue
from shop import send

def test_runs(jobs, pgjobs_connection):
    enqueue(pgjobs_connection, send, 1)
    jobs.assert_enqueued(send, 1, queue="mail")
    jobs.drain().check()

def test_rolled_back(jobs):
    assert jobs.all() == []

@pytest.mark.pgjobs(leftovers="error")
def test_leaves(jobs, pgjobs_connection):
    enqueue(pgjobs_connection, send, 2)

def test_async_kind(pgjobs_database_url):
    import asyncio
    from pgjobs.testing import AsyncJobs

    async def main():
        async with await psycopg.AsyncConnection.connect(pgjobs_database_url) as conn:
            await enqueue(conn, send, 3)
            (await AsyncJobs(conn).drain()).check()
            await conn.rollback()

    asyncio.run(main())

@pytest.mark.pgjobs_worker
def test_real(jobs, pgjobs_connection, pgjobs_real_worker):
    enqueue(pgjobs_connection, send, 4)
    pgjobs_connection.commit()
    pgjobs_real_worker.drain("mail", imports=["shop"])
    assert [job.status for job in jobs.all()] == ["completed"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def run(project: Path, url: str, *options: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PGJOBS_", "PYTEST_"))}
    env = {**plain, "PGJOBS_TEST_DATABASE_URL": url, "SENT": str(project / "sent"), "PYTHONPATH": str(ROOT / "src")}
    (project / "tmp").mkdir()
    env["TMPDIR"] = str(project / "tmp")
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-q", *options]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=290, check=False)
    return done.stdout + done.stderr


@pytest.mark.in_turns(2)
@pytest.mark.timeout(300)
def test_the_fixtures_run_jobs_under_xdist_and_a_test_that_leaves_some_fails_if_asked(
    project: Path, empty_database_url: str
) -> None:
    output = run(project, empty_database_url, "-n", "2")
    assert "the test has left what has not ended" in output, output
    assert "5 passed, 1 error" in output, output
    assert sorted((project / "sent").read_text().split()) == ["1", "3", "4"]
    assert list((project / "tmp").glob("pgjobs-*")) == []


def test_the_plugin_imports_nothing_of_pgjobs_before_a_test_asks(project: Path) -> None:
    code = "import sys, pgjobs.testing.plugin; print(sorted(name for name in sys.modules if name.startswith('pgjobs')))"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    output = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert (
        output.strip() == "['pgjobs', 'pgjobs.core', 'pgjobs.core.version', 'pgjobs.testing', 'pgjobs.testing.plugin']"
    )
