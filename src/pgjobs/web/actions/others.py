"""Cancel and retry workflows; set limits, weights of tenants, and circuit breakers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from pgjobs import admin
from pgjobs.core.errors import NotFoundError
from pgjobs.flow.limits import make_limit
from pgjobs.web.actions.action import Action, Asked, Done, Field, Preview
from pgjobs.web.values import count

WORKFLOW = "/workflows/{workflow}"
LIMITS = "/limits"
_WHAT = (
    ("failed", "what failed or was cancelled"),
    ("after", "that, and all that waited for it"),
    ("all", "all steps"),
)


def _preview_workflow(sentence: str, fields: tuple[Field, ...]) -> Callable[[Asked], Preview]:
    def preview(asked: Asked) -> Preview:
        found = admin.show_workflow(asked.conn, asked.id("workflow"))
        left = found.steps - found.completed - found.failed - found.cancelled - found.skipped
        notes = (f"{count(found.steps)} steps: {count(left)} have not ended, {count(found.failed)} have failed.",)
        return Preview(sentence.format(f"{found.id}, {found.name}"), found.steps, notes=notes, fields=fields)

    return preview


def _cancel_workflow(asked: Asked) -> Done:
    reason = asked.optional("reason") or f"cancelled by {asked.user}"
    row = admin.cancel_workflow(asked.conn, asked.id("workflow"), reason=reason)
    return Done(row.cancelled, f"Workflow {row.id} is cancelled: {count(row.cancelled)} of its steps are so now.")


def _retry_workflow(asked: Asked) -> Done:
    what = cast("Literal['failed', 'after', 'all']", asked.optional("what") or "failed")
    row = admin.retry_workflow(asked.conn, asked.id("workflow"), what=what)
    return Done(row.steps, f"Workflow {row.id} runs again; it is {row.status}.")


def _set_limit(asked: Asked) -> Done:
    name, concurrency = asked.needed("limit"), asked.optional("concurrency")
    limit = make_limit(
        None if concurrency is None else asked.id("concurrency"), asked.optional("rate"), asked.number("burst")
    )
    admin.set_limit(asked.conn, name, limit)
    return Done(1, f"{name} now has: {limit}.")


def _preview_limit(asked: Asked) -> Preview:
    name = asked.needed("limit")
    now = next((each for each in admin.list_limits(asked.conn) if each.name == name), None)
    at_once = "" if now is None or now.concurrency is None else str(now.concurrency)
    rate = "" if now is None or now.rate is None else f"{now.rate:g}/{now.period_seconds:g}s"
    burst = "" if now is None or now.burst is None else f"{now.burst:g}"
    fields = (
        Field("concurrency", "At once", "number", at_once),
        Field("rate", "Rate, such as 100/min", value=rate),
        Field("burst", "Burst", "number", burst),
    )
    note = (
        "What is left empty is not limited. Code that declares it no longer changes it. Jobs that run are not stopped."
    )
    return Preview(f"Set the limit {name}.", 1, notes=(note,), fields=fields)


def _remove_limit(asked: Asked) -> Done:
    name = asked.needed("limit")
    declared = admin.remove_limit(asked.conn, name)
    if declared is None:
        raise NotFoundError(f"There is no limit {name!r}.")
    return Done(1, f"{name} is removed{'; code declares it, so the next worker sets it again' if declared else ''}.")


def _set_weight(asked: Asked) -> Done:
    name, weight = asked.needed("tenant"), asked.number("weight")
    admin.set_tenant_weight(asked.conn, name, cast("float", weight))
    return Done(1, f"{name} gets {weight:g} turns for one of the others.")


def _remove_weight(asked: Asked) -> Done:
    name = asked.needed("tenant")
    removed = admin.remove_tenant_weight(asked.conn, name)
    return Done(int(removed), f"{name} gets as many turns as the others.")


def _open(asked: Asked) -> Done:
    name, seconds = asked.needed("breaker"), asked.number("seconds")
    admin.open_breaker(asked.conn, name, seconds, by=asked.user)
    return Done(1, f"{name} is open{'' if seconds is None else f' for {seconds:g} s'}.")


def _breaker(change: Callable[..., Any], sentence: str) -> Callable[[Asked], Done]:
    def do(asked: Asked) -> Done:
        change(asked.conn, asked.needed("breaker"), by=asked.user)
        return Done(1, sentence.format(asked.needed("breaker")))

    return do


def _says(sentence: str, takes: str, fields: tuple[Field, ...] = ()) -> Callable[[Asked], Preview]:
    return lambda asked: Preview(sentence.format(asked.needed(takes)), 1, fields=fields)


_SECONDS = (Field("seconds", "For how many seconds; empty: until it is closed by hand", "number"),)
ACTIONS: dict[str, Action] = {
    "cancel-workflow": Action(
        "cancel",
        "Cancel a workflow",
        ("workflow",),
        _preview_workflow(
            "Cancel all steps of workflow {} that have not ended. It calls nothing back.", (Field("reason", "Reason"),)
        ),
        _cancel_workflow,
        WORKFLOW,
        fields=("reason",),
        is_danger=True,
    ),
    "retry-workflow": Action(
        "retry",
        "Retry a workflow",
        ("workflow",),
        _preview_workflow(
            "Run steps of workflow {} again, with fresh attempts.", (Field("what", "Which", "choice", choices=_WHAT),)
        ),
        _retry_workflow,
        WORKFLOW,
        fields=("what",),
    ),
    "set-limit": Action(
        "limit",
        "Set a limit",
        ("limit",),
        _preview_limit,
        _set_limit,
        LIMITS,
        fields=("concurrency", "rate", "burst"),
    ),
    "remove-limit": Action(
        "limit",
        "Remove a limit",
        ("limit",),
        _says("Remove the limit {}. The limit of its pattern applies again, if there is one.", "limit"),
        _remove_limit,
        LIMITS,
        is_danger=True,
    ),
    "set-weight": Action(
        "limit",
        "Set the weight of a tenant",
        ("tenant",),
        _says(
            "Set how many turns {} gets for one of the others.", "tenant", (Field("weight", "Turns", "number", "1"),)
        ),
        _set_weight,
        LIMITS,
        fields=("weight",),
    ),
    "remove-weight": Action(
        "limit",
        "Remove the weight of a tenant",
        ("tenant",),
        _says("Remove the weight of {}: it gets as many turns as the others.", "tenant"),
        _remove_weight,
        LIMITS,
    ),
    "open-breaker": Action(
        "limit",
        "Open a circuit breaker",
        ("breaker",),
        _says("Open {}: none of its jobs starts until it lets them through.", "breaker", _SECONDS),
        _open,
        LIMITS,
        fields=("seconds",),
        is_danger=True,
    ),
    "close-breaker": Action(
        "limit",
        "Close a circuit breaker",
        ("breaker",),
        _says("Close {}: all its jobs are let through, and it decides by itself again.", "breaker"),
        _breaker(lambda conn, name, by: admin.close_breaker(conn, name, by=by), "{} is closed."),
        LIMITS,
    ),
    "auto-breaker": Action(
        "limit",
        "Let a circuit breaker decide by itself",
        ("breaker",),
        _says("Return {} to deciding by itself. If it is not closed, probes are let through at once.", "breaker"),
        _breaker(lambda conn, name, by: admin.auto_breaker(conn, name, by=by), "{} decides by itself."),
        LIMITS,
    ),
}
