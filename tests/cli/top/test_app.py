"""The screen of `pgjobs top`, by Textual's pilot: keys, questions, a lost connection, and content that is hostile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from pgjobs.cli.top.app import Question, Reading, TopApp
from pgjobs.cli.top.feed import Feed, UnreadableError
from tests.cli.top.test_snapshot import ago, put_running
from tests.support.rows import put_dead, put_job, put_worker
from tests.support.worker import scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import psycopg

pytestmark = pytest.mark.in_turns(3)
EVIL = "\x1b]0;title\x07\x1b[31m\x1b[2J[bold]x[/]\u202e\x9b5n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgjobs.cli.top.app.EVERY", 0.3)


def with_app(url: str, work: Callable[[TopApp, Pilot[None]], Coroutine[Any, Any, None]]) -> TopApp:
    """Run the app on 80 by 24 characters, and do something with it once it shows the first snapshot."""
    app = TopApp(Feed(url))

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.snapshot is not None)
            await work(app, pilot)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssertionError("it did not come true")


def text_of(app: TopApp, name: str) -> str:
    table = app.query_one(f"#{name}", DataTable)
    return "\n".join(" ".join(map(str, table.get_row_at(n))) for n in range(table.row_count))


def test_queue_is_paused_and_resumed_after_a_question(database_url: str, conn: psycopg.Connection) -> None:
    put_job(conn, queue="mail", run_at=ago(60))

    async def work(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, Question))
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Question))
        assert scalar(conn, "SELECT count(*) FROM pgjobs.queues WHERE paused") == 0
        await pilot.press("y")
        await until(pilot, lambda: "paused" in text_of(app, "queues"))
        assert scalar(conn, "SELECT paused FROM pgjobs.queues WHERE name = 'mail'")
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("y")
        await until(pilot, lambda: "paused" not in text_of(app, "queues"))

    with_app(database_url, work)


def test_job_is_cancelled_explained_and_shown(database_url: str, conn: psycopg.Connection) -> None:
    job = put_running(conn, put_worker(conn, {"mail": 1}), queue="mail", summary="send(42)")

    async def work(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("1", "w")
        await until(pilot, lambda: isinstance(app.screen, Reading))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, Reading))
        await pilot.press("q", "c", "y")
        await until(pilot, lambda: "cancelling" in text_of(app, "running"))

    with_app(database_url, work)
    assert scalar(conn, "SELECT cancel_reason IS NOT NULL FROM pgjobs.jobs WHERE id = %s", [job])


def test_dead_letter_is_replayed(database_url: str, conn: psycopg.Connection) -> None:
    letter = put_dead(conn, queue="mail", error="ValueError: no")

    async def work(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("2", "r", "y")
        await until(pilot, lambda: text_of(app, "letters") == "")

    with_app(database_url, work)
    assert scalar(conn, "SELECT status FROM pgjobs.jobs WHERE id = %s", [letter]) == "queued"


def test_a_text_filters_until_escape(database_url: str, conn: psycopg.Connection) -> None:
    put_job(conn, queue="mail")
    put_job(conn, queue="other")

    async def work(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("slash", "m", "a", "enter")
        await until(pilot, lambda: "other" not in text_of(app, "queues"))
        await pilot.press("escape")
        await until(pilot, lambda: "other" in text_of(app, "queues"))

    with_app(database_url, work)


def test_lost_connection_is_a_banner_and_comes_back(database_url: str, conn: psycopg.Connection) -> None:
    put_job(conn, queue="mail")

    async def work(app: TopApp, pilot: Pilot[None]) -> None:
        read, down = app._feed.read, [True]

        def fail(part: str) -> Any:
            if down:
                raise UnreadableError("the server has gone \x1b[2J")
            return read(part)

        app._feed.read = fail  # type: ignore[method-assign]  # the connection is lost for a while
        await until(pilot, lambda: app.trouble is not None)
        line = app.query_one("#head", Static)
        assert line.has_class("lost")
        assert "No answer: the server has gone" in str(line.render())
        assert "\x1b" not in str(line.render())
        assert "mail" in text_of(app, "queues")
        down.clear()
        await until(pilot, lambda: app.trouble is None)
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pgjobs top' AND datname = current_database()"
        )
        put_job(conn, queue="after")
        await until(pilot, lambda: "after" in text_of(app, "queues"))

    with_app(database_url, work)


def test_no_content_reaches_the_terminal_as_it_is(database_url: str, conn: psycopg.Connection) -> None:
    worker = put_worker(conn, {"mail": 1})
    job = put_running(conn, worker, queue="mail", summary=EVIL, error=EVIL)
    put_dead(conn, queue="mail", error=EVIL, summary=EVIL)
    conn.execute("INSERT INTO pgjobs.progress (job_id, message) VALUES (%s, %s)", [job, EVIL])
    conn.execute("UPDATE pgjobs.workers SET host = %s", [EVIL])

    async def work(app: TopApp, pilot: Pilot[None]) -> None:
        for name in ("running", "letters", "workers"):
            shown = text_of(app, name)
            assert "[bold]x[/]" in shown or name == "workers"
            assert shown.replace("\n", "").isprintable()
        await pilot.press("1", "enter")
        await until(pilot, lambda: isinstance(app.screen, Reading))
        assert str(app.screen.query_one(Static).render()).replace("\n", "").isprintable()

    with_app(database_url, work)
