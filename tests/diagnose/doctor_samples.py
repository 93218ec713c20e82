"""An installation for each thing that can be wrong with one, and the table of docs/doctor.md that is made of them.

python -m tests.diagnose.doctor_samples        writes it there
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pgjobs.db.stuck_jobs import StuckJob
from pgjobs.diagnose.doctor import Installation, examine
from pgjobs.diagnose.doctor.installation import AwaitedJob, DetachedDay, DueJob, QueueState, TableState
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.rows import Holder, WorkerSnapshot
from pgjobs.diagnose.why.decide import decide
from tests.diagnose import why_samples
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "doctor.md"
DAY = 86400.0
SETTINGS = {
    "autovacuum": "on",
    "track_counts": "on",
    "track_activities": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "default_transaction_read_only": "off",
    "max_connections": "100",
}
WORKER = WorkerSnapshot(7, "web1", 4711, 1.0, {"mail": 2}, version="0.1.0", rescue_after=30.0, pooled=False, signs=True)
WELL = Installation(
    version="0.1.0",
    revision="0005",
    expected="0005",
    server_version=180000,
    settings=SETTINGS,
    workers=(WORKER,),
    has_key=True,
    queues=(QueueState("mail", due=(DueJob(42, 1.0),)),),
    retention_age=60.0,
    tables=(TableState("jobs_live", live=1000, dead=900),),
    breakers=({"name": "stripe", "used": True, "open_forever": False, "old": True},),
    schedules=({"name": "report", "error": None, "late": -60.0, "paused_for": None, "retired_for": None},),
)


def but(**changes: Any) -> Installation:
    """An installation with nothing wrong with it, but for what is given."""
    return replace(WELL, **changes)


def setting(name: str, value: str) -> Installation:
    return but(settings={**SETTINGS, name: value})


def schedule(**changes: Any) -> Installation:
    return but(schedules=({**WELL.schedules[0], **changes},))


SAMPLES = {
    "schema": but(revision="0001"),
    "server_version": but(server_version=130012),
    "read_only": but(replica=True),
    "wraparound": but(frozen_age=1_500_000_000),
    "autovacuum": setting("autovacuum", "off"),
    "autovacuum_of_table": but(tables=(TableState("jobs_live", off=True),)),
    "unsigned_jobs": but(unsigned=3),
    "fsync": setting("fsync", "off"),
    "full_page_writes": setting("full_page_writes", "off"),
    "synchronous_commit": setting("synchronous_commit", "off"),
    "read_only_default": setting("default_transaction_read_only", "on"),
    "connections": but(connections=95),
    "held_snapshot": but(snapshots=(Holder("session", "psql", 815, "idle in transaction", 7200.0, 250_000),)),
    "dead_rows": but(tables=(TableState("jobs_live", live=1000, dead=1_200_000, vacuumed=7200.0),)),
    "missing_days": but(missing_days=("2026-11-23",)),
    "detached_days": but(detached=(DetachedDay("jobs_history_20261122", coming=True),)),
    "retention": but(retention_age=3 * DAY),
    "clock": but(clock_ahead=-30.0, clock_error=0.1),
    "clock_back": but(workers=(replace(WORKER, silent_for=-3600.0),)),
    "silent_workers": but(workers=(WORKER, replace(WORKER, id=8, silent_for=21.0))),
    "orphans": but(orphans=2, orphan_workers=(3,)),
    "no_worker": but(queues=(QueueState("vip", due=(DueJob(42, 600.0),)),)),
    "slow_broadcast": but(
        broadcasts=(
            {"id": 7, "task": "shop:reload", "host": "web1", "worker": 7, "pid": 4711, "seconds": 1800.0, "behind": 2},
        )
    ),
    "awaited": but(awaited=(AwaitedJob("mail", 43, (42,), running=2),)),
    "everything_paused": but(paused_for=600.0),
    "open_breaker": but(breakers=({"name": "stripe", "used": True, "open_forever": True},)),
    "schedule_error": schedule(error="no module named shop"),
    "late_schedule": schedule(late=600.0),
    "waits_for_dead": but(stuck=(StuckJob(42, "mail", 40, "dead"),)),
    "unsatisfiable": but(stuck=(StuckJob(42, "mail", 40, "gone"), StuckJob(43, "mail", 41, "cancelled"))),
    "stuck_workflows": but(workflows=({"id": 7, "name": "import", "steps": 202, "completed": 199, "failed": 1},)),
    "pipeline_jams": but(jams=({"pipeline": "index", "stage": "store", "waiting": 10_000, "dead": 1},)),
    "dead_letters": but(died=41, died_task="shop.tasks:thumb", died_error="ValueError: no image", died_ago=60.0),
    "stuck_fan_ins": but(fan_ins=(42, 43)),
    "lost_connections": but(lost_died=2, lost_retried=9, lost_error="OperationalError: the connection is closed"),
    "mixed_keys": but(workers=(WORKER, replace(WORKER, id=8, signs=False))),
    "unchecked_signatures": but(workers=(replace(WORKER, signs=False),)),
    "paused_queue": but(queues=(QueueState("mail", paused=True, paused_for=2 * DAY),)),
    "latency": but(queues=(QueueState("mail", due=(DueJob(42, 600.0),)),)),
    "sla": but(queues=(QueueState("mail", due=(DueJob(42, 40.0),), sla=30.0),)),
    "held_up": but(queues=(QueueState("mail", due=(DueJob(42, 600.0, decide(why_samples.SAMPLES["limit"])),)),)),
    "paused_task": but(paused_tasks=({"task": "shop.tasks:send", "seconds": 2 * DAY},)),
    "paused_schedule": schedule(paused_for=2 * DAY, late=DAY),
    "retired_schedules": schedule(retired_for=40 * DAY),
    "track_activities": setting("track_activities", "off"),
    "pooler": but(workers=(replace(WORKER, pooled=True),)),
    "worker_clock": but(workers=(replace(WORKER, clock_ahead=-30.0),)),
    "versions": but(workers=(replace(WORKER, version="0.0.9"),)),
    "history_default": but(in_default=12),
    "ids_behind": but(id_ahead=4711),
    "foreign_triggers": but(foreign_triggers=("audit on jobs",)),
    "foreign_keys": but(foreign_keys=("orders to jobs_live",)),
    "unlogged": but(unlogged=("jobs_live",)),
    "row_security": but(row_security=("jobs_live",)),
    "no_replica_identity": but(without_identity=("retention",)),
    "notify_queue": but(notify_usage=0.6),
    "no_doorbell": but(bell_is_there=False),
    "unused_limits": but(unused_limits=("api:*", "partner:7")),
    "unused_tenants": but(unused_tenants=("acme",)),
    "unused_breakers": but(breakers=({"name": "stripe", "used": False, "open_forever": False, "old": True},)),
    "no_key": but(has_key=False, workers=(replace(WORKER, signs=False),)),
    "not_counted": but(counted=False),
}


def finding_of(name: str) -> Finding:
    """Return what is found in the sample, which is one thing alone."""
    (finding,) = examine(SAMPLES[name]).findings
    return finding


def page() -> str:
    """Return docs/doctor.md with the table of all findings in it."""
    text = PAGE.read_text()
    head, begin, rest = text.partition("| finding |")
    assert begin
    return head + table() + rest[rest.index("\n\n") + 1 :]


def table() -> str:
    lines = ["| finding | level | sentence | what to do |", "| --- | --- | --- | --- |"]
    for name in SAMPLES:
        found = finding_of(name)
        lines.append(f"| `{found.name}` | {found.level} | {found.sentence} | {found.next_step} |")
    return "\n".join(lines).replace("*", "\\*") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
