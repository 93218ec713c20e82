"""`meta=`: a small JSON object that travels with a job, and is signed with it."""

from __future__ import annotations

import json
import sys
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgjobs import EnqueueError, Unique, UsageError, configure, current_job, enqueue, enqueue_many, job
from pgjobs.admin import list_jobs, set_jobs, show_job
from pgjobs.jobs.job import options_of
from pgjobs.jobs.meta import check_meta, meta_text
from pgjobs.payload.encoder import encoder_for
from pgjobs.payload.pickling import dump, load
from pgjobs.payload.signing import signed_fields, verify
from pgjobs.schedules.schedule import make
from pgjobs.schedules.stored_call import columns_of
from tests.support.rows import row_of
from tests.support.worker import drain, states


def told(n: int) -> None:
    """Print the meta of the current job, in one write: what threads print with several is mixed."""
    sys.stdout.write(f"told {n} {json.dumps(current_job().meta, sort_keys=True)}\n")
    sys.stdout.flush()


@job(meta={"team": "shop", "n": 1})
def tell(n: int = 0, payload: str = "") -> None:
    told(n)


@job
def tell_plain(n: int = 0) -> None:
    told(n)


@job(payload="json")
def tell_json(n: int = 0) -> None:
    told(n)


def test_options_merge_over_the_job() -> None:
    changed = tell.options(meta={"n": 2, "user": [7, None, {"a": "é"}]})

    assert changed.job_options.meta == {"team": "shop", "n": 2, "user": [7, None, {"a": "é"}]}
    assert tell.job_options.meta == {"team": "shop", "n": 1}
    assert tell.options(meta=None).job_options.meta is None
    assert tell_plain.job_options.meta is tell_plain.options(meta={}).job_options.meta is None
    loaded: Any = load(dump(changed.options(priority=1), (), {})).callable
    assert options_of(loaded).meta == tell.job_options.meta  # a row has its own


def test_meta_is_a_copy() -> None:
    mine: dict[str, Any] = {"a": [1]}
    options = tell_plain.options(meta=mine).job_options
    mine["a"].append(2)

    assert options.meta == {"a": [1]}


@pytest.mark.parametrize(
    "meta",
    [
        *[7, "a", [], [("a", 1)], {1: 2}, {"a": (1,)}, {"a": float("nan")}, {"a": b"x"}, {"a": object()}, {"a": "\0"}],
        *[{"a": "\ud800"}, {"a": "x" * 4090}, {"a": "é" * 2045}, {"a": [1e300] * 14}, {"a": [1e-300] * 14}],
    ],
    ids=lambda meta: "".join(filter(str.isalnum, repr(meta)[:9])),
)
def test_meta_that_the_column_cannot_hold_is_refused_before_anything_is_written(meta: Any) -> None:
    for give in (lambda: job(meta=meta), lambda: tell_plain.options(meta=meta), lambda: tell.options(meta=meta)):
        with pytest.raises(UsageError, match=r"^meta=") as caught:
            give()
        assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab é"\\', max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # nothing is written
@given(st.dictionaries(st.text("abc\n", max_size=3), JSON, min_size=1, max_size=3))
def test_meta_has_the_same_text_after_it_was_stored(conn: psycopg.Connection, meta: dict[str, Any]) -> None:
    try:
        checked = check_meta(meta)
    except UsageError:
        return
    row = conn.execute("SELECT %s::pgjobs.job_meta", [meta_text(checked)]).fetchone()
    assert row is not None
    assert meta_text(row[0]) == meta_text(checked)


def test_worker_shows_the_meta_to_its_job(database_url: str, conn: psycopg.Connection) -> None:
    configure(signing_keys=(b"k" * 32,))
    variants: list[Any] = [{}, {"limit": "x"}, {"unique": "x:{n}"}, {"executor": "process"}]
    expected, first = [], []
    for ten, options in zip(range(10, 50, 10), variants, strict=True):
        first.append(enqueue(conn, tell.options(**options, meta={"user": 7}), ten + 1).id)
        enqueue_many(conn, tell.options(**options, meta={"user": 8}), [(ten + 2,), (ten + 3,)])
        enqueue(conn, tell_plain.options(**options), ten + 4)
        expected += [
            f'told {ten + 1} {{"n": 1, "team": "shop", "user": 7}}',
            f'told {ten + 2} {{"n": 1, "team": "shop", "user": 8}}',
            f'told {ten + 3} {{"n": 1, "team": "shop", "user": 8}}',
            f"told {ten + 4} {{}}",
        ]
    output = drain(database_url, "-q", "default:2", env={"PGJOBS_SIGNING_KEY": (b"k" * 32).decode()})

    assert states(conn) == {"completed": 16}, output
    assert sorted(line for line in output.splitlines() if line.startswith("told")) == expected
    for number in first:
        assert show_job(conn, number).meta == row_of(conn, number)["meta"] == {"n": 1, "team": "shop", "user": 7}
    assert [each.meta for each in list_jobs(conn, limit=1)] == [None]


