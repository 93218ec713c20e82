"""The auditor of a long run, which forgets what it has audited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import enqueue
from tests.system.chaos.auditor import Line
from tests.system.soak import slices, tasks
from tests.system.soak.effects import Effects
from tests.system.soak.slices import Row, Slices, Window, judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg


def lines_of(job: int, *kinds: str) -> list[Line]:
    return [Line(kind, job, 1, 1, 7, float(at)) for at, kind in enumerate(kinds)]


WELL = ("start", "ok")
BADLY = ("start", "fail")


@pytest.mark.parametrize(
    ("row", "kinds", "count"),
    [
        (Row(1, "quick", 1, "completed", True, False), WELL, "completed"),
        (Row(1, "ping", 0, None, True, False), WELL, "forgotten"),
        (Row(1, "ping", 1, "completed", True, False), WELL, "completed"),
        (Row(1, "always_fails", 1, "failed", True, True), BADLY, "failed"),
    ],
    ids=["completed", "forgotten", "kept", "failed"],
)
def test_what_ended_as_it_should_is_counted_and_closed(row: Row, kinds: tuple[str, ...], count: str) -> None:
    window = Window()
    window.add(lines_of(1, *kinds))
    counts, closed = judge([row], window)
    assert +counts == {"jobs": 1, count: 1, "runs": 1}
    assert closed == [1]
    assert window.lines == {}


@pytest.mark.parametrize(
    ("row", "kinds", "wrong"),
    [
        (Row(1, "quick", 0, None, True, False), WELL, {"lost"}),
        (Row(1, "ping", 0, None, True, False), ("start",), {"lost"}),
        (Row(1, "quick", 1, "completed", True, False), ("start",), {"lost"}),
        (Row(1, "quick", 1, "failed", True, True), BADLY, {"wrong_end"}),
        (Row(1, "quick", 1, "cancelled", True, False), (), {"wrong_end"}),
        (Row(1, "always_fails", 1, "completed", True, False), WELL, {"wrong_end"}),
        (Row(1, "always_fails", 1, "failed", True, False), BADLY, {"undocumented"}),
        (Row(1, "quick", 1, "completed", True, True), WELL, {"undocumented"}),
        (Row(1, "quick", 2, "completed", True, False), WELL, {"doubled"}),
    ],
    ids=[
        "no row",
        "forgotten before its end",
        "completed before its end",
        "failed",
        "cancelled",
        "completed",
        "without a letter",
        "letter of a completed job",
        "two rows",
    ],
)
def test_what_ended_otherwise_is_wrong(row: Row, kinds: tuple[str, ...], wrong: set[str]) -> None:
    window = Window()
    window.add(lines_of(1, *kinds))
    counts, _ = judge([row], window)
    assert {name for name in slices.NEVER if counts[name]} == wrong


@pytest.mark.parametrize(
    "row",
    [Row(1, "quick", 1, "running", True, False), Row(1, "quick", 1, "completed", False, False)],
    ids=["running", "ended just now"],
)
def test_what_has_not_settled_stays_open_with_its_lines(row: Row) -> None:
    window = Window()
    window.add(lines_of(1, *WELL))
    counts, closed = judge([row], window)
    assert (dict(+counts), closed) == ({}, [])
    assert set(window.lines) == {1}


def test_runs_are_counted_in_the_slice_that_closes_their_job() -> None:
    window = Window()
    window.add(lines_of(1, "start", "ok", "start", "ok"))
    window.add(lines_of(2, "start"))
    rows = [Row(1, "quick", 1, "completed", True, False), Row(2, "quick", 1, "running", True, False)]
    counts, _ = judge(rows, window)
    assert (counts["runs"], counts["repeated"], counts["same_claim"]) == (2, 1, 1)


def test_lines_are_read_once_and_their_file_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "effects"
    effects = Effects(path)
    assert effects.read() == []
    found = []
    for number in range(3):
        path.write_text(f"start {number} 1 1 7 1.0\n")
        found += effects.read()
        assert not path.exists()
    with (tmp_path / "effects.old").open("a") as straggler:
        straggler.write("ok 2 1 1 7 2.0\n")
    found += effects.read()
    assert [(line.kind, line.job) for line in found] == [("start", 0), ("start", 1), ("start", 2), ("ok", 2)]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def ledger(conn: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    conn.execute("CREATE TABLE ledger (job bigint PRIMARY KEY, kind text NOT NULL)")
    conn.execute(slices.TABLE)
    yield conn
    conn.execute("DROP TABLE ledger, audited")


def finish(conn: psycopg.Connection[Any], path: Path, kind: str = "probe") -> int:
    """Put a job into the ledger, the tables and the file, as if it had run."""
    job = enqueue(conn, tasks.probe).id
    conn.execute("INSERT INTO ledger VALUES (%s, %s)", [job, kind])
    conn.execute("UPDATE pgjobs.jobs SET status = 'completed', finished_at = now() WHERE id = %s", [job])
    with path.open("a") as file:
        file.writelines(f"{kind} {job} 1 1 7 1.0\n" for kind in WELL)
    return job


def test_a_job_is_audited_once_and_may_go_afterwards(ledger: psycopg.Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / "effects"
    job = finish(ledger, path)
    promised = {job: "probe"}
    found = Slices(Effects(path), promised)
    found.look(ledger, 60.0)
    assert found.counts["jobs"] == 0
    found.look(ledger, 0.0)
    ledger.execute("DELETE FROM pgjobs.jobs")
    found.look(ledger, 0.0)
    found.finish(ledger)
    assert +found.counts == {"jobs": 1, "completed": 1, "runs": 1}
    assert (promised, found.window.lines) == ({}, {})


def test_what_went_before_it_was_audited_is_lost(ledger: psycopg.Connection[Any], tmp_path: Path) -> None:
    finish(ledger, tmp_path / "effects")
    ledger.execute("DELETE FROM pgjobs.jobs")
    found = Slices(Effects(tmp_path / "effects"), {})
    found.look(ledger, 60.0)
    assert found.counts["lost"] == 1


def test_what_is_in_one_place_only_is_wrong(ledger: psycopg.Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / "effects"
    enqueue(ledger, tasks.probe)  # not in the ledger: a ghost
    path.write_text("start 4711 1 1 7 1.0\n")  # ran, and never was
    open_job = enqueue(ledger, tasks.probe).id
    ledger.execute("INSERT INTO ledger VALUES (%s, 'probe')", [open_job])  # never ends
    found = Slices(Effects(path), {4712: "probe"})  # promised, and not there
    found.look(ledger, 0.0)
    found.finish(ledger)
    wrong = {name: found.counts[name] for name in slices.NEVER if found.counts[name]}
    assert wrong == {"ghosts": 1, "ghost_runs": 1, "stuck": 1, "broken_promises": 1}


def test_a_run_that_ends_after_its_job_was_audited_is_late(ledger: psycopg.Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / "effects"
    job = finish(ledger, path)
    found = Slices(Effects(path), {})
    found.look(ledger, 0.0)
    path.write_text(f"ok {job} 1 1 7 1.0\n")
    found.look(ledger, 1.0)
    assert (found.counts["late"], found.counts["ghost_runs"]) == (1, 0)
