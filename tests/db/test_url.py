"""Database URLs: what people write, what each driver takes, and what may be shown."""

from __future__ import annotations

import socket
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from pgjobs.core.errors import ConfigurationError
from pgjobs.db.connection import connect
from pgjobs.db.url import describe, libpq_url, mask, sqlalchemy_url


@pytest.mark.parametrize(
    "given_url",
    [
        "postgresql://u:p@h:1/d?sslmode=require",
        "postgres://u:p@h:1/d?sslmode=require",
        "postgresql+psycopg://u:p@h:1/d?sslmode=require",
        "postgresql+asyncpg://u:p@h:1/d?sslmode=require",
        "postgresql+psycopg2://u:p@h:1/d?sslmode=require",
    ],
)
def test_every_form_becomes_the_one_that_libpq_reads(given_url: str) -> None:
    url = libpq_url(given_url)
    assert url == "postgresql://u:p@h:1/d?sslmode=require"
    assert conninfo_to_dict(url)["host"] == "h"


def test_pairs_stay_as_they_are() -> None:
    assert libpq_url("host=h user=u") == "host=h user=u"


SEVERAL = "postgresql://u:p%40@a:1,b:2/d?target_session_attrs=read-write"


@pytest.mark.parametrize(
    "given_url",
    [
        SEVERAL,
        "postgresql+psycopg://u:p%40@a:1,b:2/d?target_session_attrs=read-write",
        "postgresql+psycopg://u:p%40@/d?host=a:1&host=b:2&target_session_attrs=read-write",
        "postgresql+asyncpg://u:p%40@/d?host=a:1&target_session_attrs=read-write&host=b:2",
    ],
)
def test_several_servers_are_named_in_libpqs_way(given_url: str) -> None:
    assert libpq_url(given_url) == SEVERAL
    assert describe(given_url) == "a:1,b:2/d"


@pytest.mark.parametrize(
    ("given_url", "hosts", "ports"),
    [
        ("postgresql:///d?host=a:1", "a", "1"),
        ("postgresql:///d?host=a&host=b", "a,b", None),
        ("postgresql:///d?host=a,b&port=1,2", "a,b", "1,2"),
        ("postgresql:///d?host=/var/run/postgresql", "/var/run/postgresql", None),
        ("postgresql://a/d?host=b", "b", None),
    ],
)
def test_servers_behind_the_database_are_found(given_url: str, hosts: str, ports: str | None) -> None:
    pairs = conninfo_to_dict(libpq_url(given_url))
    assert (pairs["host"], str(pairs.get("port") or "").strip(",") or None) == (hosts, ports)


@pytest.mark.parametrize(
    "given_url", [SEVERAL, "host=a,b port=1,2 user=u password=p@ dbname=d target_session_attrs=read-write"]
)
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_sqlalchemy_gets_several_servers(given_url: str, driver: str) -> None:
    url = make_url(sqlalchemy_url(given_url, driver))
    _, values = url.get_dialect()().create_connect_args(url)
    assert (values["host"], values["port"]) == (("a,b", "1,2") if driver == "psycopg" else (["a", "b"], [1, 2]))
    assert values["target_session_attrs"] == "read-write"


def test_the_server_that_can_be_written_to_is_found_in_either_form(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as conn, socket.create_server(("127.0.0.1", 0)) as unused:
        port, user, database = conn.info.port, conn.info.user, conn.info.dbname
        closed = unused.getsockname()[1]
        unused.close()
        hosts = f"127.0.0.1:{closed},127.0.0.1:{port}"
        url = f"postgresql://{user}@{hosts}/{database}?target_session_attrs=read-write&connect_timeout=5"
        if conn.info.password:
            url = url.replace("@", f":{quote(conn.info.password)}@", 1)
        with create_engine(sqlalchemy_url(url), poolclass=NullPool).connect() as connection:
            form = connection.engine.url.render_as_string(hide_password=False)
        for given_url in (url, form):
            with connect(given_url) as found:
                assert found.info.port == port


@pytest.mark.parametrize("wrong", ["", "mysql://u:secret@h/d", "sqlite:///x.db", "h:5432/d", "/var/run"])
def test_what_is_not_a_postgresql_url_is_refused_without_its_password(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="not a PostgreSQL URL: give one like postgresql://") as caught:
        libpq_url(wrong)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_sqlalchemy_gets_its_driver(driver: str) -> None:
    assert sqlalchemy_url("postgresql://u:p%40@h:1/d?sslmode=require", driver) == (
        f"postgresql+{driver}://u:p%40@h:1/d?sslmode=require"
    )
    assert make_url(sqlalchemy_url("postgres://u:p%40@h/d", driver)).password == "p@"


def test_sqlalchemy_connects_with_either_form(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as conn:
        pairs = make_conninfo("", **{**conninfo_to_dict(empty_database_url), "application_name": "it's me & you"})
        expected = conn.info.dbname
    for given_url in (empty_database_url, pairs):
        engine = create_engine(sqlalchemy_url(given_url), poolclass=NullPool)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT current_database()")).scalar() == expected
            if given_url is pairs:
                assert connection.execute(text("SHOW application_name")).scalar() == "it's me & you"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("postgresql://u:secret@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql+asyncpg://u:s/e:c?r#et@h/d", "postgresql+asyncpg://u:***@h/d"),
        ("at postgresql://u:secret@h/d: refused", "at postgresql://u:***@h/d: refused"),
        ("postgresql://h/d?user=u&password=secret&x=y", "postgresql://h/d?user=u&password=***&x=y"),
        ("postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=***"),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        (r"host=h password='se \' cret' dbname=d", "host=h password=*** dbname=d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_a_password_is_never_shown(shown: str, expected: str) -> None:
    assert mask(shown) == expected


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@"), min_size=8, max_size=30))
def test_no_password_of_whatever_characters_gets_through(password: str) -> None:
    assume(password not in "postgresql://user:***")  # it would be there without being shown
    assert password not in mask(f"no connection to postgresql://user:{password}@host/db today")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:secret@h:1/d", "h:1/d"),
        ("postgresql+psycopg://h/my%20db?sslmode=require", "h/my db"),
        ("postgresql:///d", "localhost/d"),
        ("host=h password=secret", "host=h password=***"),
    ],
)
def test_a_database_is_described_without_user_and_password(url: str, expected: str) -> None:
    assert describe(url) == expected
