"""From a graph to rows: each step encoded, and the parameters of the statements that insert it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.errors import EnqueueError
from pgjobs.hooks.enqueueing import added_meta
from pgjobs.hooks.kinds import enqueue_hooks
from pgjobs.payload.encoder import CallEncoder, described, encoder_for, encoder_with_meta
from pgjobs.payload.step import head_bytes
from pgjobs.workflows.map_options import changed_turns, without_turns
from pgjobs.workflows.places import as_shown, places_of, without_results
from pgjobs.workflows.plan import Plan, make_plan
from pgjobs.workflows.workflow import Node, ResultOf, Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgjobs.db.enqueue_columns import EnqueueColumns
    from pgjobs.payload.keys import CallKeys
    from pgjobs.workflows.places import Place

ROWS_AT_ONCE = 2_000  # rows of one statement
BYTES_AT_ONCE = 8 * 1024 * 1024  # bytes of payload in one statement
KEEP = 30 * 86_400  # seconds for which a result is kept that another step takes, at least


class EncodedStep(NamedTuple):
    """A step as it is enqueued, but for the head of its payload, which needs ids. `n`: its place in a map."""

    node: Node
    n: int | None
    payload: bytes
    summary: str | None
    keys: CallKeys | None
    places: Sequence[Place]


class EncodedCallback(NamedTuple):
    """What a workflow calls at its end."""

    kind: str
    name: str
    encoder: CallEncoder
    step: EncodedStep


class EncodedWorkflow(NamedTuple):
    """All of a graph, with an encoder for each node."""

    flow: Workflow
    plan: Plan
    encoders: list[CallEncoder]
    steps: list[EncodedStep]
    callbacks: list[EncodedCallback]
    taken: frozenset[int]  # nodes whose results others take

    @property
    def task(self) -> str:
        """What it is called where a task is named."""
        return f"the workflow {self.flow.name}"


def encode_workflow(flow: Workflow, taken: frozenset[int] = frozenset()) -> EncodedWorkflow:
    """Encode all steps of a workflow. `taken`: nodes whose results are kept, whether others here take them or not.

    Raises:
        EnqueueError: a step is refused; the message names it.
        UsageError: the graph cannot be.

    """
    if not flow.nodes:
        raise EnqueueError(f"the workflow {flow.name!r} has no steps: add some, with flow.add or flow.map.")
    plan = make_plan(flow.nodes)
    encoders: list[CallEncoder] = []
    steps: list[EncodedStep] = []
    kept = set(taken)
    for node in flow.nodes:
        try:
            function = without_turns(node.function) if node.is_map else node.function
            encoder = _encoder(function, node.shown or (node.args, node.kwargs))
            encoders.append(encoder)
            for step in _encoded(node, encoder):
                steps.append(step)
                kept.update(place.value.node.index for place in step.places)
        except EnqueueError as error:
            raise EnqueueError(f"the step {node.name} of {flow.name!r} is refused: {error}") from error.__cause__
    callbacks = [_callback(flow, *given) for given in flow.callbacks]
    return EncodedWorkflow(flow, plan, encoders, steps, callbacks, frozenset(kept))


def _encoder(function: Callable[..., Any], call: tuple[tuple[Any, ...], Mapping[str, Any]]) -> CallEncoder:
    if not enqueue_hooks.hooks:
        return encoder_for(function)
    return encoder_with_meta(function, added_meta(*described(function), *call))


def _encoded(node: Node, encoder: CallEncoder) -> Iterator[EncodedStep]:
    if node.items is None:
        yield _step(node, None, encoder, node.args, node.kwargs, node.places, node.shown)
        return
    for n, item in enumerate(node.items):
        places = places_of((item,), {}, ResultOf)
        args: tuple[Any, ...] = (item,)
        shown: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
        if places:
            shown = as_shown(args, {}, places)
            args, _ = without_results(args, {}, places)
        yield _step(node, n, encoder, args, {}, places, shown)


def _step(
    node: Node,
    n: int | None,
    encoder: CallEncoder,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    places: Sequence[Place],
    shown: tuple[tuple[Any, ...], Mapping[str, Any]] | None,
) -> EncodedStep:
    if shown is None:
        payload, summary = encoder.encode(args, kwargs)
    else:
        payload, summary = encoder.encode_step(args, kwargs, shown)
    keys = None if encoder.keys is None else encoder.keys.call_keys(*(shown or (args, kwargs)))
    return EncodedStep(node, n, payload, summary, keys, places)


def _callback(
    flow: Workflow, kind: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> EncodedCallback:
    try:
        encoder = _encoder(function, (args, kwargs))
        name = encoder.columns.task.rpartition(":")[2]
        node = Node(flow, -1, name, function, args, kwargs, None, [], [], "wait")
        return EncodedCallback(kind, name[:200], encoder, _step(node, None, encoder, args, kwargs, (), None))
    except EnqueueError as error:
        raise EnqueueError(f"{kind} of {flow.name!r} is refused: {error}") from error.__cause__


class Batch(NamedTuple):
    """The parameters of one `add_steps`."""

    columns: EnqueueColumns
    values: dict[str, Any]


def batches(encoded: EncodedWorkflow, workflow: int, ids: Sequence[int], parent: int | None = None) -> Iterator[Batch]:
    """Yield the statements that insert all steps of a workflow, whose jobs have these ids.

    `parent`: the step that adds them.
    """
    common = head_bytes({"workflow": workflow, "step": True})
    waiting: dict[int, _Rows] = {}
    for number, step in enumerate(encoded.steps):
        encoder = encoded.encoders[step.node.index]
        rows = waiting.get(id(encoder))
        if rows is None:
            rows = waiting[id(encoder)] = _Rows(encoder, workflow, parent)
        rows.add(encoded, step, number, ids, _head(encoded, step, workflow, ids, common))
        if len(rows.payloads) >= ROWS_AT_ONCE or rows.size >= BYTES_AT_ONCE:
            yield rows.batch()
            del waiting[id(encoder)]
    for rows in waiting.values():
        yield rows.batch()


def _head(encoded: EncodedWorkflow, step: EncodedStep, workflow: int, ids: Sequence[int], common: bytes) -> bytes:
    node = step.node
    is_taken = node.index in encoded.taken
    if not step.places and not is_taken and not node.is_map:
        return common
    head: dict[str, Any] = {"workflow": workflow, "step": True}
    if is_taken:
        head["keep"] = KEEP
    if node.is_map:
        head["map"] = {"name": node.name, "at_once": node.at_once, "turns": changed_turns(node.function)}
    if step.places:
        head["results"] = [
            [place.way, _node_id(encoded.plan, place.value.node.index, ids), place.value.many] for place in step.places
        ]
    return head_bytes(head)


def _node_id(plan: Plan, node: int, ids: Sequence[int]) -> int:
    """Return the id of a node: of its first job; 0: it has none, and there is nothing to wait for."""
    jobs = plan.jobs_of(node)
    return ids[jobs.start] if jobs else 0


class _Rows:
    """The rows of one encoder, so far."""

    def __init__(self, encoder: CallEncoder, workflow: int, parent: int | None) -> None:
        self.encoder, self.workflow, self.parent = encoder, workflow, parent
        self.size = 0
        self.payloads: list[bytes] = []
        self.summaries: list[str | None] = []
        self.keys: list[CallKeys] = []
        self.job_ids: list[int] = []
        self.nodes: list[int] = []
        self.ns: list[int | None] = []
        self.kinds: list[str | None] = []
        self.if_failed: list[str] = []
        self.names: list[str] = []
        self.needs: list[str | None] = []
        self.needed: list[int] = []
        self.edge_needs: list[int] = []
        self.edge_jobs: list[int] = []
        self.edge_if_failed: list[str] = []

    def add(self, encoded: EncodedWorkflow, step: EncodedStep, number: int, ids: Sequence[int], head: bytes) -> None:
        plan, node, job = encoded.plan, step.node, ids[number]
        payload = head + step.payload
        self.size += len(payload)
        self.payloads.append(payload)
        self.summaries.append(step.summary)
        if step.keys is not None:
            self.keys.append(step.keys)
        self.job_ids.append(job)
        self.nodes.append(ids[plan.first[node.index]])
        self.ns.append(step.n)
        self.kinds.append("map" if node.is_map else None)
        self.if_failed.append(node.if_failed)
        self.names.append(node.name)
        needs = [_node_id(plan, needed, ids) for needed in node.needs]
        self.needs.append("{" + ",".join(map(str, needs)) + "}" if needs else None)
        edges = plan.edges[number]
        self.needed.append(len(edges))
        for needed, if_failed in edges:
            self.edge_needs.append(ids[needed])
            self.edge_jobs.append(job)
            self.edge_if_failed.append(if_failed)

    def batch(self) -> Batch:
        encoder = self.encoder
        values = encoder.step_values(self.payloads, self.summaries, self.keys)
        return Batch(
            encoder.columns,
            {
                **values,
                "workflow": self.workflow,
                "job_ids": self.job_ids,
                "nodes": self.nodes,
                "ns": self.ns,
                "kinds": self.kinds if any(self.kinds) else None,
                "parents": None if self.parent is None else [self.parent] * len(self.job_ids),
                "step_if_failed": self.if_failed,
                "names": self.names,
                "node_needs": self.needs,
                "needed": self.needed,
                "edge_needs": self.edge_needs,
                "edge_jobs": self.edge_jobs,
                "edge_if_failed": self.edge_if_failed,
            },
        )


def callback_values(callback: EncodedCallback, workflow: int) -> Batch:
    """Return the parameters of the statement that stores what a workflow calls at its end."""
    encoder, step = callback.encoder, callback.step
    payload = head_bytes({"workflow": workflow, "step": False}) + step.payload
    values = encoder.step_values([payload], [step.summary], [] if step.keys is None else [step.keys])
    return Batch(
        encoder.columns,
        {
            "workflow": workflow,
            "kind": callback.kind,
            "on_failure": values["on_failure"],
            "lane": values["lanes"][0] if values["lanes"] else None,
            "cost": values["costs"][0] if values["costs"] else None,
            "summary": values["summaries"][0] if values["summaries"] else None,
            "signature": values["signatures"][0] if values["signatures"] else None,
            "payload": payload,
        },
    )
