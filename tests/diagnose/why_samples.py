"""A snapshot for each reason for which a job may not run, and the table of docs/why.md that is made of them.

python -m tests.diagnose.why_samples        writes it there
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pgjobs.diagnose.rows import Holder, WorkerSnapshot
from pgjobs.diagnose.why.decide import decide
from pgjobs.diagnose.why.snapshot import (
    AwaitedSnapshot,
    BreakerSnapshot,
    JobSnapshot,
    LimitSnapshot,
    NeedSnapshot,
    PauseSnapshot,
    QueueSnapshot,
    SequenceSnapshot,
    Snapshot,
    StageSnapshot,
    StepSnapshot,
    WaitSnapshot,
)
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "why.md"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
JOB = JobSnapshot(42, "queued", "mail", 5, "shop.tasks:send_receipt", 0, 5, NOW - timedelta(seconds=1))
WORKER = WorkerSnapshot(7, "web1", 4711, 1.0, {"mail": 2}, rescue_after=30.0)
OTHER = WorkerSnapshot(8, "web2", 4712, 1.0, {"default": 4}, rescue_after=30.0)
NOT_THERE = (
    "PayloadError: the payload cannot be loaded: ModuleNotFoundError: No module named 'shop'. Is the code of this job "
    "installed where the worker runs, and at the same version?"
)
SESSION = Holder("session", "psql", 815, "idle in transaction", 7200.0, 250_000)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def seen(job: dict[str, Any] | None = None, **parts: Any) -> Snapshot:
    """A queued job, with one worker that has free slots, changed by what is given."""
    values: dict[str, Any] = {"job": replace(JOB, **(job or {})), "last_id": 100, "queue": QueueSnapshot("mail")}
    return Snapshot(**{"id": 42, "now": NOW, "workers": (WORKER, OTHER), **values, **parts})


RUNS = {"status": "running", "worker_id": 7, "started_at": ago(12), "attempt": 1}
WAITS = {"status": "waiting", "lane": "acme\x1fapi:acme\x1faccount:1\x1fstripe"}
SAMPLES = {
    "never": replace(seen(), job=None, id=142),
    "uncommitted": replace(seen(), job=None, writers=(Holder("session", "web", 815, "idle in transaction", 12.0),)),
    "gone": replace(seen(), job=None),
    "completed": seen({"status": "completed", "finished_at": ago(90)}),
    "failed": seen(
        {"status": "failed", "finished_at": ago(90), "attempt": 5, "error": "ValueError: no"}, died_at=ago(90)
    ),
    "cancelled": seen({"status": "cancelled", "finished_at": ago(90), "error": "cancelled by an operator"}),
    "orphaned": seen({**RUNS, "worker_id": 3}),
    "silent": seen(RUNS, workers=(replace(WORKER, silent_for=21.0), OTHER)),
    "awaits": seen(RUNS, running=2, awaited=AwaitedSnapshot(43, (42,))),
    "running": seen({**RUNS, "timeout": 30.0}),
    "expired": seen({"expires_at": ago(60)}),
    "cannot_import": seen(
        {
            "attempt": 1,
            "run_at": NOW + timedelta(seconds=8),
            "error": NOT_THERE,
            "error_kind": "module_missing",
            "last_error": {"worker": 7, "host": "web1"},
        }
    ),
    "retried": seen({"attempt": 2, "run_at": NOW + timedelta(seconds=8), "error": "ValueError: no"}),
    "later": seen({"run_at": NOW + timedelta(hours=3)}),
    "needs": seen(
        {**WAITS, "held": "needs", "needs": 2},
        needs=(NeedSnapshot(40, "running"), NeedSnapshot(41, "failed", letter=True)),
    ),
    "step_needs": seen(
        {**WAITS, "held": "needs", "needs": 3},
        needs=(
            NeedSnapshot(41, "failed", letter=True, step="fetch[17]"),
            NeedSnapshot(42, "running", step="fetch[18]"),
        ),
        step=StepSnapshot(7, "import", "add_up", needed=200),
    ),
    "signal": seen({"run_at": NOW + timedelta(hours=3)}, wait=WaitSnapshot("approved", NOW + timedelta(hours=3))),
    "asleep": seen({"run_at": NOW + timedelta(hours=3)}, wait=WaitSnapshot(None, NOW + timedelta(hours=3))),
    "workflow_paused": seen({**WAITS, "held": "workflow"}, step=StepSnapshot(7, "import", "add_up", paused=True)),
    "pipeline_paused": seen(WAITS, stage=StageSnapshot("index", "parse", paused=True, at_most=10_000, next="embed")),
    "everything_paused": seen(everything_pause=PauseSnapshot(paused_at=ago(600))),
    "queue_paused": seen(queue=QueueSnapshot("mail", paused=True, paused_at=ago(600))),
    "task_paused": seen({**WAITS, "held": "task"}, task_pause=PauseSnapshot("shop.tasks:*", ago(600))),
    "no_worker": seen(workers=(OTHER,)),
    "workers_silent": seen(workers=(replace(WORKER, silent_for=21.0), OTHER)),
    "sequence_ending": seen({**WAITS, "sequence": "account:1"}, sequence=SequenceSnapshot(ending=38)),
    "sequence_blocked": seen({**WAITS, "sequence": "account:1"}, sequence=SequenceSnapshot(dead=38)),
    "sequence": seen(
        {**WAITS, "sequence": "account:1"}, sequence=SequenceSnapshot(before=3, head={"id": 39, "held": None})
    ),
    "no_room": seen(WAITS, stage=StageSnapshot("index", "embed", at_most=10_000, next="store", room=0, waiting=9_996)),
    "breaker_open": seen(WAITS, breaker=BreakerSnapshot("stripe", "open", NOW + timedelta(seconds=40))),
    "breaker_half_open": seen(
        WAITS, breaker=BreakerSnapshot("stripe", "half_open", ago(1), probes=2, probing=(39, 40))
    ),
    "limit": seen(
        {**WAITS, "limit_key": "api:acme"}, key_limit=LimitSnapshot("api:*", concurrency=2, holders=(38, 39))
    ),
    "rate": seen(
        {**WAITS, "limit_key": "api:acme"},
        key_limit=LimitSnapshot("api:*", rate=100.0, period=60.0, tokens=0.6),
    ),
    "queue_limit": seen(queue_limit=LimitSnapshot("mail", concurrency=2, holders=(38, 39))),
    "queue_rate": seen(queue_limit=LimitSnapshot("mail", rate=10.0, period=1.0, tokens=0.0)),
    "key_locked": seen(
        {**WAITS, "limit_key": "api:acme"},
        key_locks=(Holder("session", "psql", 815, "idle in transaction", 12.0, key_kind="limit", key="api:acme"),),
    ),
    "snapshot_held": seen({"run_at": ago(20)}, snapshots=(SESSION,), dead_rows=1_200_000),
    "not_claiming": seen({"run_at": ago(20)}),
    "awaited": seen(running=2, running_ids=(38, 39), awaited=AwaitedSnapshot(42, (38, 39))),
    "turn": seen(WAITS, turn_before=12, turn_lanes=3),
    "batch": seen(
        {"status": "waiting", "lane": "\x1f\x1f\x1f\x1f100:500::shop.tasks:index:"}, batch_jobs=3, batch_waited=0.1
    ),
    "behind": seen(ahead=1_200, rate=20.0, running=2),
    "busy": seen(running=2, running_ids=(38, 39)),
    "next": seen(),
}


def page() -> str:
    """Return docs/why.md with this table in it."""
    text = PAGE.read_text()
    head, begin, rest = text.partition("| reason |")
    assert begin
    return head + table() + rest[rest.index("\n\n") + 1 :]


def table() -> str:
    """Return the table of all reasons: the sentence that is said of the sample, and the next step."""
    lines = ["| reason | sentence | next step |", "| --- | --- | --- |"]
    for sample in SAMPLES.values():
        why = decide(sample)
        lines.append(f"| `{why.reason}` | {why.sentence} | {why.next_step} |")
    return "\n".join(lines).replace("*", "\\*") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