def test_meta_is_signed_only_where_there_is_one(database_url: str, conn: psycopg.Connection) -> None:
    configure(signing_keys=(b"key",))
    row = row_of(conn, enqueue(conn, tell.options(meta={"b": 1.0, "a": "é"})).id)
    plain = row_of(conn, enqueue(conn, tell_plain).id)

    verify([b"key"], row["signature"], signed_fields(row), row["payload"])
    verify([b"key"], plain["signature"], signed_fields(plain), plain["payload"])
    for changed in ({"a": "é", "b": 1}, {}, None):
        with pytest.raises(Exception, match="signature is wrong"):
            verify([b"key"], row["signature"], signed_fields(row, meta=changed), row["payload"])
    with pytest.raises(Exception, match="signature is wrong"):
        verify([b"key"], plain["signature"], signed_fields(plain, meta={"a": 1}), plain["payload"])
    assert set_jobs(conn, [row["id"]], queue="bulk").done == (row["id"],)
    moved = row_of(conn, row["id"])
    verify([b"key"], moved["signature"], signed_fields(moved), moved["payload"])


def test_replacing_a_job_replaces_its_meta(conn: psycopg.Connection) -> None:
    changed = tell.options(unique=Unique("x", on_conflict="replace"))
    first = enqueue(conn, changed).id
    assert enqueue(conn, changed.options(meta={"n": 5})).id == first

    assert row_of(conn, first)["meta"] == {"team": "shop", "n": 5}


def test_meta_is_not_part_of_a_unique_key() -> None:
    plain, with_meta = (encoder_for(tell.options(unique="x:{n}", meta=meta)) for meta in (None, {"a": 1}))

    assert plain.row_values((1,), {})["keys"] == with_meta.row_values((1,), {})["keys"] == ["x:1"]


@job(limit="tenant:{meta.tenant}", unique="x:{n}:{meta.user}", fair_by="{meta.tenant}")
def keyed(n: int) -> None: ...


def test_keys_take_values_of_the_meta(conn: psycopg.Connection) -> None:
    meta = {"tenant": "a{b}", "user": 7, "other": 1}
    row = row_of(conn, enqueue(conn, keyed.options(meta=meta), 3).id)
    key = conn.execute("SELECT key FROM pgjobs.unique_keys").fetchall()

    assert row["lane"].split("\x1f")[:2] == ["a{b}", "tenant:a{b}"]
    assert key == [("x:3:7",)]


@pytest.mark.parametrize("meta", [None, {"tenant": "a"}, {"tenant": [1], "user": 7}, {"tenant": "", "user": "x" * 99}])
def test_meta_that_a_key_lacks_or_cannot_hold_refuses_the_job(conn: psycopg.Connection, meta: Any) -> None:
    with pytest.raises(EnqueueError, match=r"keyed is refused: \w+="):
        enqueue(conn, keyed.options(meta=meta), 3)
    assert states(conn) == {}


@pytest.mark.parametrize("key", ["{meta.}", "{meta.a.b}", "{meta.a!r}", "{other.a}", "{meta[a]}", "{meta.a b}"])
def test_keys_take_nothing_else_of_the_meta(key: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        tell.options(limit=key)


def test_jobs_are_listed_by_their_meta(conn: psycopg.Connection) -> None:
    metas: list[Any] = [{"user": 7, "on": True}, {"user": "7"}, {"user": 8}, {"user": {"id": 7}}, None]
    ids = [enqueue(conn, tell_plain.options(meta=meta)).id for meta in metas]

    def listed(**meta: Any) -> list[int]:
        return [ids.index(each.id) for each in list_jobs(conn, meta=meta)]

    assert listed(user=7) == [0]
    assert listed(user="7") == [1, 0]
    assert listed(user="7", on="true") == listed(on=True) == [0]
    assert listed(user=True) == listed(on=1) == listed(none=None) == listed(user="x") == []
    assert listed(user='{"id":7.0}') == listed(user={"id": 7}) == [3]
    assert listed() == [4, 3, 2, 1, 0]


def test_schedule_keeps_the_meta() -> None:
    made = make("* * * * *", tell.options(meta={"a": 1.0}), name="with meta")

    assert made.columns.meta == '{"a":1,"n":1,"team":"shop"}'
    own = make("* * * * *", tell.options(meta={"a": 1.0}), name="with meta", meta={"n": 2, "b": []})
    assert own.columns.meta == '{"a":1,"b":[],"n":2,"team":"shop"}'
    assert make("* * * * *", keyed, (3,), meta={"tenant": "a", "user": 7}).options.count("tenant:a") == 1
    assert make("* * * * *", len, ("",), meta={"a": 1}).columns.meta == '{"a":1}'
    with pytest.raises(UsageError, match="too large"):
        make("* * * * *", tell.options(meta={"a": "x" * 2500}), meta={"b": "x" * 2500})
    assert columns_of({"columns": json.loads(made.row_values()["columns"])}).meta == made.columns.meta


def test_sql_enqueue_takes_meta(conn: psycopg.Connection, database_url: str) -> None:
    for number, more in enumerate(("", ", sequence => 's'")):
        call = f"pgjobs.enqueue('{__name__}:tell_json', '[{number}]', meta => '{{\"a\": {number}}}'{more})"
        conn.execute(f"SELECT {call}".encode())
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="meta is not an object"):
        conn.execute("SELECT pgjobs.enqueue('a:b', meta => '[1]')")
    output = drain(database_url, "-q", "default:1")

    assert {'told 0 {"a": 0}', 'told 1 {"a": 1}'} <= set(output.splitlines()), output
