"""Databases that are not in UTF-8: everything runs, and a text that one cannot hold loses no job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import psycopg
import pytest

from pgjobs import EnqueueError, UsageError, admin, enqueue, enqueue_many
from pgjobs.cli.main import main
from pgjobs.db import migrations as migrate
from pgjobs.db.connection import connect
from pgjobs.db.encoding import _CODECS, _NOT_CONVERTED, encoding_between
from pgjobs.db.statements import doorbell_channel
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_claims import LaneClaims
from pgjobs.worker.claim.lane_rotation import last_in_turn
from pgjobs.worker.local.local_queue import LocalQueue
from tests.support import tasks
from tests.support.doorbell import channels_rung
from tests.support.postgres import Server
from tests.support.worker import drain, scalar, states

pytestmark = pytest.mark.in_turns(3)

# A word that each has characters for; one of them has none of the text.
WORDS = {"LATIN1": "küche", "WIN1252": "küche€", "EUC_JP": "台所", "SQL_ASCII": "küche"}
TEXT = "5 € für 世界 😀 …"
LACKED = "😀"


@pytest.fixture(scope="module", params=WORDS)
def migrated(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str]]:
    """The URL of a migrated database, its encoding, and a word for it."""
    url = server.create(migrated=False, encoding=request.param)
    migrate.upgrade(url)
    yield url, request.param, WORDS[request.param]
    server.drop(url)


@pytest.fixture
def database(migrated: tuple[str, str, str]) -> tuple[str, str, str]:
    """The same, without what other tests have left."""
    with utf8(migrated[0]) as conn:
        conn.execute(
            "TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.dependencies, pgjobs.unique_keys, pgjobs.schedules,"
            " pgjobs.queues, pgjobs.limits, pgjobs.buckets, pgjobs.breakers, pgjobs.tenants, pgjobs.paused_tasks"
        )
    return migrated


def utf8(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, client_encoding="utf8")


def test_a_worker_runs_all_kinds_of_jobs_and_keeps_what_they_said(
    database: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, encoding, word = database
    monkeypatch.setenv("PGJOBS_DATABASE_URL", url)
    with utf8(url) as conn:
        for each in (
            tasks.nothing.options(queue=word, meta={word: [word, 1]}),
            tasks.nothing.options(queue=word, limit=f"t:{word}"),
            tasks.nothing.options(queue=word, sequence=word),
            tasks.nothing.options(queue=word, sequence="z" + word),
            tasks.nothing.options(queue=word, breaker=word),
            tasks.nothing.options(queue=word, expires=600, unique=word),
        ):
            enqueue(conn, each, TEXT)
        enqueue_many(conn, tasks.nothing.options(queue=word, limit=f"t:{word}"), [(TEXT,), (word,)])
        assert enqueue(conn, tasks.nothing.options(queue=word, unique=word, delay=60)).conflict
        failed = enqueue(conn, tasks.always_fail.options(queue=word, max_attempts=1), TEXT + "x" * 600).id
        retried = enqueue(conn, tasks.fail_until.options(queue=word), 2, TEXT).id
        cancelled = enqueue(conn, tasks.cancel, TEXT).id
        if encoding == "SQL_ASCII":  # what an application in LATIN1 would have written
            with psycopg.connect(url) as other:
                other.execute(
                    b"INSERT INTO pgjobs.jobs (queue, task, summary, meta, payload) "
                    b"SELECT queue, task, 'k\xfcche', '{\"name\": \"k\xfc\"}', payload FROM pgjobs.jobs_live "
                    b"WHERE task LIKE '%nothing' LIMIT 1"
                )
        log = drain(url, "-q", f"{word}:3", "-q", "default:1")
        assert "cannot be stored" not in log
        assert "PostgreSQL cannot be used" not in log
        assert states(conn, "status NOT IN ('completed')") == {"failed": 1, "cancelled": 1}
        assert scalar(conn, "SELECT pgjobs.doorbell_channel(%s)", [word]) == doorbell_channel(word)
        assert channels_rung(conn, "pgjobs", word) == [doorbell_channel(word)]
        letter = conn.execute("SELECT error, errors -> 0 ->> 'traceback' FROM pgjobs.dead_jobs").fetchone()
        assert letter is not None
    shown = encoding_between("UTF8", encoding).stored(TEXT)
    assert letter[0].startswith(f"ValueError: {shown[:12]}")
    assert "Traceback" in letter[1]
    # The second is what a plain psycopg connection has. PostgreSQL sends bytes that are not UTF-8 to no one in UTF-8.
    for client in {encoding} if encoding == "SQL_ASCII" else {"utf8", encoding}:
        with psycopg.connect(url, autocommit=True, client_encoding=client) as conn:
            jobs = {each.id: each for each in admin.list_jobs(conn, limit=100)}
            assert {each.queue for each in jobs.values()} == {word, "default"}
            assert jobs[min(jobs)].meta == {word: [word, 1]}
            assert shown[:12] in str(jobs[cancelled].error) + str(jobs[retried].error)
            assert shown[:12] in admin.why(conn, failed).sentence
            assert [each.queue for each in admin.list_dead(conn)] == [word]
    for command in (
        "status",
        "jobs list",
        f"jobs list -q {word}",
        f"jobs show {failed}",
        f"why {failed}",
        "dead list",
        "doctor",
    ):
        assert main(command.split()) == 0, capsys.readouterr().err
    assert word in capsys.readouterr().out


def test_a_worker_for_patterns_finds_queues_and_lanes_of_any_name_that_the_database_has(
    database: tuple[str, str, str],
) -> None:
    url, encoding, word = database
    with connect(url) as conn:
        conn.execute("TRUNCATE pgjobs.jobs, pgjobs.jobs_live, pgjobs.jobs_waiting")
        for each in (
            tasks.nothing.options(sequence="x"),
            tasks.nothing.options(limit="t:x"),
            tasks.nothing.options(breaker="x"),
        ):
            enqueue(conn, each.options(queue=f"p:{word}"))
        if encoding == "SQL_ASCII":  # bytes that are not UTF-8, as an application in LATIN1 would have written them
            word = "k\udcfcche"
        for name in ("sequence", "limit_key"):
            conn.execute(
                f"UPDATE pgjobs.jobs_waiting SET {name} = replace({name}, 'x', %(word)s),"
                f" lane = replace(lane, 'x', %(word)s) WHERE {name} IS NOT NULL",
                {"word": word},
            )
        assert "cannot" not in drain(url, "-q", "p:*:2")
        assert states(conn) == {"completed": 3}


def test_what_has_to_be_exact_and_cannot_be_held_is_refused(
    database: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, encoding, _ = database
    monkeypatch.setenv("PGJOBS_DATABASE_URL", url)
    lacked = "世" if encoding in ("LATIN1", "WIN1252") else LACKED
    jobs = [
        tasks.nothing.options(queue=lacked),
        tasks.nothing.options(meta={"name": lacked}),
        tasks.nothing.options(limit=lacked),
        tasks.nothing.options(unique=lacked),
    ]
    for client in ("utf8", encoding):
        with psycopg.connect(url, client_encoding=client) as conn:
            if (encoding, client) == ("EUC_JP", "utf8"):  # it is in PostgreSQL's EUC_JP, and not in Python's
                enqueue(conn, tasks.nothing.options(queue="①"))
            for each in jobs:
                if (encoding, client) == ("SQL_ASCII", "utf8"):
                    enqueue(conn, each)
                    continue
                with pytest.raises(EnqueueError, match="lacks") as caught:
                    enqueue(conn, each)
                assert "\n" not in str(caught.value)
                if encoding in ("LATIN1", "WIN1252"):
                    conn.execute("SELECT 1")  # nothing was sent: the transaction can be used
                conn.rollback()
            conn.rollback()
    if encoding != "SQL_ASCII":
        assert main(["work", "-q", lacked, "--drain"]) == 1
        assert encoding in capsys.readouterr().err


def test_what_operators_and_code_say_is_kept_in_characters_that_there_are(
    database: tuple[str, str, str], tmp_path: Path
) -> None:
    url, encoding, word = database
    shown = encoding_between("UTF8", encoding).stored(TEXT)
    with utf8(url) as conn:
        job = enqueue(conn, tasks.nothing.options(queue="later", delay=600)).id
        admin.cancel_jobs(conn, job, reason=TEXT)
        assert admin.show_job(conn, job).error == shown
        admin.open_breaker(conn, word, by=TEXT)
        assert admin.show_breaker(conn, word).changed_by == shown
        called = tasks.nothing.options(sequence=word, meta={word: [word]})
        admin.add_schedule(conn, "s", "0 3 1 1 *", called, (TEXT,), queue=word)
        admin.run_schedule(conn, "s")
        if encoding != "SQL_ASCII":
            with pytest.raises(UsageError, match=f"that {encoding} lacks"):
                admin.add_schedule(conn, "t", "0 3 1 1 *", tasks.nothing.options(sequence=LACKED))
        lacks = "😀" if encoding == "EUC_JP" else "世"
        (tmp_path / "lacking.py").write_text(
            "from pgjobs import Breaker, declare_limit\nfrom pgjobs.flow.breaker import declare\n"
            f"declare(Breaker({lacks!r}, cooldown=5))\ndeclare_limit({lacks!r}, concurrency=1)\n"
        )
        log = drain(url, "-q", f"{word}:1", "--import", "lacking", env={"PYTHONPATH": str(tmp_path)})
        assert "PostgreSQL cannot be used" not in log
        assert ("is not written: it has a character that the database lacks" in log) == (encoding != "SQL_ASCII")
        found = admin.list_jobs(conn, queue=word, limit=1)[0]
        assert (found.status, found.meta) == ("completed", {word: [word]})


def test_lanes_are_taken_in_the_order_of_the_database(database: tuple[str, str, str]) -> None:
    url, encoding, _ = database
    lanes = {"WIN1252": ["a", "é", "€", "ÿÿ"], "LATIN1": ["a", "é", "ÿÿ"]}.get(encoding, ["a", "亜", "、"])
    with connect(url) as conn:
        query = 'SELECT l FROM unnest(%s::text[]) AS l ORDER BY l COLLATE "C"'
        ordered = [row[0] for row in conn.execute(query, [lanes])]
        claims = LaneClaims("none", Intake(LocalQueue("none", 1, 0), SimpleQueue()), 1)
        claims.claim_rows(conn.cursor(), 1, 9, datetime.now(UTC))
        order = claims.rotation.order
        assert sorted(lanes, key=order) == ordered
        assert last_in_turn(ordered[1:], ordered[0], order) == ordered[-1]
        last = 'SELECT bool_and(l < pgjobs.end_of_lanes() COLLATE "C") FROM unnest(%s::text[]) AS l'
        assert scalar(conn, last, [lanes])


def test_python_and_postgresql_have_the_same_characters(conn: psycopg.Connection) -> None:
    for name, codec in _CODECS.items():
        if codec in ("euc_jp", "gb2312"):
            pairs = [bytes((a, b)) for a in range(0xA1, 0xFF) for b in range(0xA1, 0xFF)]
            found = [*pairs, *(b"\x8f" + pair for pair in pairs)] if codec == "euc_jp" else pairs
        else:
            found = [bytes((byte,)) for byte in range(0x80, 0x100)]
        text = "".join(each.decode(codec, "ignore") for each in found)
        text = "".join(each for each in dict.fromkeys(text) if each not in _NOT_CONVERTED.get(name, ""))
        converted = scalar(conn, "SELECT convert_to(%s, %s::name)", [text, name])
        # Some characters that look alike are one in PostgreSQL's EUC_JP.
        assert converted == text.encode(codec) or (name == "EUC_JP" and len(converted) > len(text)), name
