"""The dashboard below a prefix of FastAPI, Flask and Django, behind the login of each."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from pgjobs.web import ALL, User, dashboard, django_urls, wsgi_dashboard
from tests.support.rows import put_job

if TYPE_CHECKING:
    from psycopg import Connection

ADDRESS = re.compile(r'(?:href|src|action)="([^"]*)"')


@pytest.fixture(autouse=True)
def closed(database_url: str) -> Iterator[None]:
    yield
    gc.collect()


def check(get: Any, conn: Connection) -> None:
    """Look at pages below /jobs, which is also the address of a page."""
    job = put_job(conn, summary="send(42)")
    for address in ("/jobs/", "/jobs/jobs", f"/jobs/jobs/{job}", "/jobs/dead", "/jobs/doctor"):
        status, text = get(address)
        assert status == 200, address
        found = {each for each in ADDRESS.findall(text) if each.startswith("/")}
        assert found
        assert all(each.startswith("/jobs/") for each in found), address
        assert 'aria-current="page"' in text
    assert "send(42)" in get(f"/jobs/jobs/{job}")[1]
    assert get("/jobs/static/page.js")[0] == 200
    assert get("/jobs/nothing")[0] == 404


def test_in_fastapi(database_url: str, conn: Connection) -> None:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/jobs", dashboard(authorize=lambda request: User("ada", may=ALL), database_url=database_url))
    client = TestClient(app, base_url="http://localhost", follow_redirects=False)

    def get(address: str) -> tuple[int, str]:
        answer = client.get(address)
        return answer.status_code, answer.text

    check(get, conn)
    assert client.get("/jobs").headers["location"].endswith("/jobs/")


def test_in_flask(database_url: str, conn: Connection) -> None:
    from flask import Flask, session
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = Flask("shop")
    app.secret_key = "sesame"

    @app.get("/login")
    def login() -> str:
        session["user"] = "ada"
        return "hello"

    def authorize(request: Any) -> User | None:
        with app.request_context(request.scope["wsgi_environ"]):
            return User(session["user"], may=ALL) if "user" in session else None

    mounted = wsgi_dashboard(authorize=authorize, database_url=database_url)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/jobs": mounted})  # type: ignore[method-assign]
    client = app.test_client()
    assert client.get("/jobs/").status_code == 403
    client.get("/login")

    def get(address: str) -> tuple[int, str]:
        answer = client.get(address)
        return answer.status_code, answer.text

    check(get, conn)
    assert ">ada" in get("/jobs/")[1]


@pytest.fixture
def urls() -> Iterator[ModuleType]:
    """Return a module of addresses of a Django project."""
    from django.conf import settings
    from django.urls import clear_url_caches, set_urlconf

    if not settings.configured:
        settings.configure()
    module = ModuleType("shop_urls")
    sys.modules["shop_urls"] = module
    set_urlconf("shop_urls")
    yield module
    set_urlconf(None)
    clear_url_caches()
    del sys.modules["shop_urls"]


def test_in_django(database_url: str, conn: Connection, urls: ModuleType) -> None:
    import django
    from django.core.handlers.base import BaseHandler
    from django.http import HttpResponseRedirect
    from django.test import RequestFactory, override_settings
    from django.urls import include, path

    def authorize(request: Any) -> Any:
        if request.GET.get("user") is None:
            return HttpResponseRedirect("/login")
        return User("ada", may=ALL) if request.GET["user"] == "ada" else None

    urls.urlpatterns = [path("jobs/", include(django_urls(authorize=authorize, database_url=database_url)))]  # type: ignore[attr-defined]
    with override_settings(ROOT_URLCONF="shop_urls", ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[]):
        django.setup()
        handler = BaseHandler()
        handler.load_middleware()

        def ask(address: str, user: str | None = "ada") -> Any:
            return handler.get_response(RequestFactory().get(address, {} if user is None else {"user": user}))

        assert ask("/jobs/", None).headers["location"] == "/login"
        assert ask("/jobs/", "eve").status_code == 403

        def get(address: str) -> tuple[int, str]:
            answer = ask(address)
            assert answer.headers["x-frame-options"] == "DENY"
            return answer.status_code, answer.content.decode()

        check(get, conn)
