"""Which statements are hot, and the plan that each must have; which are not, and why.

Hot is what a running worker repeats, and what is done for every job: its cost must not grow with what lies around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pgjobs.jobs.options import JobOptions
from pgjobs.payload.encoder import columns_for

BATCH = 100
"""Rows that a hot statement is tried with."""

LIVE = frozenset({"jobs_live_pkey"})
DUE = frozenset({"jobs_live_due"})
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Hot:
    """A hot statement: its parameters beside those that depend on the table's state, and the plan's shape."""

    indexes: frozenset[str]
    """All indexes that it reads, no more and no fewer."""
    conditions: tuple[str, ...] = ()
    """What must narrow the index scan, in EXPLAIN's words: what is left to a filter is read in vain."""
    parameters: dict[str, Any] = field(default_factory=dict)
    connection: str = "hot"
    """The connection it runs on: `hot` (connect_hot), `heart` (connect), `caller` (an application's own connection)."""
    rows: int = BATCH
    """The number of rows that it returns or writes, where the table is not empty."""
    returned: int | None = None
    """How many rows come back, if not all of those."""
    pinned: bool = True
    """Whether its plan is held too; else it may read a small table as it lies."""


_ERRORS = {
    "errors": ["ValueError: no"] * BATCH,
    "kinds": ["exception"] * BATCH,
    "tracebacks": [None] * BATCH,
    "host": "h",
}
_RESULTS = {
    "seconds": [60.0] * BATCH,
    "is_json": [True] * BATCH,
    "signatures": [b"s"] * BATCH,
    "results": [b"1"] * BATCH,
}
BY_ID = ("id = ANY", "a.id")
BY_IDS = ("id = ANY",)
_ONE_JOB = columns_for(JobOptions(), "shop:sell")._asdict()

_ONE = {**_ONE_JOB, "summary": "sell()", "signature": None, "payload": b"x"}
_MANY = {"summaries": ["sell()"] * BATCH, "signatures": [None] * BATCH, "payloads": [b"x"] * BATCH}
_CONTROLLED = {"on_failure": "block", "expires_at": None, "expires_after": 60.0}
_LANE = "acme\x1ftenant:1\x1faccount:1\x1fstripe"

HOT: dict[str, Hot] = {
    "claim": Hot(
        DUE | {"queues_pkey", "switch_pkey", "workers_pkey"},
        (
            "queue = ",
            "priority = f.priority",
            "run_at <= LEAST(now(), f.until)",
            "ROW(run_at, id) >= ROW(f.run_at, f.id)",
        ),
        {"queue": "default", "demand": BATCH},
    ),
    "complete": Hot(LIVE, BY_IDS, returned=1),
    "complete_with_flow": Hot(LIVE, BY_IDS, {"awaited": False}),
    "complete_with_results": Hot(LIVE, BY_IDS, {**_RESULTS, "keep": True}),
    "retry": Hot(LIVE, BY_ID, {**_ERRORS, "delays": [1.0] * BATCH, "isolates": [False] * BATCH}),
    "fail": Hot(LIVE, BY_ID, _ERRORS),
    "snooze": Hot(LIVE, BY_ID, {"delays": [1.0] * BATCH, "began": [True] * BATCH}),
    "complete_without_history": Hot(LIVE, BY_IDS),
    "hand_back": Hot(LIVE, BY_ID, {"began": [False] * BATCH, "isolates": [False] * BATCH}),
    "park_task": Hot(LIVE | {"paused_tasks_pkey"}, BY_ID, {"tasks": ["shop:sell"] * BATCH}, rows=0, pinned=False),
    "cancel_requests": Hot(frozenset({"jobs_live_cancel"}), rows=0),  # once a second
    "cancel": Hot(LIVE, BY_ID, {"reasons": ["not needed"] * BATCH}),
    "next_due": Hot(DUE, ("queue = ", "run_at > now()"), {"queue": "default"}, rows=1),
    "enable_notify": Hot(frozenset({"queues_pkey"}), ("name = ",), {"queue": "default", "seconds": 1.0}, rows=0),
    "queues_without_history": Hot(
        frozenset({"queues_pkey"}), ("name = ",), {"queues": ["default"]}, rows=0
    ),  # once a second
    "ensure_queue": Hot(NOTHING, (), {"queue": "default"}, rows=0),
    # A page or two of workers, and the broadcasts that have not ended.
    "heartbeat": Hot(frozenset({"broadcast_runs_unfinished"}), connection="heart", rows=1, pinned=False),
    "enqueue": Hot(NOTHING, (), _ONE, connection="caller", rows=1),
    "enqueue_many": Hot(NOTHING, (), {**_ONE_JOB, **_MANY}, connection="caller"),
    "enqueue_in_lane": Hot(NOTHING, (), {**_ONE, **_CONTROLLED, "lane": _LANE, "cost": 2.0}, "caller", rows=1),
    "enqueue_many_in_lane": Hot(
        NOTHING,
        (),
        {**_ONE_JOB, **_MANY, **_CONTROLLED, "lanes": [_LANE] * BATCH, "costs": [2.0] * BATCH},
        connection="caller",
    ),
}

