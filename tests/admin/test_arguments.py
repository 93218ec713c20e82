"""The arguments of jobs in JSON: looked at, changed, signed again, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import admin
from pgjobs.core.config import configure
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.payload.signing import sign, signed_fields, verify
from tests.support.rows import put_dead, put_job, row_of

if TYPE_CHECKING:
    from psycopg import Connection

KEY = b"sesame"


def test_arguments_of_a_queued_job_are_changed_with_its_summary(conn: Connection) -> None:
    job = put_job(conn, task="shop.orders:charge", payload=b"[7]", summary="charge(7)")
    assert admin.show_arguments(conn, job) == [7]
    admin.set_arguments(conn, job, {"*": [8], "copy": True})
    row = row_of(conn, job)
    assert (bytes(row["payload"]), row["summary"]) == (b'{"*":[8],"copy":true}', "charge(8, copy=True)")
    assert admin.show_arguments(conn, job) == {"*": [8], "copy": True}


def test_what_a_summary_hides_stays_hidden(conn: Connection) -> None:
    job = put_job(conn, task="shop:login", payload=b'["x"]', summary="login(***)")
    admin.set_arguments(conn, job, ["sesame"])
    assert row_of(conn, job)["summary"] == "login(***)"


def test_a_signed_job_is_signed_again_with_its_key_alone(conn: Connection) -> None:
    job = put_dead(conn, task="shop:charge", payload=b"[7]")

    def row() -> dict[str, object]:
        found = conn.execute(
            "SELECT queue, task, executor, timeout, meta, payload, signature FROM pgjobs.dead_jobs WHERE id = %s", [job]
        ).fetchone()
        assert found is not None
        return dict(zip(("queue", "task", "executor", "timeout", "meta", "payload", "signature"), found, strict=True))

    signature = sign(KEY, signed_fields(row()), b"[7]")
    conn.execute("UPDATE pgjobs.dead_jobs SET signature = %s WHERE id = %s", [signature, job])
    with pytest.raises(UsageError, match=f"job {job} is signed: set PGJOBS_SIGNING_KEY here"):
        admin.set_arguments(conn, job, [8])
    configure(signing_keys=[b"other"])
    with pytest.raises(UsageError, match="has a signature that PGJOBS_SIGNING_KEY does not fit"):
        admin.set_arguments(conn, job, [8])
    configure(signing_keys=[KEY])
    admin.set_arguments(conn, job, [8])
    changed = row()
    verify([KEY], changed["signature"], signed_fields(changed), b"[8]")  # type: ignore[arg-type]


def test_other_payloads_and_other_jobs_are_refused(conn: Connection) -> None:
    for payload in (b"\x80\x05.", b'{"*event":{}}', b"\0step", b"{"):
        with pytest.raises(UsageError, match="cannot be"):
            admin.show_arguments(conn, put_job(conn, payload=payload))
    for gone in (put_job(conn, status="running", worker_id=7), put_job(conn, status="completed"), 99_999):
        with pytest.raises(NotFoundError, match="neither waiting to start nor a dead letter"):
            admin.set_arguments(conn, gone, [1])
    job = put_job(conn, payload=b"[7]")
    refused: tuple[Any, ...] = (
        *(7, {"*": 7}, {"*result": 7}, {"*event": {}}),
        *([object()], [float("nan")], ["x" * 2_000_000]),
    )
    for wrong in refused:
        with pytest.raises(UsageError, match="arguments"):
            admin.set_arguments(conn, job, wrong)
    assert bytes(row_of(conn, job)["payload"]) == b"[7]"
