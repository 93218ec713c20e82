"""Random workflows: what is in them, and how they are built with the API."""

from __future__ import annotations

import random
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from pgjobs import Workflow
from tests.system.workflows import tasks
from tests.system.workflows.tasks import FOR_GOOD, OVER

COMPLETED, LOST = -1, -2
"""What is noted as the step where a workflow calls back."""
IF_FAILED = ("wait", "wait", "run", "cancel", "skip")


@dataclass(repr=False)
class Plan:
    """A step: `number` within its graph, what it waits for, and what will happen to it.

    `fails`: how often it does (2: until it is healed). `grows`: how often each of the steps fails that it adds.
    `width`: the same of a map over a list; `over`: it maps over the result of the first step that it needs.
    `is_cancelled`: by an operator, before it can start. `part`: it is in the nested workflow.
    """

    number: int
    needs: list[int]
    if_failed: str = "wait"
    fails: int = 0
    grows: list[int] = field(default_factory=list)
    width: list[int] | None = None
    over: bool = False
    at_once: int | None = None
    completes: bool = False
    waits: bool = False
    is_cancelled: bool = False
    part: bool = False

    def __repr__(self) -> str:
        """Return what is not as usual."""
        changed = [f"{f.name}={value}" for f in fields(self)[1:] if (value := getattr(self, f.name)) != _usual(f)]
        return f"{self.number}({', '.join(changed)})"

    @property
    def is_single(self) -> bool:
        """Whether it is one job whose result others may take."""
        return self.width is None and not self.over


MEANWHILE = (None, None, "cancel", "cancel workflow", "pause", "retry", "replay", "forget")
"""What an operator does to a workflow that runs. "forget": retention drops the history of what has ended."""
THEN = ("replay", "failed", "after", "all", "again", "again after", "cancel workflow", "cancel")
"""What an operator does once nothing can go on. "replay" to "all": after what was wrong is healed; see actions.py."""
LAST = ("replay", "failed", "after", "all")
MOST_STEPS = 60


def _usual(field: Field[object]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


@dataclass
class Graph:
    """A workflow. `key`: of its effects in the tables of the tests.

    `meanwhile`, `then` and `last`: what operators do to it. `is_forgotten`: before the latter two, retention drops the
    history of some of its steps.
    """

    key: int
    plans: list[Plan]
    meanwhile: str | None = None
    then: str = "replay"
    last: str = "failed"
    is_forgotten: bool = False


def random_graph(key: int, rng: random.Random) -> Graph:
    """Make a graph of up to 60 steps."""
    plans = _plans(rng, rng.choice([8, 16, 16, 40]))
    while sum(_most_steps(plan) for plan in plans) > MOST_STEPS:
        plans = _plans(rng, 40)
    graph = Graph(key, plans, rng.choice(MEANWHILE), rng.choice(THEN), rng.choice(LAST), rng.random() < 0.2)
    if graph.meanwhile == "retry" and any(plan.is_cancelled for plan in plans):
        graph.meanwhile = None  # whether what was cancelled then runs depends on the moment
    return graph


def _most_steps(plan: Plan) -> int:
    return 1 + len(plan.grows) + len(plan.width or ()) + (OVER if plan.over else 0)


def _plans(rng: random.Random, most: int) -> list[Plan]:
    plans: list[Plan] = []
    size = rng.randint(1, most)
    part = range(size // 3, size // 3 + rng.choice([0, 0, rng.randint(1, 3)]))
    for number in range(size):
        inside = number in part
        before = [p.number for p in plans if p.part is inside]
        if not inside and part and number >= part.stop and rng.random() < 0.5:
            before += [part.start]  # stands for the whole part
        needs = sorted(rng.sample(before, min(len(before), rng.choice([0, 1, 1, 2, 3]))))
        plan = Plan(number, needs, part=inside)
        plan.if_failed = rng.choice(IF_FAILED) if needs else "wait"
        plan.fails = rng.choice([0, 0, 0, 0, 1, FOR_GOOD])
        what = rng.random()
        singles = [n for n in needs if plans[n].is_single and not plans[n].part]
        if what < 0.15:
            plan.width = [rng.choice([0, 0, 0, 1, FOR_GOOD]) for _ in range(rng.randint(0, 3))]
            plan.at_once = rng.choice([None, 1, 2])
        elif what < 0.3 and singles and not inside:
            plan.over, plan.needs = True, [singles[0], *(n for n in needs if n != singles[0])]
            plan.width = None
            plan.at_once = rng.choice([None, 1, 2])
        elif what < 0.45:
            plan.grows = [rng.choice([0, 0, 1, FOR_GOOD]) for _ in range(rng.randint(1, 3))]
        elif what < 0.6:
            plan.completes = True
        elif what < 0.7:
            plan.waits = True
        elif what < 0.75 and not needs:
            plan.is_cancelled = True
        plans.append(plan)
    return plans


def build(graph: Graph) -> tuple[Workflow, dict[int, Any]]:
    """Build the workflow, and return its steps by their numbers."""
    flow, part = Workflow(f"graph {graph.key}"), Workflow("part")
    steps: dict[int, Any] = {}
    nested: Any = None
    for plan in graph.plans:
        if not plan.part and nested is None and any(graph.plans[n].part for n in plan.needs):
            nested = flow.add(part)
        target = part if plan.part else flow
        after = [nested if graph.plans[n].part and not plan.part else steps[n] for n in plan.needs]
        steps[plan.number] = _add(graph, target, plan, after, steps)
    if nested is None and part.nodes:
        flow.add(part)
    flow.on_completed(tasks.called, graph.key, COMPLETED)
    flow.on_failure(tasks.called, graph.key, LOST)
    return flow, steps


def _add(graph: Graph, target: Workflow, plan: Plan, after: list[Any], steps: dict[int, Any]) -> Any:
    options: dict[str, Any] = {"if_failed": plan.if_failed}
    if plan.is_cancelled:
        options["delay"] = 3600
    if after:
        options["after"] = after
    key, number = graph.key, plan.number
    if plan.width is not None:
        items = [(key, number, n) for n in range(len(plan.width))]
        return target.map(tasks.member.options(**options), items, at_once=plan.at_once)
    if plan.over:
        options["meta"] = {"step": number}
        return target.map(tasks.member.options(**options), steps[plan.needs[0]].result, at_once=plan.at_once)
    function: Any = tasks.step
    if plan.grows:
        function = tasks.grower
    elif plan.completes:
        function = tasks.completer
    elif plan.waits:
        function = tasks.waiter
    return target.add(function.options(**options), key, number, *([len(plan.grows)] if plan.grows else []))
