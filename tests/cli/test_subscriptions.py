"""`pgjobs subscriptions`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pgjobs import publish, subscribe, topic
from pgjobs.events import subscribe as declarations
from pgjobs.jobs import registry
from tests.events import tasks
from tests.events.declaring import declare

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without the declarations of others."""
    monkeypatch.setattr(declarations, "_subscriptions", {})
    monkeypatch.setattr(declarations, "_topics", {})
    monkeypatch.setattr(registry, "_jobs", dict(registry._jobs))


def test_a_subscription_is_listed_paused_resumed_replayed_and_removed(cli: Cli, conn: Connection) -> None:
    assert cli("subscriptions", "list").err == "No subscriptions.\n"
    assert cli("subscriptions", "topics").err == "No topic keeps its events.\n"
    topic("order.#", keep="7d", app="shop")
    declaration = declare(conn)
    publish(conn, "order.placed")
    subscribe("order.*", name="mails", queue="mail", app="shop")(tasks.nothing)
    declare(conn, declaration)

    header, line = cli("subscriptions", "list").out.splitlines()
    assert header.split() == ["NAME", "TOPICS", "STATE", "QUEUE", "PRIORITY", "OWNER"]
    assert line.split() == ["mails", "order.*", "active", "mail", "5", "shop"]
    (listed,) = json.loads(cli("subscriptions", "list", "--json").out)
    assert (listed["name"], listed["pattern"], listed["state"]) == ("mails", "order.*", "active")
    assert json.loads(cli("subscriptions", "show", "mails", "--json").out) == listed
    assert "order.*" in cli("subscriptions", "show", "mails").out
    assert cli("subscriptions", "topics").out.split() == [
        *("TOPICS", "KEEP", "STATE", "OWNER"),
        *("order.#", "7", "days,", "0:00:00", "active", "shop"),
    ]

    assert cli("subscriptions", "pause", "mails").out == "mails is paused, and its events wait.\n"
    assert cli("subscriptions", "pause", "mails").out == "mails is paused, and its events wait already.\n"
    assert cli("subscriptions", "pause", "mails", "--drop").out == "mails drops its events.\n"
    assert cli("subscriptions", "resume", "mails").out == "mails is resumed.\n"
    assert cli("subscriptions", "resume", "mails").out == "mails was not paused.\n"
    assert cli("subscriptions", "replay", "mails", "--since", "1h").out == "1 job made of 1 kept event.\n"
    assert cli("subscriptions", "replay", "mails", "--since", "2020-01-01").out == "0 jobs made of 1 kept event.\n"

    refused = cli("subscriptions", "remove", "mails")
    assert refused.code == 2
    assert "in the code of shop" in refused.err
    declarations._subscriptions.clear()
    declare(conn, declaration)
    assert cli("subscriptions", "remove", "mails").out == "mails is removed.\n"


def test_what_is_not_there_or_no_time_is_refused(cli: Cli, conn: Connection) -> None:
    for code, says, arguments in (
        *((1, "no subscription 'x'", (each, "x")) for each in ("show", "pause", "resume", "remove", "replay")),
        (2, "--since", ("replay", "x", "--since", "soon")),
        (2, "--until", ("replay", "x", "--until", "7d")),
    ):
        result = cli("subscriptions", *arguments)
        assert (result.code, result.out, len(result.err.splitlines())) == (code, "", 1), (arguments, result)
        assert says in result.err


def test_each_command_has_a_help_text(cli: Cli) -> None:
    for command in ("list", "show", "pause", "resume", "remove", "replay", "topics"):
        assert "Usage: pgjobs subscriptions" in cli("subscriptions", command, "--help").out
