from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.rows import put_job

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli


def test_a_limit_is_set_listed_and_removed(cli: Cli) -> None:
    result = cli("limits", "set", "tenant:*", "--concurrency", 2, "--rate", "100/min", "--burst", 20)
    assert (result.code, result.out) == (0, "tenant:* now has: 2 at once, 100/min with a burst of 20.\n")
    (shown,) = json.loads(cli("limits", "list", "--json").out)
    assert (shown["concurrency"], shown["rate"], shown["period_seconds"], shown["burst"]) == (2, 100, 60, 20)
    assert cli("limits", "set", "tenant:*", "--none").out == "tenant:* now has: no limit.\n"
    assert cli("limits", "remove", "tenant:*").out == "tenant:* is removed.\n"
    result = cli("limits", "remove", "tenant:*")
    assert (result.code, result.err) == (1, "pgjobs: There is no limit 'tenant:*': `pgjobs limits list` shows them.\n")
    assert cli("limits", "list").err == "No limit is set.\n"


def test_remove_of_limit_written_in_sql_removes_it(cli: Cli, conn: Connection) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('tenant:{tenant}', 1)")
    assert cli("limits", "remove", "tenant:{tenant}").out == "tenant:{tenant} is removed.\n"


def test_a_listing_shows_a_pattern_with_its_busy_keys_and_an_exact_one_in_a_line(cli: Cli, conn: Connection) -> None:
    cli("limits", "set", "tenant:*", "-c", 2)
    cli("limits", "set", "stripe", "--rate", "5/s")
    for status in ("running", "waiting", "waiting"):
        worker = 1 if status == "running" else None
        put_job(conn, status=status, worker_id=worker, limit_key="tenant:7", lane="\x1ftenant:7\x1f\x1f")
    lines = [line.split() for line in cli("limits", "list").out.splitlines()]
    assert lines == [
        ["LIMIT", "HAS", "RUNNING", "WAITING", "TOKENS", "SET", "BY"],
        ["stripe", "5/s", "0", "0", "5.0", "operator"],
        ["tenant:*", "2", "at", "once", "1", "2", "operator"],
        ["tenant:7", "1", "2"],
    ]


def test_removing_what_code_declares_says_that_it_comes_back(cli: Cli, conn: Connection) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, set_by, declared) VALUES ('a', 'code', '[]')")
    result = cli("limits", "remove", "a")
    assert result.code == 0
    assert "`pgjobs limits set a --none` lifts it" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["limits", "set", "a"],
        ["limits", "set", "a", "--none", "--concurrency", 1],
        ["limits", "set", "a", "--rate", "5"],
        ["limits", "set", "a", "--burst", 5],
        ["limits", "set", "a", "--concurrency", -1],
        ["limits", "set", "a*", "--concurrency", 1],
        ["limits", "set", "a:{b}", "--concurrency", 1],
        ["queues", "limit", "mail"],
        ["queues", "limit", " mail", "--none"],
        ["queues", "aging", "mail", "soon"],
        ["queues", "aging", "mail", "nan"],
        ["queues", "aging", "mail", "0"],
        ["tenants", "set", "big", "0"],
        ["tenants", "set", "", "2"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_limits_with_invalid_arguments_are_wrong_usage(cli: Cli, conn: Connection, arguments: list[object]) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert conn.execute("SELECT FROM pgjobs.limits UNION ALL SELECT FROM pgjobs.queues").fetchall() == []


def test_a_queue_is_limited_and_aged(cli: Cli) -> None:
    result = cli("queues", "limit", "mail", "--concurrency", 5, "--rate", "10/s")
    assert (result.code, result.out) == (0, "mail now has: 5 at once, 10/s.\n")
    assert "Check the name." in result.err
    result = cli("queues", "aging", "mail", 60)
    assert (result.out, result.err) == ("mail raises waiting jobs by one priority every 60 s.\n", "")
    line = cli("queues", "list").out.splitlines()[1]
    assert line.endswith("5 at once, 10/s  60 s")
    (shown,) = json.loads(cli("queues", "list", "--json").out)
    assert (shown["concurrency"], shown["rate"], shown["period"], shown["aging"]) == (5, 10, 1, 60)
    assert cli("queues", "limit", "mail", "--none").out == "mail now has: no limit.\n"
    assert cli("queues", "aging", "mail", "off").out == "mail has strict priorities.\n"


def test_a_tenant_has_a_weight(cli: Cli) -> None:
    assert cli("tenants", "set", "big", 3).out == "big gets 3 turns for one of the others.\n"
    assert cli("tenants", "list").out.splitlines()[1].split()[:2] == ["big", "3"]
    assert json.loads(cli("tenants", "list", "--json").out)[0]["weight"] == 3
    assert cli("tenants", "remove", "big").out == "big gets as many turns as the others.\n"
    assert cli("tenants", "remove", "big").out == "big had no weight of its own.\n"
    assert cli("tenants", "list").err == "All tenants have the same weight.\n"
