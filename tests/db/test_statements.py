"""The statements in sql/: readable by both drivers, valid as they stand, and in whatever schema was set."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

import pgjobs.db
from pgjobs.core.config import configure
from pgjobs.core.errors import UsageError
from pgjobs.db.enqueue_columns import LISTS
from pgjobs.db.statements import doorbell_channel, files_by_name, named_statement, rename_schema, statement
from tests.support.processes import ROOT

FILES = {file.stem: file for file in (Path(pgjobs.db.__file__).parent / "sql").rglob("*.sql")}
NAMES = sorted(FILES)
PARAMETER = re.compile(r"%\((\w+)\)s")


def test_two_statements_of_one_name_are_refused_by_the_loader(tmp_path: Path) -> None:
    for folder in ("jobs", "queues"):
        (tmp_path / folder).mkdir()
    (tmp_path / "jobs" / "pick.sql").write_text("SELECT 1")
    (tmp_path / "queues" / "list.sql").write_text("SELECT 2")
    assert files_by_name(tmp_path).keys() == {"pick", "list"}
    (tmp_path / "queues" / "pick.sql").write_text("SELECT 3")
    with pytest.raises(AssertionError, match="two statements are called pick"):
        files_by_name(tmp_path)


def test_every_statement_is_one_that_postgresql_can_parse(conn: psycopg.Connection) -> None:
    refused = {}
    for name in NAMES:
        query = str(statement(name))
        for number, parameter in enumerate(sorted(set(PARAMETER.findall(query))), start=1):
            query = query.replace(f"%({parameter})s", f"${number}")
        # PREPARE checks names and types against the tables, and takes one statement only. %% is a percent sign.
        prepare = f"PREPARE checked_{name} AS {query.replace('%%', '%')}"
        try:
            with conn.transaction(force_rollback=True):
                conn.execute((query if query.startswith("LOCK ") else prepare).encode())  # a lock cannot be prepared
        except psycopg.Error as error:
            refused[name] = str(error)
    assert refused == {}


def test_no_line_of_sql_is_longer_than_120_characters() -> None:
    files = [*FILES.values(), *(ROOT / "migrations" / "sql").rglob("*.sql")]
    lines = {
        (file.name, number): line for file in files for number, line in enumerate(file.read_text().splitlines(), 1)
    }
    assert [place for place, line in lines.items() if len(line) > 120] == []


def test_no_statement_takes_a_lock_that_every_login_of_the_database_can_take() -> None:
    assert [name for name in NAMES if "advisory" in FILES[name].read_text()] == []


def test_lists_of_columns_are_put_in_everywhere() -> None:
    assert [name for name in NAMES if re.search(r"\{[a-z_]+\}", statement(name))] == []
    unused = [name for name in LISTS if not any(f"{{{name}}}" in file.read_text() for file in FILES.values())]
    assert unused == []


def test_neither_comments_nor_semicolons_are_sent_to_the_server() -> None:
    assert [name for name in NAMES if "--" in statement(name) or statement(name).endswith(";")] == []


# `::` right after a placeholder is psycopg's; statements for SQLAlchemy are written with CAST.
@pytest.mark.parametrize("name", ["enqueue", "enqueue_many"])
def test_both_forms_have_the_same_parameters(name: str) -> None:
    named = text(named_statement(name))
    assert set(named.compile().params) == set(PARAMETER.findall(statement(name)))


@pytest.mark.parametrize("name", NAMES)
def test_another_schema_replaces_the_first_everywhere(name: str) -> None:
    configure(schema="other")
    assert not re.search(r"\bpgjobs\b\.", statement(name))
    assert '"other".' in statement(name) or "pgjobs." not in statement(name, "pgjobs")


def test_only_plain_names_of_schemas_get_into_sql() -> None:
    assert rename_schema("SELECT f('pgjobs') FROM pgjobs.jobs", "other") == """SELECT f('other') FROM "other".jobs"""
    assert rename_schema("SELECT 1 FROM pgjobs.jobs", "pgjobs") == "SELECT 1 FROM pgjobs.jobs"
    for bad in ('x"; DROP TABLE y', "a.b", "", "Upper", "pg_mine", "1st", "x" * 64):
        with pytest.raises(UsageError):
            rename_schema("SELECT 1 FROM pgjobs.jobs", bad)


@pytest.mark.parametrize("queue", ["default", "Grüße, 世界", "x" * 100, "it's"])
@pytest.mark.parametrize("schema", ["pgjobs", "a_name_of_a_schema_with_more_than_twenty_characters"])
def test_python_and_postgresql_agree_on_a_queue_s_channel(queue: str, schema: str, conn: psycopg.Connection) -> None:
    from pgjobs.db import migrations as migrate

    if schema != "pgjobs":
        migrate.upgrade(conn.info.dsn + f" password={conn.info.password}", schema=schema)
    row = conn.execute(f"SELECT {schema}.doorbell_channel(%s)", [queue]).fetchone()
    assert row == (doorbell_channel(queue, schema),)
    assert len(doorbell_channel(queue, schema).encode()) <= 63
