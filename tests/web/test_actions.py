"""Actions: previewed, done by a form that only this site can send, limited by rights, written to the audit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from pgjobs import Workflow, admin, enqueue
from pgjobs.flow.limits import LimitSettings
from pgjobs.web import VERBS
from pgjobs.web.actions import dead as dead_actions
from pgjobs.web.actions import jobs as job_actions
from pgjobs.web.actions.previewed import MAX_LENGTH, pack, unpack
from pgjobs.web.actions.table import ACTIONS
from pgjobs.web.forms import COOKIE
from tests.support import tasks
from tests.support.rows import put_dead, put_job, put_pipeline, row_of
from tests.web.content import HOSTILE

if TYPE_CHECKING:
    from psycopg import Connection
    from starlette.testclient import TestClient

    from pgjobs.admin import JobRow
    from tests.web.conftest import Site

HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
ACTION_LINK = re.compile(r'href="/do/([\w-]+)')


def preview(client: TestClient, name: str, **target: object) -> tuple[str, dict[str, str]]:
    """Return the text of a preview, and the hidden fields of its form."""
    page = client.get(f"/do/{name}?{urlencode(target)}")
    assert page.status_code == 200, page.text
    form = page.text[page.text.index("<form") :]
    return page.text, {unescape(key): unescape(value) for key, value in HIDDEN.findall(form)}


def do(client: TestClient, name: str, filled: Mapping[str, str] | None = None, **target: object) -> str:
    """Preview an action, do it, and return what the next page says of it."""
    _, fields = preview(client, name, **target)
    sent = client.post(f"/do/{name}", data={**fields, **(filled or {})})
    assert sent.status_code == 303, sent.text
    page = client.get(sent.headers["location"])
    assert page.status_code in (200, 404)
    (entry,) = admin.list_audit(_conn, limit=1)
    assert (entry.by, entry.via, entry.action, entry.failed) == ("ada", "dashboard", name, False)
    return str(entry.outcome)


@pytest.fixture(autouse=True)
def remember(conn: Connection) -> None:
    global _conn
    _conn = conn


_conn: Connection


def put_targets(conn: Connection) -> dict[str, dict[str, object]]:
    """Insert something for each action, and return what each is for."""
    job, later, failed = put_job(conn), put_job(conn, payload=b"[1]"), put_job(conn, status="cancelled")
    letter, other = put_dead(conn, payload=b'{"n": 1}'), put_dead(conn)
    put_job(conn, queue="bulk")
    put_job(conn, queue="bulk", status="cancelled")
    put_dead(conn, queue="group", error="Timeout: 7 s")
    put_dead(conn, queue="rest", error="Timeout: 8 s")
    flow = Workflow("flow")
    flow.add(tasks.nothing, 1, 2)
    workflow = enqueue(conn, flow).id
    admin.add_schedule(conn, "nightly", "0 0 * * *", tasks.nothing, (1, 2))
    put_pipeline(conn, at_most=2)
    conn.execute(
        "INSERT INTO pgjobs.subscriptions (name, app, pattern, queue, priority, max_attempts)"
        " VALUES ('index', 'shop', '#', 'default', 5, 1)"
    )
    admin.set_limit(conn, "crm", LimitSettings(concurrency=1))
    admin.set_tenant_weight(conn, "7", 2)
    return {
        **{f"{verb}-queue": {"queue": "mail"} for verb in ("pause", "resume")},
        **{f"{verb}-task": {"task": "shop.x"} for verb in ("pause", "resume")},
        **{f"{verb}-schedule": {"schedule": "nightly"} for verb in ("pause", "resume", "run")},
        **{f"{verb}-workflow": {"workflow": workflow} for verb in ("pause", "resume", "cancel", "retry")},
        **{f"{verb}-pipeline": {"pipeline": "index"} for verb in ("pause", "resume")},
        **{f"{verb}-subscription": {"subscription": "index"} for verb in ("pause", "resume")},
        "pause-everything": {},
        "resume-everything": {},
        "retry-job": {"id": failed},
        "cancel-job": {"id": job},
        "change-job": {"id": later},
        "change-arguments": {"id": later},
        "cancel-jobs": {"queue": "bulk"},
        "retry-jobs": {"queue": "bulk", "status": "cancelled"},
        "replay-letter": {"id": letter},
        "discard-letter": {"id": other},
        "replay-letters": {"queue": "group", "alike": "Timeout: # s"},
        "discard-letters": {"queue": "rest"},
        "set-limit": {"limit": "crm"},
        "remove-limit": {"limit": "crm"},
        "set-weight": {"tenant": "7"},
        "remove-weight": {"tenant": "7"},
        **{f"{verb}-breaker": {"breaker": "crm"} for verb in ("open", "close", "auto")},
    }


FILLED = {
    "change-job": {"priority": "1"},
    "change-arguments": {"arguments": "[2]"},
    "set-limit": {"concurrency": "3"},
    "set-weight": {"weight": "3"},
    "open-breaker": {"seconds": "60"},
    "retry-workflow": {"what": "failed"},
}


def test_each_action_is_previewed_done_and_written_to_the_audit(site: Site, conn: Connection) -> None:
    client, targets = site(), put_targets(conn)
    assert targets.keys() == ACTIONS.keys()
    for name, target in targets.items():
        assert do(client, name, FILLED.get(name), **target), name
    entries = admin.list_audit(conn, limit=100)
    assert [entry.action for entry in reversed(entries)] == list(targets)
    assert all(entry.ended_at is not None and entry.number is not None for entry in entries)
    assert next(each for each in entries if each.action == "pause-queue").target == {"queue": "mail"}
    page = client.get("/audit").text
    assert "discard-letters" in page
    assert "open-breaker" not in client.get("/audit?action=pause-queue").text.split("<tbody>")[1]


@pytest.mark.parametrize("verb", VERBS)
def test_each_right_is_needed_for_what_it_is_named_after(site: Site, conn: Connection, verb: str) -> None:
    targets = put_targets(conn)
    client, without = site(may={verb}), site(may={*VERBS} - {verb})
    of_verb = {name for name, action in ACTIONS.items() if action.verb == verb}
    assert of_verb
    for name, target in targets.items():
        assert client.get(f"/do/{name}?{urlencode(target)}").status_code == (200 if name in of_verb else 403), name
        refused = without.post(f"/do/{name}", data={**target, "token": "x"})
        assert refused.status_code == 403
        assert (f"has not the right to {verb}" in refused.text) == (name in of_verb), name
    assert admin.list_audit(conn) == []


def test_pages_offer_what_a_user_may_do(site: Site, conn: Connection) -> None:
    put_targets(conn)
    admin.open_breaker(conn, "crm")
    letter = admin.list_dead(conn)[0].id
    places = [
        "/queues",
        "/dead",
        "/schedules",
        "/limits",
        "/pipelines",
        "/subscriptions",
        f"/jobs/{letter}",
        "/jobs?queue=bulk",
    ]

    def offered(client: TestClient) -> set[str]:
        return {name for place in places for name in ACTION_LINK.findall(client.get(place).text)}

    assert offered(site(may=())) == set()
    assert offered(site(may={"pause"})) == {
        *("pause-queue", "pause-everything", "pause-schedule", "pause-pipeline", "pause-subscription", "pause-task")
    }
    assert {
        "replay-letters",
        "discard-letters",
        "run-schedule",
        "set-limit",
        "close-breaker",
        "cancel-jobs",
    } <= offered(site())
    assert offered(site(read_only=True)) == set()
    assert site(read_only=True).get("/do/pause-queue?queue=mail").status_code == 404
    assert site(read_only=True).post("/do/pause-queue", data={"queue": "mail"}).status_code == 404


def test_a_form_that_another_site_could_send_does_nothing(site: Site, conn: Connection) -> None:
    client = site()
    _, fields = preview(client, "pause-queue", queue="mail")
    cookie = client.cookies[COOKIE]
    tries: list[tuple[dict[str, str], dict[str, str], str]] = [
        ({}, {}, cookie),
        ({"token": "0" * 64}, {}, cookie),
        ({"token": fields["token"]}, {}, ""),
        ({"token": fields["token"]}, {}, "0" * 64),
        ({"token": fields["token"]}, {"sec-fetch-site": "cross-site"}, cookie),
        ({"token": fields["token"]}, {"sec-fetch-site": "same-site"}, cookie),
        ({"token": fields["token"]}, {"origin": "http://evil.example"}, cookie),
        ({"token": fields["token"]}, {"origin": "null"}, cookie),
    ]
    for given, headers, held in tries:
        client.cookies.clear()
        if held:
            client.cookies.set(COOKIE, held)
        sent = client.post("/do/pause-queue", data={"queue": "mail", **given}, headers=headers)
        assert sent.status_code == 403, (given, headers, held)
    client.cookies.set(COOKIE, cookie)
    assert client.get("/do/pause-queue?queue=mail", headers={"sec-fetch-site": "cross-site"}).status_code == 200
    assert [queue for queue in admin.list_queues(conn) if queue.paused] == []
    assert admin.list_audit(conn) == []
    sent = client.post("/do/pause-queue", data=fields, headers={"sec-fetch-site": "same-origin", "origin": "null"})
    assert sent.status_code == 303


def test_a_form_of_one_user_is_not_one_of_another(site: Site, conn: Connection) -> None:
    from pgjobs.web import ALL, User

    ada, eve = site(), site(authorize=lambda request: User("eve", may=ALL))
    _, fields = preview(ada, "pause-queue", queue="mail")
    eve.cookies.set(COOKIE, ada.cookies[COOKIE])
    assert eve.post("/do/pause-queue", data=fields).status_code == 403


def test_the_cookie_is_for_this_site_alone(site: Site) -> None:
    answer = site().get("/do/pause-queue?queue=mail")
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert "path=/" in said
    assert "set-cookie" not in site().get("/queues").headers


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"token": 1}', "application/json"),
        (b"--x--", "multipart/form-data; boundary=x"),
        (b"a=%ff\xff", "application/x-www-form-urlencoded"),
        (b"a=1&" * 100, "application/x-www-form-urlencoded"),
        (b"a=" + b"1" * 5_000_000, "application/x-www-form-urlencoded"),
    ],
    ids=["json", "multipart", "bytes", "fields", "size"],
)
def test_what_is_not_a_form_of_the_dashboard_is_refused(site: Site, data: bytes, kind: str) -> None:
    sent = site().post("/do/pause-queue", content=data, headers={"content-type": kind})
    assert sent.status_code == 400


def test_no_action_leads_to_another_site(site: Site, conn: Connection) -> None:
    client = site()
    for target in ("//evil.example", "https://evil.example/", "\\\\evil.example", "/../evil"):
        page = client.get(f"/do/cancel-job?{urlencode({'id': target})}")
        assert page.status_code == 400
        sent = client.get(f"/do/pause-queue?{urlencode({'queue': target, 'next': target, 'back': target})}")
        assert 'href="/queues">Do nothing' in sent.text


def test_a_refused_action_is_written_too(site: Site, conn: Connection) -> None:
    client, job = site(), put_job(conn)
    _, fields = preview(client, "cancel-job", id=job)
    admin.cancel_jobs(conn, job)
    sent = client.post("/do/cancel-job", data=fields)
    assert sent.status_code == 400
    assert "already cancelled" in sent.text
    (entry,) = admin.list_audit(conn)
    assert (entry.failed, entry.number, entry.target) == (True, None, {"id": str(job)})
    assert "already cancelled" in (entry.outcome or "")


def test_what_came_after_a_preview_is_left_alone(site: Site, conn: Connection) -> None:
    client = site()
    jobs = [put_job(conn, queue="mail") for _ in range(3)]
    letters = [put_dead(conn, queue="mail", error="Timeout: 1 s") for _ in range(3)]
    conn.execute("UPDATE pgjobs.dead_jobs SET died_at = clock_timestamp()")
    text, fields = preview(client, "cancel-jobs", queue="mail", status="queued")
    assert "Cancel 3 jobs: status queued, queue mail." in text
    dead_text, dead_fields = preview(client, "replay-letters", queue="mail", alike="Timeout: # s")
    assert "Queue 3 dead letters again" in dead_text
    newer, later = put_job(conn, queue="mail"), put_dead(conn, queue="mail", error="Timeout: 2 s")
    conn.execute("UPDATE pgjobs.dead_jobs SET died_at = clock_timestamp() WHERE id = %s", [later])
    assert client.post("/do/cancel-jobs", data=fields).status_code == 303
    assert [row_of(conn, each)["status"] for each in (*jobs, newer)] == ["cancelled"] * 3 + ["queued"]
    assert client.post("/do/replay-letters", data=dead_fields).status_code == 303
    assert [letter.id for letter in admin.list_dead(conn)] == [later]
    assert letters[0] not in [letter.id for letter in admin.list_dead(conn)]


def test_more_than_a_bound_is_said_and_left_for_the_next_time(
    site: Site, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_actions, "CAP", 5)
    monkeypatch.setattr(dead_actions, "CAP", 5)
    for _ in range(8):
        put_job(conn, queue="mail")
        put_dead(conn, queue="mail")
    client = site()
    text, fields = preview(client, "cancel-jobs", queue="mail", status="queued")
    assert "Cancel 5+ jobs" in text
    assert "At most 5 are changed at once" in text
    assert client.post("/do/cancel-jobs", data=fields).status_code == 303
    assert admin.count_jobs(conn, admin.JobSelection(statuses=("cancelled",))) == 5
    text, fields = preview(client, "discard-letters", queue="mail")
    assert "Discard 5+ dead letters" in text
    assert client.post("/do/discard-letters", data=fields).status_code == 303
    assert admin.count_dead(conn, admin.JobSelection()) == 3


def test_jobs_without_a_filter_are_not_changed_together(site: Site, conn: Connection) -> None:
    page = site().get("/do/cancel-jobs")
    assert page.status_code == 400
    assert "choose a status, a queue or a task first" in page.text


def test_hostile_targets_are_shown_escaped_and_come_back_as_they_were(site: Site, conn: Connection) -> None:
    client = site()
    task = f"shop:{HOSTILE}".replace("\x9b", "")
    letter = put_dead(conn, queue="mail", task=task, error=HOSTILE, summary=HOSTILE)
    (group,) = re.findall(r'href="(/do/replay-letters[^"]*)"', client.get("/dead").text)
    page = client.get(unescape(group))
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    fields = {unescape(key): unescape(value) for key, value in HIDDEN.findall(page.text[page.text.index("<form") :])}
    assert fields["task"] == task
    assert client.post("/do/replay-letters", data=fields).status_code == 303
    assert row_of(conn, letter)["status"] == "queued"
    audit = client.get("/audit")
    assert "<script>alert" not in audit.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", audit.text)


def test_arguments_in_json_are_changed_and_others_are_refused(site: Site, conn: Connection) -> None:
    client = site()
    letter = put_dead(conn, task="shop:charge", payload=b'{"order":7,"*result":60}', summary="charge(order=7)")
    pickled = put_dead(conn, payload=b"\x80\x05.")
    assert "/do/change-arguments" in client.get(f"/jobs/{letter}").text
    assert "/do/change-arguments" not in client.get(f"/jobs/{pickled}").text
    assert client.get(f"/do/change-arguments?id={pickled}").status_code == 400
    text, _ = preview(client, "change-arguments", id=letter)
    assert "&#34;order&#34;: 7" in text
    do(client, "change-arguments", {"arguments": '{"order": 8, "token": "x"}'}, id=letter)
    row = conn.execute("SELECT payload, summary FROM pgjobs.dead_jobs WHERE id = %s", [letter]).fetchone()
    assert row == (b'{"*result":60,"order":8,"token":"x"}', "charge(order=8, token=***)")
    assert admin.list_audit(conn)[0].target == {"id": str(letter)}  # all who look can read it
    _, fields = preview(client, "change-arguments", id=letter)
    for wrong in ("", "{", "7", '"x"', '{"*event": {}}', "NaN", "[" * 100_000):
        assert client.post("/do/change-arguments", data={**fields, "arguments": wrong}).status_code == 400, wrong[:20]


def test_what_was_not_in_the_preview_is_left_alone_even_if_it_is_older(site: Site, conn: Connection) -> None:
    client = site()
    older, running = put_job(conn, queue="mail", status="running", worker_id=1), put_job(conn, queue="other")
    first, second = put_job(conn, queue="mail"), put_job(conn, queue="mail")
    _, fields = preview(client, "cancel-jobs", queue="mail", status="queued")
    conn.execute("UPDATE pgjobs.jobs_live SET status = 'queued' WHERE id = %s", [older])  # handed back meanwhile
    conn.execute("UPDATE pgjobs.jobs_live SET queue = 'mail' WHERE id = %s", [running])
    admin.cancel_jobs(conn, first)
    assert client.post("/do/cancel-jobs", data=fields).status_code == 303
    assert {each: row_of(conn, each)["status"] for each in (older, running, first, second)} == {
        older: "queued",
        running: "queued",
        first: "cancelled",
        second: "cancelled",
    }
    letter, late = put_dead(conn, queue="mail"), put_dead(conn, queue="rest")
    _, fields = preview(client, "discard-letters", queue="mail")
    conn.execute("UPDATE pgjobs.dead_jobs SET queue = 'mail' WHERE id = %s", [late])
    assert client.post("/do/discard-letters", data=fields).status_code == 303
    assert [each.id for each in admin.list_dead(conn)] == [late]
    assert letter not in {each.id for each in admin.list_dead(conn)}


@pytest.mark.parametrize(
    "until", ["x", "2026-01-01~x", "2026-01-01T00:00:00+00:00~", "0001-01-01T00:00:00+14:00~eJw", "7"]
)
def test_forged_previews_are_refused_and_change_nothing(site: Site, conn: Connection, until: str) -> None:
    client, job = site(), put_job(conn, queue="mail")
    put_dead(conn, queue="mail")
    for name in ("cancel-jobs", "discard-letters"):
        _, fields = preview(client, name, queue="mail")
        answer = client.post(f"/do/{name}", data={**fields, "until": until})
        assert answer.status_code == 400, answer.text
        assert "look at the preview again" in answer.text
    assert row_of(conn, job)["status"] == "queued"
    assert len(admin.list_dead(conn)) == 1


def test_ten_thousand_ids_of_a_preview_fit_a_form() -> None:
    moment, ids = datetime(2026, 1, 2, tzinfo=UTC), set(range(10**15, 10**15 + 70_000, 7))
    assert len(value := pack(moment, ids)) < 1_000
    assert unpack(value) == (moment, ids)
    scattered = {number * number * 7919 % 10**12 for number in range(10_000)}
    assert len(value := pack(moment, scattered)) < MAX_LENGTH
    assert unpack(value) == (moment, scattered)


def test_glob_of_a_queue_looks_at_a_bounded_number_of_jobs(
    site: Site, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute("INSERT INTO pgjobs.jobs (queue, task, payload) SELECT 'noise', 'a:b', '' FROM generate_series(1, 60)")
    monkeypatch.setattr(job_actions, "PAGE", 10)
    monkeypatch.setattr(job_actions, "SCANNED", 30)
    asked: list[int] = []
    list_jobs = admin.list_jobs

    def count(*arguments: Any, **keywords: Any) -> list[JobRow]:
        asked.append(keywords["limit"])
        assert keywords["queue"] is None
        return list_jobs(*arguments, **keywords)

    monkeypatch.setattr(admin, "list_jobs", count, raising=False)
    text, _ = preview(site(), "cancel-jobs", queue="mail-*", status="queued")
    assert asked == [10, 10, 10]
    assert "0+ jobs" in text
    job = put_job(conn, queue="mail-7")
    assert "1+ jobs" in preview(site(), "cancel-jobs", queue="mail-*", status="queued")[0]
    do(site(), "cancel-jobs", queue="mail-*", status="queued")
    assert row_of(conn, job)["status"] == "cancelled"


def test_half_of_a_character_in_arguments_is_shown(site: Site, conn: Connection) -> None:
    job = put_job(conn, payload=rb'["\ud800"]')
    assert site().get(f"/do/change-arguments?id={job}").status_code == 200
