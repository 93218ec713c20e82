from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.rows import count, put_dead, put_job

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli

OLD = date(2020, 2, 28)


@pytest.fixture
def old_days(conn: Connection) -> None:
    """Two days of long ago."""
    for day in (OLD, OLD + timedelta(days=1)):
        conn.execute("SELECT pgjobs.create_history_partition(%s)", [day])


def test_days_are_listed_with_their_size_and_until_when_they_are_kept(
    cli: Cli, conn: Connection, old_days: None
) -> None:
    put_job(conn, status="completed", finished_at=datetime(2020, 2, 28, 12, tzinfo=UTC))
    conn.execute("ANALYZE pgjobs.jobs_history")
    assert cli("history", "keep", 9000).code == 0
    lines = cli("history", "list").out.splitlines()
    assert lines[0].split() == ["DAY", "JOBS", "SIZE", "KEPT", "UNTIL"]
    assert re.fullmatch(r"2020-02-28 +1 +\d+ kB  2044-10-20", lines[1])
    assert len(lines) == 1 + 2 + 4 + 1 + 1
    assert lines[-2].startswith("jobs_history_default")
    assert lines[-1] == "Finished jobs are kept for 9,000 days, dead letters forever, minutes for 7 days."


def test_days_in_json_come_with_the_settings(cli: Cli, conn: Connection, old_days: None) -> None:
    state = json.loads(cli("history", "list", "--json").out)
    assert (state["history_days"], state["dead_letter_days"], state["applied_at"]) == (7, None, None)
    first, last = state["days"][0], state["days"][-1]
    assert (first["name"], first["day"], first["until"]) == (
        "jobs_history_20200228",
        "2020-02-28",
        "2020-03-07T00:00:00+00:00",
    )
    assert first["bytes"] > 0
    assert first["jobs"] in (None, 0)  # PostgreSQL 14 and later do not know before they have counted
    assert (last["name"], last["day"], last["until"]) == ("jobs_history_default", None, None)


def test_who_would_lose_days_is_asked(cli: Cli, conn: Connection, old_days: None) -> None:
    result = cli("history", "keep", 30)
    assert result.code == 2
    assert (
        "Drop 2 days of history, from 2020-02-28 to 2020-02-29? There is no terminal to ask on: give --yes."
        in result.err
    )
    assert json.loads(cli("history", "list", "--json").out)["history_days"] == 7
    assert cli("history", "keep", 30, "--yes").out == "Finished jobs are kept for 30 days.\n"
    assert json.loads(cli("history", "list", "--json").out)["history_days"] == 30
    assert cli("history", "keep", "forever").out == "Finished jobs are kept forever.\n"
    assert cli("history", "list").out.splitlines()[0].split() == ["DAY", "JOBS", "SIZE"]


def test_a_change_is_applied_at_the_next_look_and_the_other_setting_stays(cli: Cli, conn: Connection) -> None:
    conn.execute("UPDATE pgjobs.retention SET applied_at = now()")
    assert cli("history", "keep", 3).code == 0
    conn.execute("UPDATE pgjobs.retention SET applied_at = coalesce(applied_at, '-infinity')")
    assert cli("dead", "keep", 90).out == "Dead letters are kept for 90 days.\n"
    rows = conn.execute("SELECT history_days, dead_letter_days, applied_at FROM pgjobs.retention").fetchall()
    assert rows == [(3, 90, None)]


def test_letters_that_would_go_are_counted_and_asked_about(cli: Cli, conn: Connection) -> None:
    put_dead(conn, finished_at=datetime.now(UTC) - timedelta(days=91))
    put_dead(conn)
    result = cli("dead", "keep", 90)
    assert result.code == 2
    assert "Remove 1 dead letter for good?" in result.err
    assert cli("dead", "keep", 92).code == 0
    assert cli("dead", "keep", 90, "--yes").code == 0
    assert cli("dead", "keep", "forever").out == "Dead letters are kept forever.\n"
    assert count(conn, "dead_jobs") == 2, "it is for workers to remove them"


def test_what_is_not_a_number_of_days_is_wrong_usage(cli: Cli) -> None:
    for days in ("0", "36501", "7.5", "a week", "\u0664", "9" * 50):
        for group in ("history", "dead"):
            result = cli(group, "keep", days)
            assert result.code == 2
            assert "number of days to keep" in result.err


def test_where_the_row_of_the_setting_was_deleted_all_is_kept_until_it_is_set_again(cli: Cli, conn: Connection) -> None:
    conn.execute("DELETE FROM pgjobs.retention")
    assert cli("history", "list").out.endswith(
        "Finished jobs are kept forever, dead letters forever, minutes for 7 days.\n"
    )
    assert cli("dead", "keep", 90).code == 0
    assert conn.execute("SELECT history_days, dead_letter_days FROM pgjobs.retention").fetchall() == [(None, 90)]
    assert cli("history", "keep", 5).code == 0
    assert conn.execute("SELECT history_days, dead_letter_days FROM pgjobs.retention").fetchall() == [(5, 90)]


def test_minutes_are_kept_for_a_number_of_days_and_not_forever(cli: Cli) -> None:
    assert cli("history", "minutes", 30).out == "Minutes are kept for 30 days.\n"
    assert cli("history", "list").out.endswith("minutes for 30 days.\n")
    refused = cli("history", "minutes", "forever")
    assert (refused.code, "not kept forever" in refused.err) == (2, True)
