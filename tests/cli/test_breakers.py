from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli

UNSEEN = "pgjobs: no worker has used a breaker 'stripe' yet. If the name is wrong: `pgjobs breakers remove stripe`.\n"


def test_nothing_to_list_is_a_remark_and_an_empty_array_in_json(cli: Cli) -> None:
    assert json.loads(cli("breakers", "list", "--json").out) == []
    result = cli("breakers", "list")
    assert (result.code, result.out, result.err) == (0, "", "No worker has used a breaker yet.\n")


def test_a_breaker_is_opened_shown_and_set_going(cli: Cli) -> None:
    result = cli("breakers", "open", "stripe", "--for", 90)
    assert (result.code, result.out, result.err) == (0, "stripe is open for 90 s.\n", UNSEEN)
    titles, line = cli("breakers", "list").out.splitlines()
    assert titles.split() == ["BREAKER", "STATE", "UNTIL", "CALLS", "FAILED", "RUNNING", "CHANGED", "WHY"]
    assert line.startswith("stripe   open by hand  in 90s ")
    assert line.endswith("opened by an operator")
    assert cli("breakers", "open", "stripe").out == "stripe is open until changed.\n"
    assert " changed " in cli("breakers", "list").out
    result = cli("breakers", "auto", "stripe")
    assert (result.out, result.err) == ("stripe decides automatically, and is half-open.\n", "")
    shown = cli("breakers", "show", "stripe").out
    assert "\nstate    half-open\n" in shown
    assert "\nprobes   0 of 3 succeeded\n" in shown
    assert "opens    when 50 % of 20 or more calls in 30 s failed\n" in shown


def test_a_breaker_is_closed_and_stays_so_if_it_shall(cli: Cli) -> None:
    assert cli("breakers", "close", "stripe").out == "stripe is closed.\n"
    assert json.loads(cli("breakers", "show", "stripe", "--json").out)["forced"] is False
    assert cli("breakers", "close", "stripe", "--stay").out == "stripe is closed until changed.\n"
    assert "\nstate    closed by hand\n" in cli("breakers", "show", "stripe").out


def test_one_that_was_named_by_mistake_is_removed_as_the_remark_says(cli: Cli, conn: Connection) -> None:
    assert cli("breakers", "close", "stirpe two").err.endswith("`pgjobs breakers remove 'stirpe two'`.\n")
    assert cli("breakers", "remove", "stirpe two").out == "stirpe two is removed.\n"
    assert json.loads(cli("breakers", "list", "--json").out) == []


def test_json_has_all_of_a_breaker(cli: Cli, conn: Connection) -> None:
    cli("breakers", "open", "stripe")
    (found,) = json.loads(cli("breakers", "list", "--json").out)
    assert found == json.loads(cli("breakers", "show", "stripe", "--json").out)
    assert (found["state"], found["forced"], found["until"][:4]) == ("open", True, "9999")
    assert (found["failures"], found["window"], found["cooldown"], found["probes"]) == (0.5, 30, 60, 3)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "stripe"), 1),
        (("show", " "), 2),
        (("remove", "stripe"), 1),
        (("remove", " "), 2),
        (("open", ""), 2),
        (("open", "stripe", "--for", "0"), 2),
        (("open", "stripe", "--for", "nan"), 2),
        (("open", "stripe", "--for", "soon"), 2),
        (("close", "x" * 101), 2),
        (("auto", "a\x1fb"), 2),
    ],
    ids=[
        "unknown",
        "space",
        "remove unknown",
        "remove space",
        "empty",
        "zero",
        "nan",
        "no number",
        "long",
        "separator",
    ],
)
def test_breakers_with_invalid_arguments_print_one_line(
    cli: Cli, conn: Connection, arguments: tuple[object, ...], code: int
) -> None:
    result = cli("breakers", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err.count("\n") == 1
    assert conn.execute("SELECT count(*) FROM pgjobs.breakers").fetchone() == (0,)
