"""Which users are let in, from where, and what browsers are told to refuse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from starlette.responses import HTMLResponse, RedirectResponse

from pgjobs.core.errors import UsageError
from pgjobs.web import ALL, User
from tests.web.content import addresses, put_all

if TYPE_CHECKING:
    from psycopg import Connection
    from starlette.requests import Request

    from tests.web.conftest import Site

INLINE = re.compile(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", re.IGNORECASE)
ELSEWHERE = re.compile(r'(?:src|href|action)="(?!/)(?!#)[^"]*"')


def test_pages_have_nothing_inline_and_nothing_from_another_host(site: Site, conn: Connection) -> None:
    client = site()
    for address in [*addresses(put_all(conn)), "/nothing"]:
        page = client.get(address)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        assert not INLINE.search(page.text), address
        assert not ELSEWHERE.search(page.text), address


def test_scripts_and_styles_come_with_their_licences(site: Site) -> None:
    client = site()
    for name in (
        "page.js",
        "style.css",
        "htmx.min.js",
        "htmx.LICENSE.txt",
        "icon.svg",
        "charts.js",
        "uplot.min.js",
        "uplot.min.css",
        "uplot.LICENSE.txt",
    ):
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"https?://(?!www\.w3\.org|github\.com/leeoniya/uPlot \()", answer.text) or name.endswith(
            "LICENSE.txt"
        ), name


def test_a_dashboard_without_a_login_answers_to_localhost_alone(site: Site) -> None:
    client = site(local_only=True)
    for host in ("localhost:8799", "127.0.0.1:8799", "[::1]:8799", "LOCALHOST"):
        assert client.get("/workers", headers={"host": host}).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8799", ""):
        assert client.get("/workers", headers={"host": host}).status_code == 421, host
        assert client.get("/static/page.js", headers={"host": host}).status_code == 421, host


def test_authorize_lets_in_refuses_or_answers_itself(site: Site) -> None:
    async def later(request: Request) -> User:
        return User("grace")

    assert "grace" in site(authorize=later).get("/workers").text
    assert "grace (may look)" in " ".join(site(authorize=later).get("/workers").text.split())
    refused = site(authorize=lambda request: None).get("/workers")
    assert (refused.status_code, refused.text) == (403, "You may not look at this.\n")
    sent = site(authorize=lambda request: RedirectResponse("/login")).get("/workers")
    assert (sent.status_code, sent.headers["location"]) == (307, "/login")
    assert site(authorize=lambda request: None).get("/static/style.css").status_code == 200
    with pytest.raises(UsageError, match=r"authorize returned 'ada': return a pgjobs.web.User, a Response, or None"):
        site(authorize=lambda request: "ada").get("/workers")


def test_a_user_has_a_name_and_rights_that_exist() -> None:
    assert User("ada").may == frozenset()
    assert User("ada\x1b\n", may=["pause"]) == User("ada\\x1b", may={"pause"})
    assert User("ada", may=ALL).may == ALL
    with pytest.raises(UsageError, match="may has 'fly': give some of pause, retry, run"):
        User("ada", may={"fly"})
    with pytest.raises(UsageError, match="name='': give the name"):
        User("")


def test_only_get_is_answered(site: Site) -> None:
    client = site()
    for method in ("POST", "PUT", "DELETE"):
        assert client.request(method, "/workers").status_code == 405


def test_answer_of_authorize_keeps_its_own_headers_and_gets_the_others(site: Site) -> None:
    policy = "script-src https://login.example"
    login = HTMLResponse("login", headers={"content-security-policy": policy, "cache-control": "private"})
    answer = site(authorize=lambda request: login).get("/workers")
    assert answer.text == "login"
    assert answer.headers["content-security-policy"] == policy
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["x-frame-options"] == "DENY"


def test_missing_file_shows_nothing_of_the_dashboard(site: Site) -> None:
    answer = site(authorize=lambda request: None).get("/static/nothing.js")
    assert (answer.status_code, answer.text) == (404, "There is no such file.\n")
    assert "nav" not in answer.text


@pytest.mark.parametrize("headers", [{}, {"x-forwarded-proto": "https"}, {"forwarded": "proto=https"}])
def test_cookie_of_forms_is_for_https_alone_where_the_browser_asked_so(
    site: Site, conn: Connection, headers: dict[str, str]
) -> None:
    cookie = site().get("/do/pause-queue?queue=mail", headers=headers).headers["set-cookie"]
    assert ("Secure" in cookie) == bool(headers)
