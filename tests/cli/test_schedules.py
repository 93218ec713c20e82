"""`pgjobs schedules`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.schedules.schedule import make
from pgjobs.schedules.sync import Declaration
from tests.schedules import tasks
from tests.support.worker import scalar

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli

REPORT = "tests.schedules.tasks:report"


def test_a_schedule_is_added_listed_paused_resumed_run_and_removed(cli: Cli, conn: Connection) -> None:
    added = cli("schedules", "add", "daily", "0 9 * * *", REPORT, "--args", '{"copy": true}', "--tz", "Europe/Berlin")
    assert (added.code, added.err) == (0, "")
    assert added.out.startswith("daily fires next at ")

    (listed,) = json.loads(cli("schedules", "list", "--json").out)
    assert (listed["name"], listed["cron"], listed["tz"], listed["state"]) == (
        "daily",
        "0 9 * * *",
        "Europe/Berlin",
        "active",
    )
    assert (listed["summary"], listed["queue"], listed["app"]) == ("report(copy=True)", "reports", None)
    assert json.loads(cli("schedules", "show", "daily", "--json").out) == listed
    assert "0 9 * * * (Europe/Berlin)" in cli("schedules", "show", "daily").out
    header, line = cli("schedules", "list").out.splitlines()
    assert header.split() == ["NAME", "WHEN", "ZONE", "STATE", "NEXT", "LAST", "OWNER", "JOB"]
    assert "operator" in line

    assert cli("schedules", "pause", "daily").out == "daily is paused.\n"
    assert cli("schedules", "pause", "daily").out == "daily was paused already.\n"
    assert cli("schedules", "resume", "daily").out.startswith("daily is resumed, next at ")
    assert cli("schedules", "resume", "daily").out == "daily was not paused.\n"
    job = scalar(conn, "SELECT coalesce(max(id), 0) + 1 FROM pgjobs.jobs")
    assert cli("schedules", "run", "daily").out == f"Job {job} is enqueued.\n"
    assert scalar(conn, "SELECT payload FROM pgjobs.jobs") == b'{"copy":true}'
    assert cli("schedules", "remove", "daily").out == "daily is removed.\n"
    assert cli("schedules", "list").err == "No schedules.\n"


def test_run_says_which_job_has_the_unique_key(cli: Cli, conn: Connection) -> None:
    admin.add_schedule(conn, "x", "0 9 * * *", tasks.sync.options(unique="u"), (7,))
    job = admin.run_schedule(conn, "x").id

    assert cli("schedules", "run", "x").out == f"Job {job} has the unique key already: no other job was enqueued.\n"


def test_json_is_added_without_an_import(cli: Cli, conn: Connection) -> None:
    done = cli("schedules", "add", "x", "0 9 * * *", "nowhere.at_all:f", "--no-import", "--args", "[1]", "-q", "mail")
    assert done.code == 0, done.err
    assert conn.execute("SELECT columns ->> 'task', columns ->> 'queue', payload FROM pgjobs.schedules").fetchone() == (
        "nowhere.at_all:f",
        "mail",
        b"[1]",
    )


def test_schedules_with_invalid_arguments_are_refused(cli: Cli, conn: Connection) -> None:
    for code, says, arguments in (
        (2, "five fields", ("add", "x", "0 9 * *", REPORT)),
        (2, "tz='Mars'", ("add", "x", "0 9 * * *", REPORT, "--tz", "Mars")),
        (2, "name=' '", ("add", " ", "0 9 * * *", REPORT)),
        (2, "is not JSON", ("add", "x", "0 9 * * *", REPORT, "--args", "{")),
        (2, "give a list", ("add", "x", "0 9 * * *", REPORT, "--args", "1")),
        (2, "too many positional", ("add", "x", "0 9 * * *", REPORT, "--args", "[1, 2]")),
        (2, "MODULE:FUNCTION", ("add", "x", "0 9 * * *", "report")),
        (2, "MODULE:FUNCTION", ("add", "x", "0 9 * * *", "report:", "--no-import")),
        (2, "use --no-import", ("add", "x", "0 9 * * *", "nowhere.at_all:f")),
        (2, "use --no-import", ("add", "x", "0 9 * * *", "tests.schedules.tasks:nothing")),
        (2, "not callable", ("add", "x", "0 9 * * *", "tests.schedules.tasks:CRON")),
        (2, "queue=' '", ("add", "x", "0 9 * * *", REPORT, "--queue", " ")),
        (1, "no schedule 'x'", ("show", "x")),
        (1, "no schedule 'x'", ("pause", "x")),
        (1, "no schedule 'x'", ("resume", "x")),
        (1, "no schedule 'x'", ("remove", "x")),
        (1, "no schedule 'x'", ("run", "x")),
    ):
        result = cli("schedules", *arguments)
        assert (result.code, result.out, len(result.err.splitlines())) == (code, "", 1), (arguments, result)
        assert says in result.err
    assert scalar(conn, "SELECT count(*) FROM pgjobs.schedules") == 0


def test_what_code_declares_can_be_paused_and_not_removed(cli: Cli, conn: Connection) -> None:
    declaration = Declaration("shop")
    declaration.send_heartbeat(conn, {"a": make("0 9 * * *", tasks.tidy, name="a", app="shop")})

    assert cli("schedules", "pause", "a").code == 0
    refused = cli("schedules", "remove", "a")
    assert refused.code == 2
    assert "in the code of shop" in refused.err
    declaration.send_heartbeat(conn, {})
    assert "retired" in cli("schedules", "list").out
    assert cli("schedules", "remove", "a").code == 0


def test_each_command_has_a_help_text(cli: Cli) -> None:
    for command in ("list", "show", "add", "pause", "resume", "remove", "run"):
        assert "Usage: pgjobs schedules" in cli("schedules", command, "--help").out
