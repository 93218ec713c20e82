"""What others do to the table of jobs is said: triggers that keep rows out, and ids that are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pgjobs import Limit, Unique, enqueue, enqueue_many
from pgjobs.core.errors import EnqueueError
from tests.support import functions

if TYPE_CHECKING:
    from collections.abc import Callable

add = functions.add
WAYS = {
    "plain": add,
    "in a lane": add.options(limit=Limit("a")),
    "unique": add.options(unique=Unique("{left}")),
    "expires": add.options(expires=60),
}


@pytest.fixture
def picky(conn: psycopg.Connection) -> psycopg.Connection:
    """A connection to a database where the application's own trigger lets no job in whose summary ends in 1)."""
    conn.execute(
        "CREATE FUNCTION public.mute() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN CASE WHEN NEW.summary LIKE '%1)' THEN NULL ELSE NEW END; END $$;"
        "CREATE TRIGGER mute BEFORE INSERT ON pgjobs.jobs FOR EACH ROW EXECUTE FUNCTION public.mute()"
    )
    return conn


@pytest.mark.parametrize("way", WAYS)
def test_a_job_that_a_trigger_keeps_out_is_an_error_of_its_own(picky: psycopg.Connection, way: str) -> None:
    job: Callable[..., object] = WAYS[way].options(summary=True)
    for _ in range(3):  # the third time it is a prepared statement
        with pytest.raises(EnqueueError, match="trigger"), picky.transaction():
            enqueue(picky, job, 1)
        assert enqueue(picky, job, 2).id
    with pytest.raises(EnqueueError, match="trigger"), picky.transaction():
        enqueue_many(picky, job, [(0,), (1,), (3,)])
    found = picky.execute("SELECT count(*) FROM pgjobs.jobs WHERE summary LIKE '%0)' OR summary LIKE '%3)'").fetchone()
    assert found == (0,)


def test_sql_and_sqlalchemy_say_it_too(picky: psycopg.Connection, database_url: str) -> None:
    with pytest.raises(psycopg.errors.TriggeredActionException, match="kept a job out"):
        picky.execute("SELECT pgjobs.enqueue('shop.tasks:send', '[1, 1]', queue => 'mail')")
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session, pytest.raises(EnqueueError, match="trigger"):
        enqueue(session, add.options(summary=True), 1)
    engine.dispose()


def test_an_id_that_is_in_use_is_said_to_be_the_fault_of_the_sequence(conn: psycopg.Connection) -> None:
    enqueue(conn, add, 1)
    conn.execute("ALTER SEQUENCE pgjobs.jobs_id_seq RESTART")
    with pytest.raises(EnqueueError, match="sequence of ids is behind"):
        enqueue(conn, add, 1)