_ASKED = "somebody asks for it, once"
_START = "once, when a worker starts"
_RESCUE = "when a worker has died"
_DAILY = "retention: a little work now and then, by the first supervisor"
_TURNS = "where jobs wait for turns, or a queue has a limit: see worker/claim/test_lane_rotation.py"
_LOOK = "a listing for a person"
_BREAKER = "some times a second while jobs with breakers end: by the key of a table with a row for each breaker"
_FIRE = "when a schedule fires: reads the table of schedules"
_BEAT = "at the start of a supervisor that imports code with schedules, and every 20 s: reads both tables of schedules"

_STEP = "where steps of workflows end: by their ids, and their workflows' keys"
_WORKFLOW = "when a workflow is enqueued: only inserts"
_END = "once for many workflows, when nothing in them may run: by their keys, and the ids of their steps"

RARE: dict[str, str] = {
    **dict.fromkeys(
        ("count_steps", "hold_steps", "due_workflows", "may_grow", "lock_dependents", "wait_for_grown"), _STEP
    ),
    "top_snapshot": "once a second while `pgjobs top` runs, under a time limit: the first rows of indexes",
    **dict.fromkeys(
        (
            "jobs_of_test",
            "open_queues",
            "next_job_later",
            "shift_clock",
            "hold_tokens",
            "set_others_aside",
            "bring_others_back",
            "due_schedules",
        ),
        "in tests of applications alone, which have a few jobs",
    ),
    "read_metrics": "at a scrape, under a time limit: index look-ups and small tables",
    "sample_jobs": "at a scrape, and once a minute, under a time limit: a bounded number of pages",
    "sampled_pages": "at a scrape, and once a minute: reads no table",
    "finished_totals": "at a scrape, under a time limit: a row for each task of a queue",
    **dict.fromkeys(("results_of_steps", "needs_of_step"), "where a step takes results of others: by their node"),
    **dict.fromkeys(("add_workflow", "take_job_ids", "add_steps", "add_callback", "end_empty_workflow"), _WORKFLOW),
    **dict.fromkeys(
        (
            "lock_workflows",
            "try_lock_workflows",
            "examine_workflows",
            "write_workflows",
            "call_back",
            "forget_callbacks",
        ),
        _END,
    ),
    "tell_workflows": "where steps are cancelled in a transaction of a caller, or expire: by their ids",
    "how_ended": "after a worker of another version: by ids, in some days of history",
    "reopen_steps": "when jobs are retried by hand: by their ids",
    "stale_workflows": "once a minute for each supervisor: by an index of unfinished workflows",
    **dict.fromkeys(
        ("lock_workflow", "mark_cancelled", "mark_paused", "mark_resumed", "held_steps", "postpone_workflow"), _ASKED
    ),
    **dict.fromkeys(
        ("hold_queued_steps", "let_go_steps", "wait_again", "count_needs", "forget_steps", "all_steps"), _ASKED
    ),
    **dict.fromkeys(("list_workflows", "find_workflow", "show_workflow", "ended_steps", "workflow_nodes"), _LOOK),
    **dict.fromkeys(("purge_workflows", "purge_waits", "purge_signals"), _DAILY),
    **dict.fromkeys(("read_signal", "begin_wait", "end_wait"), "where a job waits for a signal: by primary keys"),
    "signal": "when a signal is sent: one row",
    "tell_waiting": "within a second of a signal: by an index of those alone",
    **dict.fromkeys(
        (
            "claim_waiting",
            "claim_batches",
            "pick_lanes",
            "rooms_of_stages",
            "lock_key",
            "add_key_locks",
            "count_earlier_jobs",
            "release_due_waiting",
            "expire_waiting",
            "check_queue",
            "oldest_in_lanes",
            "queue_capacity",
            "spend_queue_tokens",
        ),
        _TURNS,
    ),
    "find_ended": _ASKED,
    "pick_dead": _ASKED,
    "lock_holders": "when a migration has to wait for a lock",
    "advance_ids": "at the start of a supervisor, and every ten minutes: the ends of some indexes",
    "release_dependents": "the end of such a job: by its id",
    "complete_and_release": "the same, where it has completed: by ids, and see worker/acknowledge/test_release.py",
    "cancel_dependents": "the end of such a job: by its id",
    "end_sequences": "the end of a sequence, by the dead letter that ends it",
    "blocked_lanes": "a claim that has looked at many lanes in vain: the same walk",
    "new_lanes": "a claim, while lanes without room are left out: by the newest ids",
    "keys_with_room": "a claim, while lanes without room are left out: some limits and breakers",
    "complete_and_continue_sequences": "the end of a job of a sequence: by its id, and the first of its sequence",
    "complete_and_refill_limits": "the end of a job with a limit: by its id, and the first of its lane",
    "complete_within": "where jobs call complete(): by the primary key",
    "complete_within_with_result": "the same, and a row of results",
    "complete_batch_within": "the same, for a batch",
    "claims_left": "the same, once for each batch: by the primary key",
    "ended_otherwise": "the same, for those that failed after that: by id, in the newest days of history",
    "held_claims": "while a transaction of others has locked a job that has ended: by the primary key",
    "mark_awaited": "when a job waits for one of another transaction: by an index of those alone",
    "settle_dependencies": "when a job waits for one of another transaction: by an index of those alone",
    "return_to_waiting": "a controlled job that is to run again: by the primary key",
    "any_schedule": "once a heartbeat, where no schedule is known: reads the table of schedules",
    "next_schedule": "once a second, where there are schedules: reads the table of schedules",
    "lock_schedule": _FIRE,
    "advance_schedule": _FIRE,
    "schedule_is_busy": f"{_FIRE}, or a look-up of a job",
    "upsert_schedule": "when a declaration has changed",
    "lock_schedules": _BEAT,
    "lock_owners": _BEAT,
    "heartbeat_owner": _BEAT,
    "list_owners": _BEAT,
    "remove_owner": "when a supervisor ends",
    "purge_owners": _BEAT,
    "disable_undeclared_schedules": _BEAT,
    "purge_schedules": _BEAT,
    "list_schedules": _LOOK,
    "pause_schedule": _ASKED,
    "resume_schedule": _ASKED,
    "remove_schedule": _ASKED,
    "scheduled_call": _ASKED,
    "enqueue_after_checks": "a function, whose own statements are held by tests/enqueue/test_unique.py",
    "list_unique_keys": _DAILY,
    "purge_unique_keys": _DAILY,
    "purge_progress": _DAILY,
    "read_state": "where a job asks what it has left: by the primary key",
    "look_at_jobs": "some times a second of a process that follows jobs: by the keys of what is live and of progress",
    "purge_steps": _DAILY,
    "read_step": "where a job calls once(): by the primary key",
    "write_step": "the same",
    "read_step_within": "the same",
    "write_step_within": "the same, and the job's own row",
    "write_progress": "where jobs report progress: once a second for each process, by primary keys",
    "write_waits": "where a running job has waited for others for a second: by primary keys",
    "lock_unique_keys": "only inserts and locks, by the primary key",
    "claims_of_worker": "after a lost connection: reads the live table once for each queue",
    "server_timeline": "after a lost connection: reads no table",
    "not_completed": "when an acknowledgement no longer belonged to this worker: by the index of history",
    "register_worker": _START,
    "schema_revision": "once a heartbeat: reads a table of one row",
    "hidden_tables": "at the start of a worker or command, and where nothing is found: reads pg_class",
    "terminate_backends": _RESCUE,
    "lost_jobs": f"{_RESCUE}: reads the live table",
    "remove_worker": f"{_RESCUE}: reads the live table as far as the first job of the worker",
    "left_dependencies": "every ten minutes: by the key of dependencies, and the ids of jobs",
    "purge_dependencies": "after left_dependencies, where it has found some: by the same keys",
    "orphan_workers": "every ten minutes: reads the live table",
    "silent_workers": "reads the table of workers, a row for each",
    "create_history_partition": _DAILY,
    "missing_history_days": _DAILY,
    "missing_results_days": _DAILY,
    "old_results_days": _DAILY,
    "create_results_partition": _DAILY,
    "drop_results_partition": _DAILY,
    "purge_results_default": f"{_DAILY}: reads the default partition, which has what is kept for long",
    "missing_events_days": f"{_DAILY}: reads the table of topics",
    "old_events_days": _DAILY,
    "create_events_partition": _DAILY,
    "drop_events_partition": _DAILY,
    "purge_events_default": f"{_DAILY}: reads the default partition, which has what came before its day was made",
    **dict.fromkeys(
        ("create_minutes_partition", "drop_minutes_partition", "old_minutes_days", "missing_minutes_days"), _DAILY
    ),
    "purge_minutes_default": f"{_DAILY}: reads the default partition, which has what came before its day was made",
    "begin_minute": "once a minute for each supervisor: one row, by its key",
    "add_to_minute": "once a minute for each supervisor whose processes did something: rows by their keys",
    "settings_of_queues": f"{_LOOK}: by the key of queues",
    "last_minute": f"{_LOOK}: by the key of minutes",
    "list_running": f"{_LOOK}: the first jobs of each queue",
    "read_minutes": f"{_LOOK}: by the key of minutes",
    "read_times": f"{_LOOK}: by the key of minutes",
    "busiest_tasks": f"{_LOOK}: by the key of minutes",
    "write_depths": "once a minute, by one supervisor: rows by their keys",
    "publish": "a function, whose own statements are held by tests/events/test_replay.py",
    "replay_events": "the same",
    "add_broadcast": "when something is broadcast: one row, and one for each worker",
    "claim_broadcast": "where there is a broadcast: by an index of those that have not ended",
    "end_broadcast": "the end of a broadcast in a process: by the primary key",
    "awaiting_broadcasts": f"{_START}, and after a broadcast: by an index of those that have not ended",
    "settle_broadcasts": "every ten seconds: by indexes of those that were open a minute ago, and of unfinished runs",
    "purge_broadcasts": _DAILY,
    "list_broadcasts": _LOOK,
    **dict.fromkeys(("step_of_job", "near_in_sequence"), "a look at one job: by its id, or its sequence"),
    **dict.fromkeys(("begin_audit", "end_audit", "list_audit"), "an action of a person: by the key of the audit"),
    **dict.fromkeys(
        ("payload_of_job", "set_payload", "set_dead_payload"), "a person changes the arguments of one job: by its id"
    ),
    "is_everything_paused": _LOOK,
    "may_become": "once for each dashboard: by the name of a role",
    "list_broadcast_runs": _LOOK,
    "unfinished_runs": "some times a second of those who wait for a broadcast: by its id",
    "answers_of": "once for each wait for a broadcast: by its id",
    "visible_broadcast": "where a broadcast that is waited for is not found: by its id",
    "lock_subscriptions": _BEAT,
    "upsert_subscription": "when a declaration has changed",
    "retire_subscriptions": _BEAT,
    "purge_subscriptions": _BEAT,
    "upsert_topics": _BEAT,
    "retire_topics": _BEAT,
    "lock_pipelines": _BEAT,
    "upsert_pipeline": "when a declaration has changed",
    "write_pipeline_stages": "when a declaration has changed",
    "retire_pipelines": _BEAT,
    "purge_pipelines": _BEAT,
    "list_pipelines": _LOOK,
    **dict.fromkeys(("pause_pipeline", "resume_pipeline", "remove_pipeline"), _ASKED),
    "any_declared_events": "once a heartbeat, until the scheduler has written what its code declares",
    "list_subscriptions": _LOOK,
    "list_topics": _LOOK,
    "drop_events": _ASKED,
    "stop_dropping_events": _ASKED,
    "remove_subscription": _ASKED,
    "ended_jobs": "a look of those who wait: ids in the keys of what is live",
    "results_of": "a look of those who wait, for jobs that have ended: by the index of results",
    "ends_of": "a look of those who wait, for jobs that have ended without a result: by ids, in some days of history",
    "arm_result_bell": "every 15 s of a process that waits: a sequence",
    "visible_jobs": "where a job that is waited for is not found: by its id",
    "write_results": "the end of a job that others wait for, or that is handed over: only inserts",
    "drop_history_partition": _DAILY,
    "old_history_days": _DAILY,
    "pages_of_history_default": _DAILY,
    "backfill_finished_at": f"{_DAILY}: reads the default partition, which is empty as a rule",
    "purge_history_default": f"{_DAILY}: reads the default partition, which is empty as a rule",
    "purge_dead": _DAILY,
    "acquire_retention": "reads a table of one row",
    "lock_breaker": _BREAKER,
    "write_breaker": _BREAKER,
    "open_breakers": _BREAKER,
    "declare_breaker": "once for each breaker, when a worker meets it",
    "notify_all_queues": "when a breaker closes: reads the table of queues",
    "list_breakers": _LOOK,
    "set_keep_completed": _ASKED,
    "set_dead_retention": _ASKED,
    "set_history_retention": _ASKED,
    "set_limit": _ASKED,
    "remove_limit": _ASKED,
    "remove_breaker": _ASKED,
    "set_queue_limit": _ASKED,
    "set_queue_aging": _ASKED,
    "set_queue_sla": _ASKED,
    "set_minute_retention": _ASKED,
    "list_limits": f"{_LOOK}: reads ten thousand rows of what waits at most",
    "set_tenant": _ASKED,
    "remove_tenant": _ASKED,
    "list_tenants": _LOOK,
    "declare_limit": f"{_START}, for each limit that its code declares",
    "declare_queue_limit": f"{_START}, for each limit that its code declares",
    "purge_key_locks": f"{_DAILY}: reads a table with a row for each key of jobs under flow control",
    "purge_buckets": f"{_DAILY}: reads a table with a row for each key with a rate that has not filled up again",
    "count_dead_before": _LOOK,
    "get_retention": _LOOK,
    "history_days": _LOOK,
    "cancel_jobs": _ASKED,
    "lock_free_steps": _ASKED,
    "request_cancel": _ASKED,
    "dependents": _ASKED,
    "count_jobs": _ASKED,
    "select_jobs": _ASKED,
    "signed_jobs": _ASKED,
    "set_jobs": _ASKED,
    "pause_task": _ASKED,
    "resume_task": _ASKED,
    "parked_tasks": _ASKED,
    "requeue_parked": _ASKED,
    "pause_everything": _ASKED,
    "resume_everything": _ASKED,
    "paused_tasks": "once a second: reads a table that is empty as a rule, with a row or two else",
    "list_tasks": _LOOK,
    "count_due": _LOOK,
    "due_soon": "run once or twice at the end of a drain",
    "make_due": _ASKED,
    "requeue_jobs": _ASKED,
    "replay_dead": _ASKED,
    "discard_dead": _ASKED,
    "ending_letters": _ASKED,
    "pause_queue": _ASKED,
    "resume_queue": _ASKED,
    "notify_queues": _ASKED,
    "job_states": _ASKED,
    "transaction_clock": _LOOK,
    "count_dead": _LOOK,
    "count_dead_by_queue": _LOOK,
    "count_finished": _LOOK,
    "count_running": _LOOK,
    "find_job": _LOOK,
    "list_dead": _LOOK,
    "list_jobs": _LOOK,
    "list_queues": _LOOK,
    "list_workers": _LOOK,
    "queue_depths": _LOOK,
    "wall_clock": _LOOK,
    "stuck_jobs": "a look at the installation, at status or at the end of a drain: dependencies by id, up to a number",
    "count_waiting": "a look at the state, within a time: reads what waits",
    "queue_names": "once a second, in a worker with patterns: look-ups for each queue",
    "add_worker_queues": "when a pattern matches one more queue: by the primary key",
    "remove_queue": "when an operator removes a queue",
    "doctor": "a look at the installation: it reads up to 100,000 rows of the tables of jobs",
    "why": "a question about one job: index look-ups, and counts that end at a cap",
}
