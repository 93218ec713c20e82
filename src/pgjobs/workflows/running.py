"""What steps see while they run: results of others as arguments, how these have ended, and their workflow, to grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import NoResultError, UsageError
from pgjobs.flow.workflow_state import GrownSteps, StepEnd
from pgjobs.job_results.encode import decode
from pgjobs.jobs.context import current, current_step
from pgjobs.jobs.job import Job
from pgjobs.jobs.options import JobOptions
from pgjobs.payload.step import StepJob
from pgjobs.workflows.connection import StepConnection
from pgjobs.workflows.map_options import with_turns
from pgjobs.workflows.places import with_values
from pgjobs.workflows.rows import batches, encode_workflow
from pgjobs.workflows.workflow import Workflow, last_of, listed

if TYPE_CHECKING:
    from pgjobs.jobs.context import RunningJob


class EnteredStep:
    """A step that runs. What it may ask of its workflow is made when it does."""

    def __init__(self, step: StepJob, job: RunningJob, connection: StepConnection) -> None:
        self._parts = step, job, connection

    @property
    def id(self) -> int:
        """The id of its workflow."""
        found: int = self._parts[0].head["workflow"]
        return found

    @property
    def workflow(self) -> RunningWorkflow:
        """Its workflow, to grow: one for all threads of the step."""
        made: RunningWorkflow | None = vars(self).get("_made")
        # `setdefault` is atomic: of two threads that ask at once, both get the same.
        return made if made is not None else vars(self).setdefault("_made", RunningWorkflow(*self._parts))


class StepRunner:
    """Runs the steps of this process."""

    def __init__(self) -> None:
        self._connection = StepConnection()

    def enter(self, step: StepJob) -> None:
        """Make `current_job().workflow` know the step. Call it where the step runs."""
        current_step.set(EnteredStep(step, _job(), self._connection))

    def arguments(
        self, head: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments, with results of other steps where these stand for them.

        Raises:
            NoResultError: a step has completed, and its result is gone.
            PayloadError: a result cannot be loaded here.

        """
        wanted = head.get("results")
        if not wanted:
            return args, kwargs
        nodes = sorted({node for _, node, _ in wanted})
        rows = self._connection.rows("results_of_steps", workflow=head["workflow"], nodes=nodes)
        found: dict[int, list[dict[str, Any]]] = {node: [] for node in nodes}
        for row in rows:
            found[row["node"]].append(row)
        values = {}
        for _, node, many in wanted:
            if (node, many) not in values:
                values[node, many] = _values(found[node], many=many)
        return with_values(args, kwargs, [(tuple(way), values[node, many]) for way, node, many in wanted])

    def map(self, step: StepJob, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Add a step for each item of the first argument, as the jobs of this step's node.

        Raises:
            UsageError: it has no items.

        """
        job, how = _job(), step.head["map"]
        items = listed([] if args[0] is None else args[0])
        if not items:
            return
        growing = RunningWorkflow(step, job, self._connection)
        growing.map(_as_in_row(step.inner, job, how["turns"]), items, at_once=how["at_once"])
        growing.node, growing.nodes[0].name = job.id, how["name"]
        step.grown = growing


def _job() -> RunningJob:
    job = current.get()
    assert job is not None  # noqa: S101 (a step runs)
    return job


def _values(rows: Sequence[Mapping[str, Any]], *, many: bool) -> Any:
    if many:
        return [_value(row) for row in rows if row["n"] is not None]
    return next((_value(row) for row in rows if row["n"] is None), None)


def _value(row: Mapping[str, Any]) -> Any:
    """Return the result of a step; None if it did not complete."""
    if row["value"] is not None:
        return decode(row["job_id"], bytes(row["value"]), row["is_json"], row["signature"])
    if row["status"] == "completed":
        raise NoResultError(
            f"step {row['name']} (job {row['job_id']}) has completed, and its result is not kept any longer: retry it, "
            f"with `pgjobs jobs retry {row['job_id']}`, and then this one."
        )
    return None


def _as_in_row(function: Any, job: RunningJob, turns: Mapping[str, Any] | None) -> Any:
    """Return the function with the options of the row of the map: its jobs are enqueued with the same."""
    row: Any = job
    if not isinstance(function, Job):  # nothing was changed for it
        return function
    options: JobOptions = function.job_options
    changed = options.changed(
        queue=job.queue,
        priority=job.priority,
        max_attempts=job.max_attempts if not job.prior_attempts else options.max_attempts,
        timeout=job.timeout,
        executor=row.executor,
        after=None,
        if_failed="wait",
        unique=None,
        **with_turns(options.flow, turns),
    )
    return function.with_job_options(replace(changed, meta=job.meta or None))


class RunningWorkflow(Workflow):
    """The workflow of the step that runs: what is added here is inserted when the step is acknowledged.

    So a step that is retried adds nothing twice. What waits for this step waits for what it has added, too.
    """

    def __init__(self, step: StepJob, job: RunningJob, connection: StepConnection) -> None:
        super().__init__("of this step")
        self._step, self._job, self._connection = step, job, connection
        self.id: int = step.head["workflow"]
        """The id of the workflow."""
        self.node: int | None = None
        """Of which node the steps are; None: of their own."""

    def _check_open(self) -> None:
        if not self._step.head.get("step"):
            raise UsageError("what a workflow calls at its end is not a step of it, and adds nothing.")
        if not self._step.may_add or self._job.completing:
            raise UsageError(
                "a step that ends in a transaction of its own (transaction=True, or complete()) adds no others: add "
                "them in a step after it."
            )
        self._step.grown = self

    def on_completed(self, callable: Any, /, *args: Any, **kwargs: Any) -> None:
        """Refuse it: a workflow says what it calls when it is enqueued.

        Raises:
            UsageError: always.

        """
        raise UsageError("on_completed and on_failure are said before a workflow is enqueued.")

    on_failure = on_completed

    def read_needs(self, job: int) -> list[StepEnd]:
        """Return how the steps have ended that this one waited for."""
        rows = self._connection.rows("needs_of_step", job=job)
        return [StepEnd(row["name"], row["job_id"], row["status"], row["error"]) for row in rows]

    def encoded(self) -> GrownSteps | None:
        """Return what was added as rows.

        Raises:
            EnqueueError: a step is refused.

        """
        if not self.nodes:
            return None
        keeps = self._step.head.get("keep") is not None and self.node is not None
        encoded = encode_workflow(self, frozenset({0}) if keeps else frozenset())
        plan = encoded.plan
        ids = [row["id"] for row in self._connection.rows("take_job_ids", count=plan.jobs)] if plan.jobs else []
        made = []
        for columns, values in batches(encoded, self.id, ids, parent=self._job.id):
            if self.node is not None:
                values["nodes"] = [self.node] * len(values["nodes"])
            made.append((columns._asdict(), values))
        last = [ids[job] for node in last_of(self.nodes) for job in plan.jobs_of(node.index)]
        return GrownSteps(self.id, plan.jobs, plan.roots, last, made)
