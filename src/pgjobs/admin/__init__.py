"""Operations on jobs, queues and all else that pgjobs keeps: what the command line does, as functions.

    from pgjobs import admin, connect

    with connect() as conn:
        admin.cancel_jobs(conn, [4711], reason="the customer has left")

Each function takes a connection first, and returns plain values. It is one of psycopg (not an async one), or a session
or connection of SQLAlchemy on an engine for postgresql+psycopg. On a connection in autocommit mode each batch is a
transaction of its own; on any other all is part of the caller's transaction, which begins if it has not yet: commit it.

| to | call |
| --- | --- |
| find out why a job does not run, and what is wrong with an installation | `why`, `doctor` |
| find jobs that wait for one that did not complete | `stuck_jobs` |
| see everything at a glance | `show_status`, `count_further`, `list_workers` |
| see what happened over the last hours | `show_minutes`, `list_busy_tasks` |
| look at jobs | `list_jobs`, `list_running`, `show_job`, `show_neighbours`, `count_jobs` |
| cancel, retry or change jobs | `cancel_jobs`, `retry_jobs`, `set_jobs`, `wait_for_exit` |
| handle dead letters | `list_dead`, `show_dead`, `count_dead`, `replay_dead`, `discard_dead` |
| look at workflows | `list_workflows`, `show_workflow` |
| change workflows | `cancel_workflow`, `retry_workflow`, `pause_workflow`, `resume_workflow`, `signal_workflow` |
| see pipelines, and where they jam | `list_pipelines`, `show_pipeline` |
| pause, resume and remove pipelines | `pause_pipeline`, `resume_pipeline`, `remove_pipeline` |
| pause | `pause_queue`, `pause_task`, `pause_everything` |
| resume | `resume_queue`, `resume_task`, `resume_everything` |
| remove a queue that is no longer used | `remove_queue` |
| see what is paused, and which queues there are | `list_paused_tasks`, `is_everything_paused`, `list_queues` |
| wait until nothing is left to do | `wait_until_idle`, `count_unfinished` |
| limit queues, keys and tenants | `set_queue_limit`, `set_limit`, `remove_limit`, `list_limits` |
| give tenants more or fewer turns | `set_tenant_weight`, `remove_tenant_weight`, `list_tenants` |
| let jobs that wait become more urgent | `set_queue_aging` |
| set for how long a due job may wait | `set_queue_sla` |
| see circuit breakers | `list_breakers`, `show_breaker` |
| set circuit breakers by hand | `open_breaker`, `close_breaker`, `auto_breaker`, `remove_breaker` |
| see schedules, and run one now | `list_schedules`, `show_schedule`, `run_schedule` |
| change schedules | `add_schedule`, `pause_schedule`, `resume_schedule`, `remove_schedule` |
| see subscriptions to events, and which events are kept | `list_subscriptions`, `show_subscription`, `list_topics` |
| pause, resume and remove subscriptions | `pause_subscription`, `resume_subscription`, `remove_subscription` |
| look at and change the arguments of a job in JSON | `show_arguments`, `set_arguments` |
| see what was done, by whom | `list_audit` |
| write what is done | `begin_audit`, `end_audit` |
| see broadcasts, and what came of them in each process | `list_broadcasts`, `show_broadcast` |
| make jobs of kept events | `replay_events` |
| set how long finished jobs and dead letters are kept | `keep_history`, `keep_dead`, `keep_completed` |
| set how long what happened in each minute is kept | `keep_minutes` |
| see what is kept | `show_retention`, `list_history`, `list_expired_days`, `count_expired_dead` |
| create or upgrade the tables | `migrate` |
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgjobs.admin.arguments import set_arguments, show_arguments
    from pgjobs.admin.audit import AuditEntry, begin_audit, end_audit, list_audit
    from pgjobs.admin.breakers import (
        BreakerInfo,
        auto_breaker,
        close_breaker,
        list_breakers,
        open_breaker,
        remove_breaker,
        show_breaker,
    )
    from pgjobs.admin.broadcasts import BroadcastDetail, BroadcastRow, BroadcastRun, list_broadcasts, show_broadcast
    from pgjobs.admin.cancel import cancel_jobs, wait_for_exit
    from pgjobs.admin.changes import Change, JobSelection, Refusal, count_jobs
    from pgjobs.admin.dead import DeadLetter, count_dead, discard_dead, list_dead, replay_dead, show_dead
    from pgjobs.admin.drain import Unfinished, count_unfinished, wait_until_idle
    from pgjobs.admin.job_actions import retry_jobs, set_jobs
    from pgjobs.admin.jobs import JobDetail, JobRow, list_jobs, show_job
    from pgjobs.admin.limits import (
        Key,
        KeyLimit,
        Tenant,
        list_limits,
        list_tenants,
        remove_limit,
        remove_tenant_weight,
        set_limit,
        set_tenant_weight,
    )
    from pgjobs.admin.minutes import BusyTask, MinuteSeries, list_busy_tasks, show_minutes
    from pgjobs.admin.neighbours import Neighbour, Neighbours, show_neighbours
    from pgjobs.admin.pauses import (
        PausedTask,
        is_everything_paused,
        list_paused_tasks,
        pause_everything,
        pause_task,
        resume_everything,
        resume_task,
    )
    from pgjobs.admin.pipelines import (
        PipelineRow,
        PipelineStage,
        list_pipelines,
        pause_pipeline,
        remove_pipeline,
        resume_pipeline,
        show_pipeline,
    )
    from pgjobs.admin.queues import (
        Queue,
        keep_completed,
        list_queues,
        pause_queue,
        remove_queue,
        resume_queue,
        set_queue_aging,
        set_queue_limit,
        set_queue_sla,
    )
    from pgjobs.admin.retention import (
        HistoryDay,
        Retention,
        count_expired_dead,
        keep_dead,
        keep_history,
        keep_minutes,
        list_expired_days,
        list_history,
        show_retention,
    )
    from pgjobs.admin.schedules import (
        ScheduleRow,
        add_schedule,
        list_schedules,
        pause_schedule,
        remove_schedule,
        resume_schedule,
        run_schedule,
        show_schedule,
    )
    from pgjobs.admin.schema import migrate
    from pgjobs.admin.status import QueueStatus, Status, Worker, count_further, list_running, list_workers, show_status
    from pgjobs.admin.subscriptions import (
        Replay,
        SubscriptionRow,
        TopicRow,
        list_subscriptions,
        list_topics,
        pause_subscription,
        remove_subscription,
        replay_events,
        resume_subscription,
        show_subscription,
    )
    from pgjobs.admin.workflows import (
        WorkflowDetail,
        WorkflowNode,
        WorkflowRow,
        cancel_workflow,
        list_workflows,
        pause_workflow,
        resume_workflow,
        retry_workflow,
        show_workflow,
        signal_workflow,
    )
    from pgjobs.db.stuck_jobs import StuckJob, stuck_jobs
    from pgjobs.diagnose.doctor import Diagnosis, doctor
    from pgjobs.diagnose.why import Why, why

# Imported at first use: most commands and programs need one or two of them.
_NAMES = {
    "pgjobs.admin.arguments": "set_arguments show_arguments",
    "pgjobs.admin.audit": "AuditEntry begin_audit end_audit list_audit",
    "pgjobs.admin.breakers": (
        "BreakerInfo auto_breaker close_breaker list_breakers open_breaker remove_breaker show_breaker"
    ),
    "pgjobs.admin.broadcasts": "BroadcastDetail BroadcastRow BroadcastRun list_broadcasts show_broadcast",
    "pgjobs.admin.cancel": "cancel_jobs wait_for_exit",
    "pgjobs.admin.changes": "Change JobSelection Refusal count_jobs",
    "pgjobs.admin.dead": "DeadLetter count_dead discard_dead list_dead replay_dead show_dead",
    "pgjobs.admin.drain": "Unfinished count_unfinished wait_until_idle",
    "pgjobs.admin.job_actions": "retry_jobs set_jobs",
    "pgjobs.admin.jobs": "JobDetail JobRow list_jobs show_job",
    "pgjobs.admin.limits": (
        "Key KeyLimit Tenant list_limits list_tenants remove_limit remove_tenant_weight set_limit set_tenant_weight"
    ),
    "pgjobs.admin.neighbours": "Neighbour Neighbours show_neighbours",
    "pgjobs.admin.minutes": "BusyTask MinuteSeries list_busy_tasks show_minutes",
    "pgjobs.admin.pauses": (
        "PausedTask is_everything_paused list_paused_tasks pause_everything pause_task resume_everything resume_task"
    ),
    "pgjobs.admin.pipelines": (
        "PipelineRow PipelineStage list_pipelines pause_pipeline remove_pipeline resume_pipeline show_pipeline"
    ),
    "pgjobs.admin.queues": (
        "Queue keep_completed list_queues pause_queue remove_queue resume_queue set_queue_aging set_queue_limit"
        " set_queue_sla"
    ),
    "pgjobs.admin.retention": (
        "HistoryDay Retention count_expired_dead keep_dead keep_history keep_minutes list_expired_days list_history"
        " show_retention"
    ),
    "pgjobs.admin.schedules": (
        "ScheduleRow add_schedule list_schedules pause_schedule remove_schedule "
        "resume_schedule run_schedule show_schedule"
    ),
    "pgjobs.admin.schema": "migrate",
    "pgjobs.admin.workflows": (
        "WorkflowDetail WorkflowNode WorkflowRow cancel_workflow list_workflows pause_workflow resume_workflow "
        "retry_workflow show_workflow signal_workflow"
    ),
    "pgjobs.admin.status": "QueueStatus Status Worker count_further list_running list_workers show_status",
    "pgjobs.admin.subscriptions": (
        "Replay SubscriptionRow TopicRow list_subscriptions list_topics pause_subscription remove_subscription "
        "replay_events resume_subscription show_subscription"
    ),
    "pgjobs.db.stuck_jobs": "StuckJob stuck_jobs",
    "pgjobs.diagnose.doctor": "Diagnosis doctor",
    "pgjobs.diagnose.why": "Why why",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "AuditEntry",
    "BreakerInfo",
    "BroadcastDetail",
    "BroadcastRow",
    "BroadcastRun",
    "BusyTask",
    "Change",
    "DeadLetter",
    "Diagnosis",
    "HistoryDay",
    "JobDetail",
    "JobRow",
    "JobSelection",
    "Key",
    "KeyLimit",
    "MinuteSeries",
    "Neighbour",
    "Neighbours",
    "PausedTask",
    "PipelineRow",
    "PipelineStage",
    "Queue",
    "QueueStatus",
    "Refusal",
    "Replay",
    "Retention",
    "ScheduleRow",
    "Status",
    "StuckJob",
    "SubscriptionRow",
    "Tenant",
    "TopicRow",
    "Unfinished",
    "Why",
    "Worker",
    "WorkflowDetail",
    "WorkflowNode",
    "WorkflowRow",
    "add_schedule",
    "auto_breaker",
    "begin_audit",
    "cancel_jobs",
    "cancel_workflow",
    "close_breaker",
    "count_dead",
    "count_expired_dead",
    "count_further",
    "count_jobs",
    "count_unfinished",
    "discard_dead",
    "doctor",
    "end_audit",
    "is_everything_paused",
    "keep_completed",
    "keep_dead",
    "keep_history",
    "keep_minutes",
    "list_audit",
    "list_breakers",
    "list_broadcasts",
    "list_busy_tasks",
    "list_dead",
    "list_expired_days",
    "list_history",
    "list_jobs",
    "list_limits",
    "list_paused_tasks",
    "list_pipelines",
    "list_queues",
    "list_running",
    "list_schedules",
    "list_subscriptions",
    "list_tenants",
    "list_topics",
    "list_workers",
    "list_workflows",
    "migrate",
    "open_breaker",
    "pause_everything",
    "pause_pipeline",
    "pause_queue",
    "pause_schedule",
    "pause_subscription",
    "pause_task",
    "pause_workflow",
    "remove_breaker",
    "remove_limit",
    "remove_pipeline",
    "remove_queue",
    "remove_schedule",
    "remove_subscription",
    "remove_tenant_weight",
    "replay_dead",
    "replay_events",
    "resume_everything",
    "resume_pipeline",
    "resume_queue",
    "resume_schedule",
    "resume_subscription",
    "resume_task",
    "resume_workflow",
    "retry_jobs",
    "retry_workflow",
    "run_schedule",
    "set_arguments",
    "set_jobs",
    "set_limit",
    "set_queue_aging",
    "set_queue_limit",
    "set_queue_sla",
    "set_tenant_weight",
    "show_arguments",
    "show_breaker",
    "show_broadcast",
    "show_dead",
    "show_job",
    "show_minutes",
    "show_neighbours",
    "show_pipeline",
    "show_retention",
    "show_schedule",
    "show_status",
    "show_subscription",
    "show_workflow",
    "signal_workflow",
    "stuck_jobs",
    "wait_for_exit",
    "wait_until_idle",
    "why",
]


if not TYPE_CHECKING:  # or every name would be right to a type checker

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
