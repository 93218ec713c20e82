"""Installations in one database have names of their own, however alike those of their schemas are."""

from __future__ import annotations

import ast
from pathlib import Path

import psycopg
import pytest

import pgjobs
from pgjobs.core.config import configure
from pgjobs.db import migrations as migrate
from pgjobs.db.installation import connection_name, installation_name
from pgjobs.db.statements import cancel_channel, doorbell_channel
from pgjobs.worker.runtime.registration import application_name, terminate_backends
from tests.support.doorbell import channels_rung
from tests.support.worker import scalar

ALIKE = ["jobs_of_the_warehouse_a", "jobs_of_the_warehouse_b", "jobs_of_the_warehous", "jobs_of_the_warehouse"]
PARAMETER = "application_name"


def names_it(assignment: ast.Assign, name: str) -> bool:
    return [ast.unparse(each) for each in assignment.targets] == [name]


def names(schema: str) -> set[str]:
    configure(schema=schema)
    return {application_name(1), connection_name("scheduler"), doorbell_channel("mail"), cancel_channel()}


def test_schemas_that_begin_alike_share_no_name() -> None:
    every = [name for schema in ALIKE for name in names(schema)]
    assert len(set(every)) == len(every)
    assert not any(one != other and other.startswith(one) for one in every for other in every)
    assert {len(installation_name(schema)) for schema in ALIKE} == {20}
    assert installation_name("pgjobs") == "pgjobs"


def test_the_functions_in_sql_name_the_same_channel(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        for schema in ("pgjobs", *ALIKE[:2]):
            if schema != "pgjobs":
                migrate.upgrade(database_url, schema=schema)
            for queue in ("mail", "küche", "台所"):
                channel = doorbell_channel(queue, schema)
                assert scalar(conn, f"SELECT {schema}.doorbell_channel(%s)", [queue]) == channel
                assert channels_rung(conn, schema, queue) == [channel]


def test_a_worker_that_reconnects_leaves_those_of_another_installation_alone(database_url: str) -> None:
    configure(schema=ALIKE[0])
    with psycopg.connect(database_url, application_name=application_name(1, "claim"), autocommit=True) as theirs:
        configure(schema=ALIKE[1])
        with psycopg.connect(database_url, autocommit=True) as own:
            terminate_backends(own, [1])
        theirs.execute("SELECT 1")
        configure(schema=ALIKE[0])
        with psycopg.connect(database_url, autocommit=True) as own:
            terminate_backends(own, [1])
        with pytest.raises(psycopg.OperationalError):
            theirs.execute("SELECT 1")


def test_every_connection_of_ours_is_named_after_the_installation() -> None:
    given = []
    for file in Path(pgjobs.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        for keyword in nodes:
            if isinstance(keyword, ast.keyword) and keyword.arg == PARAMETER:
                value = ast.unparse(keyword.value)
                assigned = [each.value for each in nodes if isinstance(each, ast.Assign) and names_it(each, value)]
                given += [ast.unparse(each) for each in assigned] or [value]
    named = ("connection_name(", "application_name(")  # the latter is made of the former
    assert {each for each in given if not each.startswith(named)} == {PARAMETER}  # passed on, as it was given
    assert len(given) > 8
