"""What pages show, whatever is in the tables, and what they do when something takes too long or fails."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest

from pgjobs import admin
from pgjobs.admin import status
from pgjobs.db import depths
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import local_settings
from pgjobs.db.roles import make_roles
from pgjobs.db.statements import statement
from pgjobs.web import app as web_app
from pgjobs.web import shared
from pgjobs.web.connections import Connections
from pgjobs.web.pages import jobs as jobs_page
from pgjobs.web.pages import overview
from tests.support.processes import wait_until
from tests.support.rows import put_dead, put_job, put_worker
from tests.web.content import HOSTILE, addresses, put_all, put_minutes

if TYPE_CHECKING:
    from pgjobs.admin import Diagnosis
    from tests.web.conftest import Site

LINK = re.compile(r'href="([^"]*)"')


def test_each_page_shows_everything_and_leaves_nothing_out(site: Site, conn: psycopg.Connection) -> None:
    ids = put_all(conn)
    client = site()
    for address in addresses(ids):
        page = client.get(address)
        assert page.status_code == 200, address
        assert "Left out" not in page.text, address
        assert "plain" in page.text or address in ("/doctor", "/workers"), address
    assert {address for address, _, _ in web_app.PAGES} == {
        re.sub(r"\d+", "{id}", each.partition("?")[0]) for each in addresses(ids)
    }


def test_pages_of_an_empty_installation_say_so(site: Site, conn: psycopg.Connection) -> None:
    client = site()
    for address in addresses(dict.fromkeys(("running", "dead", "queued", "workflow"), 1)):
        page = client.get(address)
        assert page.status_code == (404 if address[-1] == "1" else 200), address
        assert page.text.count("<table") == 0


def test_no_page_writes_what_a_job_says_unescaped(site: Site, conn: psycopg.Connection) -> None:
    ids = put_all(conn, HOSTILE)
    client = site()
    for address in [*addresses(ids, HOSTILE), f"/jobs?call={quote(HOSTILE)}", f"/dead?task={quote(HOSTILE)}"]:
        page = client.get(address)
        assert page.status_code == 200, address
        assert "<script>alert" not in page.text, address
        assert "<img" not in page.text, address
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066]", page.text), address
        assert "49" not in re.findall(r"onerror[^<]*", page.text), address
        assert len(page.text) < 200_000, address
    assert "characters left out" in client.get(f"/jobs/{ids['dead']}").text


def test_pages_read_in_transactions_that_cannot_write(database_url: str, conn: psycopg.Connection) -> None:
    make_roles(conn)
    with Connections(database_url).reading(1_000) as plain:
        assert plain.execute("SELECT current_setting('transaction_read_only'), current_user").fetchone() == (
            "on",
            plain.info.user,
        )
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), plain.transaction():
            admin.pause_queue(plain, "mail")
    with Connections(database_url, as_reader=True).reading(1_000) as reader:
        assert reader.execute("SELECT current_user, current_setting('statement_timeout')").fetchone() == (
            "pgjobs_read",
            "1s",
        )
    connections = Connections(database_url)
    with connections.reading(1_000):
        pass
    with connections.writing() as writer:
        assert writer.execute("SELECT current_setting('transaction_read_only')").fetchone() == ("off",)


def test_each_page_can_be_read_with_the_role_that_only_reads(site: Site, conn: psycopg.Connection) -> None:
    make_roles(conn)
    ids = put_all(conn)
    client = site(read_only=True)
    for address in addresses(ids):
        page = client.get(address)
        assert (page.status_code, "Left out" in page.text) == (200, False), address


def test_what_takes_too_long_is_left_out_and_named(
    site: Site, conn: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all(conn)
    monkeypatch.setattr(web_app, "TIMEOUT_MS", 150)
    client = site()
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE pgjobs.tenants IN ACCESS EXCLUSIVE MODE")
        page = client.get("/limits")
        holder.rollback()
    assert page.status_code == 200
    assert "Left out, because it took longer than two seconds: tenants." in page.text
    assert "open" in page.text


def test_a_database_that_is_gone_is_a_page_without_its_password(database_url: str) -> None:
    from starlette.testclient import TestClient

    from pgjobs.web import User, dashboard

    url = "postgresql://ada:sesame@127.0.0.1:1/shop"
    client = TestClient(dashboard(authorize=lambda request: User("ada"), database_url=url))
    page = client.get("/")
    assert page.status_code == 503
    assert "cannot connect to" in page.text
    assert "sesame" not in page.text


def test_a_connection_that_was_cut_is_replaced(site: Site, conn: psycopg.Connection) -> None:
    client = site()
    assert client.get("/workers").status_code == 200
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%web' AND pid <> "
        "pg_backend_pid()"
    )
    assert client.get("/workers").status_code == 200


def test_jobs_are_found_by_filters_and_pages(site: Site, conn: psycopg.Connection) -> None:
    ids = [put_job(conn, queue="mail", task="shop.mail:send", summary=f"send({n})") for n in range(60)]
    other = put_job(conn, queue="images", task="shop.images:resize", summary="resize(7)", status="cancelled")
    client = site()
    first = client.get("/jobs?queue=mail&status=queued")
    assert f"/jobs/{ids[-1]}" in first.text
    assert f"/jobs/{ids[9]}" not in first.text
    (following,) = [each for each in LINK.findall(first.text) if "before=" in each]
    second = client.get(following.replace("&amp;", "&"))
    assert f"/jobs/{ids[9]}" in second.text
    assert f"/jobs/{ids[10]}" not in second.text
    assert f"/jobs/{other}" not in first.text + second.text
    assert f"/jobs/{other}" in client.get("/jobs?queue=im*").text
    found = client.get("/jobs?call=send(7)").text
    assert f"/jobs/{ids[7]}" in found
    assert f"/jobs/{ids[8]}" not in found


def test_a_text_is_looked_for_in_a_bounded_number_of_jobs(
    site: Site, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_page, "SEARCHED", 5)
    ids = [put_job(conn, summary=f"send({n})") for n in range(12)]
    client = site()
    address, steps = "/jobs?call=send(1)", 0
    while f'href="/jobs/{ids[1]}"' not in (text := client.get(address).text):
        assert "No such jobs so far" in text
        assert "5 jobs were looked through" in text
        (address,) = [each.replace("&amp;", "&") for each in LINK.findall(text) if "before=" in each]
        steps += 1
    assert steps == 2


@pytest.mark.parametrize("address", ["/jobs?before=x", "/jobs?queue=%00", f"/jobs?task={'x' * 400}", "/jobs?before=-1"])
def test_a_filter_that_cannot_be_one_is_refused(site: Site, address: str) -> None:
    page = site().get(address)
    assert page.status_code == 400
    assert 'role="alert"' in page.text


@pytest.mark.parametrize("address", ["/nothing", "/jobs/99999", "/jobs/x", "/workflows/99999", "/static/../app.py"])
def test_what_is_not_there_is_a_page(site: Site, address: str) -> None:
    assert site().get(address).status_code == 404


def test_dead_letters_are_grouped_by_what_they_have_in_common(site: Site, conn: psycopg.Connection) -> None:
    common = {"queue": "mail", "task": "shop:send"}
    timeouts = [put_dead(conn, **common, error=f"Timeout: order {n} took {n}.5 s") for n in range(5)]
    keys = [put_dead(conn, **common, error=f"KeyError: 'user{n}'") for n in range(3)]
    client = site()
    page = client.get("/dead").text
    assert "Timeout: order # took # s" in page
    assert "KeyError: &#39;…&#39;" in page
    (group,) = [each for each in LINK.findall(page) if each.startswith("/dead?") and "alike=KeyError" in each]
    letters = client.get(group.replace("&amp;", "&")).text
    assert all(f'href="/jobs/{each}"' in letters for each in keys)
    assert not any(f'href="/jobs/{each}"' in letters for each in timeouts)


def test_a_job_is_shown_with_its_workflow_and_its_sequence(site: Site, conn: psycopg.Connection) -> None:
    lane = "\x1f\x1faccount:7\x1f"
    ids = [put_job(conn, status="waiting", lane=lane, task=f"shop:step{n}") for n in range(3)]
    page = site().get(f"/jobs/{ids[1]}").text
    assert re.search(rf'before it: <a href="/jobs/{ids[0]}">', page)
    assert re.search(rf'behind it: <a href="/jobs/{ids[2]}">', page)
    workflow = put_all(conn)["workflow"]
    (step,) = conn.execute("SELECT min(job_id) FROM pgjobs.workflow_steps").fetchone() or (0,)
    assert f'href="/workflows/{workflow}"' in site().get(f"/jobs/{step}").text


def test_the_doctor_is_asked_twice_a_minute_at_most(
    site: Site, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    doctor = admin.doctor

    def ask(conn: psycopg.Connection) -> Diagnosis:
        asked.append(1)
        return doctor(conn)

    monkeypatch.setattr(admin, "doctor", ask, raising=False)
    client = site()
    for _ in range(3):
        first = client.get("/")
        assert client.get("/doctor").status_code == 200
    assert asked == [1]
    assert 'hx-get="/doctor"' in site().get("/").text
    assert 'hx-get="/doctor"' not in first.text


def test_page_does_not_wait_for_a_doctor_who_takes_long_and_shows_nothing_that_is_too_old(
    site: Site, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, doctor = threading.Event(), admin.doctor

    def slow(conn: psycopg.Connection) -> Diagnosis:
        go_on.wait(20)
        return doctor(conn)

    monkeypatch.setattr(admin, "doctor", slow, raising=False)
    client = site()
    page = client.get("/doctor")
    assert "It is being examined" in page.text
    assert 'data-every="2"' in page.text
    go_on.set()
    wait_until(lambda: "checks:" in client.get("/doctor").text)
    monkeypatch.setattr(shared, "TOO_OLD", 0.0)
    assert "It is being examined" in client.get("/doctor").text


def test_worker_is_unheard_by_its_own_limit(site: Site, conn: psycopg.Connection) -> None:
    slow, quick = put_worker(conn, {"mail": 1}, silent_for=100), put_worker(conn, {"mail": 1}, silent_for=10)
    conn.execute("UPDATE pgjobs.workers SET rescue_after = CASE id WHEN %s THEN 600 ELSE 5 END", [slow])
    rows = re.findall(r"<td class=\"num\">(\d+)</td>\s*<td><span class=\"state (\w+)", site().get("/workers").text)
    assert rows == [(str(slow), "running"), (str(quick), "unheard")]


def test_counts_of_the_queues_that_are_shown_end_later_than_those_of_all(
    site: Site, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute("INSERT INTO pgjobs.jobs (queue, task, payload) SELECT 'mail', 'a:b', '' FROM generate_series(1, 50)")
    monkeypatch.setattr(depths, "CAP", 10)
    assert '<td class="num">50</td>' in site().get("/queues").text
    monkeypatch.setattr(overview, "COUNTED", 20)
    assert '<td class="num">20+</td>' in site().get("/queues").text


def test_what_runs_in_a_large_table_is_found_without_reading_it(
    site: Site, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute("INSERT INTO pgjobs.jobs (queue, task, payload) SELECT 'mail', 'a:b', '' FROM generate_series(1, 50)")
    job = put_job(conn, queue="mail", status="running", worker_id=1, run_at=datetime(2026, 1, 1, tzinfo=UTC))
    put_minutes(conn, "mail", minutes=2)
    monkeypatch.setattr(status, "MAX_PAGES", 0)
    monkeypatch.setattr(status, "MAX_SCANNED", 10)
    page = site().get("/").text
    assert f"/jobs/{job}" in page
    assert re.search(r'<td class="num">50</td>\s*<td class="num">6</td>', page), "what ran in the last minute"
    assert f"/jobs/{job}" in site().get("/jobs?status=running&queue=mail").text
    with local_settings(conn, LOOK_UPS):
        values = {"queues": ["mail"], "scan": 10, "limit": 5}
        plan = [row[0] for row in conn.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {statement('list_running')}", values)]
    (scan,) = [line for line in plan if "on jobs_live" in line]
    assert "Index Scan using jobs_live_due" in scan
    assert "rows=10" in scan


def test_next_page_of_dead_letters_is_there_when_the_last_of_this_one_is_gone(
    site: Site, conn: psycopg.Connection
) -> None:
    letters = [put_dead(conn, queue="mail") for _ in range(60)]
    client = site()
    (following,) = [each for each in LINK.findall(client.get("/dead").text) if "before=" in each]
    admin.discard_dead(conn, letters[10])
    page = client.get(following.replace("&amp;", "&")).text
    assert f"/jobs/{letters[9]}" in page
    assert f"/jobs/{letters[11]}" not in page
    assert client.get("/dead?before=1&died=0001-01-01T00:00:00%2B14:00").status_code == 400
