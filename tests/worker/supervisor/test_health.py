"""The answers of both probes: decided, and of a supervisor that runs."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.cli.health import ask
from pgjobs.cli.main import main
from pgjobs.worker.supervisor.health import SupervisorState, live, ready
from tests.support import tasks
from tests.support.processes import wait_until
from tests.support.worker import QUICK, wait_done, wait_for, work

if TYPE_CHECKING:
    from pathlib import Path

WELL: dict[str, Any] = {"registered": 1, "claiming": 1}


def failed(answer: dict[str, Any]) -> set[str]:
    return {check["name"] for check in answer["checks"] if not check["ok"]}


@pytest.mark.parametrize(
    ("state", "lives", "names"),
    [
        (WELL, True, set()),
        ({**WELL, "draining": True}, True, {"draining"}),
        ({**WELL, "misfit": "The tables are newer."}, True, set()),
        ({**WELL, "outage": "connection refused", "claiming": 0, "trouble": "refused"}, True, {"PostgreSQL", "claims"}),
        ({"last_death": "exit code 1"}, True, {"processes", "claims"}),
        ({**WELL, "wanted": 4, "trouble": "lost"}, True, set()),
        ({**WELL, "idle_for": 100.0}, False, {"main loop"}),
        ({**WELL, "dead_threads": ("pgjobs-heartbeat",)}, False, {"threads"}),
    ],
)
def test_probes_name_what_fails(state: dict[str, Any], lives: bool, names: set[str]) -> None:
    found = SupervisorState(**state)
    assert live(found).ok == lives
    assert ready(found).ok == (not names)
    assert failed(ready(found).as_json()) == names


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def sum_of(text: str, metric: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(metric))


def metrics_of(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_supervisor_answers_while_it_works_is_cut_off_and_drains(
    database_url: str, conn: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    options = ("--health-port", port, "--metrics-port", port, "--listen", "127.0.0.1", *QUICK)
    with work(database_url, *options) as running:
        wait_until(lambda: ask("127.0.0.1", port, "ready")["ok"], 30)
        assert main(["health", "--ready", "--port", str(port), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["probe"] == "ready"

        enqueue_many(conn, tasks.nothing, [(n,) for n in range(50)])
        wait_done(conn, log=lambda: running.output)
        wait_until(lambda: sum_of(metrics_of(port), "pgjobs_jobs_finished_total{") == 50)
        (member,) = running.members()
        os.kill(member, signal.SIGKILL)
        wait_until(lambda: running.members() not in ([], [member]) and ask("127.0.0.1", port, "ready")["ok"], 30)
        enqueue(conn, tasks.nothing)
        wait_done(conn, log=lambda: running.output)
        wait_until(lambda: sum_of(metrics_of(port), "pgjobs_jobs_finished_total{") == 51)
        assert sum_of(metrics_of(port), "pgjobs_process_deaths_total") == 1

        name = conn.info.dbname
        with psycopg.connect(conn.info.dsn, password=conn.info.password, dbname="postgres", autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
            try:
                conn.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                    "datname = current_database() AND pid <> pg_backend_pid()"
                )
                wait_until(lambda: "PostgreSQL" in failed(ask("127.0.0.1", port, "ready")), 30)
                assert ask("127.0.0.1", port, "live")["ok"]
                assert "\npgjobs_up 0.0\n" in metrics_of(port)
            finally:
                admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
        wait_until(lambda: ask("127.0.0.1", port, "ready")["ok"], 30)

        enqueue(conn, tasks.nap, 60)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'running')", log=lambda: running.output)
        conn.execute("UPDATE pgjobs.migrations SET version_num = '9999'")
        wait_until(lambda: failed(ask("127.0.0.1", port, "ready")) >= {"draining"}, 30)
        answer = ask("127.0.0.1", port, "ready")
        assert "9999" in next(check["detail"] for check in answer["checks"] if check["name"] == "tables")
        assert ask("127.0.0.1", port, "live")["ok"]  # as long as the job runs
        assert main(["health", "--ready", "--port", str(port)]) == 1
        assert "failed  draining: it claims no more" in capsys.readouterr().out


def test_supervisor_whose_processes_die_at_their_start_lives_and_is_not_ready(
    database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "dies.py").write_text("import os\nos._exit(3)\n")
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    with work(database_url, "--health-port", port, "--import", "dies", ready=False, env=env) as running:
        wait_until(
            lambda: "exit code 3" in str(ask("127.0.0.1", port, "ready")) or running.process.poll() is not None, 60
        )
        answer = ask("127.0.0.1", port, "ready")
        assert failed(answer) == {"processes", "claims"}, running.output
        assert ask("127.0.0.1", port, "live")["ok"]


def test_command_asks_for_one_probe_and_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"]) == 2
    assert main(["health", "--live"]) == 2
    assert main(["health", "--live", "--port", str(free_port())]) == 1
    assert "does not answer" in capsys.readouterr().out
