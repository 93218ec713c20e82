"""Charts: the values that the script draws, and the table that says the same without it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import admin
from pgjobs.core.errors import UsageError
from pgjobs.web import app as web_app
from tests.web.content import HOSTILE, name_of, put_minutes

if TYPE_CHECKING:
    import psycopg

    from tests.web.conftest import Site


def values(site: Site, place: str) -> Any:
    answer = site().get(place)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


def test_values_of_a_queue_come_with_its_sla_and_those_of_all(site: Site, conn: psycopg.Connection) -> None:
    put_minutes(conn, "mail")
    admin.set_queue_sla(conn, "mail", 30)
    found = values(site, "/minutes?queue=mail&hours=1&times=1")
    assert found["step"] == 60
    assert len(found["at"]) in (59, 60, 61)
    whole, mail = found["series"]
    assert (whole["queue"], whole["sla"], mail["queue"], mail["sla"]) == ("", None, "mail", 30.0)
    assert {len(mail[name]) for name in ("latency", "completed", "busy", "run_95")} == {len(found["at"])}
    assert mail["completed"][5] == pytest.approx(1.0)
    assert whole["enqueued"][5] == pytest.approx(1.0)
    assert mail["run_50"][5] < mail["run_95"][5]
    assert whole["run_50"][5] is None


def test_minutes_without_a_look_are_gaps_and_idle_ones_are_zero(site: Site, conn: psycopg.Connection) -> None:
    put_minutes(conn, "mail", minutes=30)
    conn.execute("DELETE FROM pgjobs.queue_minutes WHERE queue = 'mail' AND minute < now() - interval '10 minutes'")
    _, mail = values(site, "/minutes?queue=mail&hours=1")["series"]
    assert mail["latency"][5] is None  # no supervisor was there
    assert mail["latency"][-15] == mail["completed"][-15] == 0
    assert mail["latency"][-5] > 0


def test_longer_times_have_longer_steps(site: Site, conn: psycopg.Connection) -> None:
    put_minutes(conn, "mail", minutes=700)
    found = values(site, "/minutes?queue=mail&hours=12")
    assert found["step"] == 300
    assert len(found["at"]) <= 146
    assert found["series"][1]["completed"][-10] == pytest.approx(1.0)
    assert found["series"][1]["slots"][-10] == 8
    assert 5 <= found["series"][1]["busy"][-10] <= 7


def test_values_of_a_task_are_its_own(site: Site, conn: psycopg.Connection) -> None:
    put_minutes(conn, "mail", "a:b", minutes=10)
    conn.execute("UPDATE pgjobs.queue_minutes SET completed = 600 WHERE queue = 'mail' AND task = 'a:b'")
    (task,) = values(site, "/minutes?queue=mail&task=a:b&hours=1")["series"]
    assert task["completed"][-3] == pytest.approx(10.0)
    assert [each.completed for each in admin.list_busy_tasks(conn, "mail")] == [6000]


def test_errors_are_json_too(site: Site, monkeypatch: pytest.MonkeyPatch, conn: psycopg.Connection) -> None:
    client = site()
    assert (
        client.get("/minutes?" + "&".join(f"queue=q{n}" for n in range(7))).json()["sentence"]
        == "queue: give 6 at most."
    )
    assert client.get("/minutes?queue=" + "x" * 400).status_code == 400
    assert client.get("/minutes?task=a:b").json()["sentence"] == "task: name its queue as well."
    monkeypatch.setattr(web_app, "TIMEOUT_MS", 100)
    with conn.transaction():
        conn.execute("LOCK TABLE pgjobs.queue_minutes IN ACCESS EXCLUSIVE MODE")
        late = client.get("/minutes")
    assert (late.status_code, late.json()["error"]) == (503, "This took too long")
    assert site(authorize=lambda request: None).get("/minutes").status_code == 403


def test_hostile_names_are_shown_as_elsewhere(site: Site, conn: psycopg.Connection) -> None:
    name = name_of(HOSTILE) + "\u202e"
    put_minutes(conn, name)
    answer = site().get("/minutes", params={"queue": name})
    assert "\u202e" not in answer.text
    assert answer.json()["series"][1]["queue"].endswith("\\u202e")


@pytest.mark.parametrize("place", ["/", "/queue?name=mail"])
def test_page_names_its_values_and_has_them_as_a_table(site: Site, conn: psycopg.Connection, place: str) -> None:
    put_minutes(conn, "mail")
    admin.pause_queue(conn, "mail")
    page = site().get(place)
    (source,) = re.findall(r'data-source="([^"]+)"', page.text)
    assert site().get(source.replace("&amp;", "&")).status_code == 200
    assert "queue=mail" in source
    table = page.text[page.text.index("As a table") :]
    assert len(re.findall("<tr>", table[: table.index("</table>")])) >= 7
    assert "uplot.min.js" in page.text
    assert re.search(r"<script[^>]*>[^<]", page.text) is None


def test_queue_without_a_name_is_not_found_and_one_without_rows_says_so(site: Site, conn: psycopg.Connection) -> None:
    assert site().get("/queue").status_code == 404
    page = site().get("/queue?name=none")
    assert page.status_code == 200
    assert "Nothing was recorded" in page.text


def test_late_queue_is_marked(site: Site, conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, task, payload, run_at) VALUES ('mail', 'a:b', '', now() - interval '1 h')"
    )
    assert 'class="state late"' not in site().get("/queues").text
    admin.set_queue_sla(conn, "mail", 30)
    assert 'class="state late"' in site().get("/queues").text
    assert 'class="state late"' in site().get("/").text


@pytest.mark.parametrize("hours", [0, -1, 10_000, float("nan")])
def test_hours_are_up_to_a_month(conn: psycopg.Connection, hours: float) -> None:
    with pytest.raises(UsageError, match="hours="):
        admin.show_minutes(conn, hours=hours)


def test_names_are_a_list(conn: psycopg.Connection) -> None:
    with pytest.raises(UsageError, match="queues"):
        admin.show_minutes(conn, "mail")
    (found,) = admin.show_minutes(conn, ["mail"], hours=1)
    assert set(found.completed) <= {None}
    assert found.at[0] < datetime.now(UTC)
