"""How a random workflow should end: decided on a graph of networkx, by the words of the guide alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import networkx

from tests.system.workflows.graphs import Graph, Plan
from tests.system.workflows.tasks import FOR_GOOD, OVER

Unit = tuple[int, int]
"""A job: the number of its step, and its place in it (-1: the step itself; of a map over a result: from 1000)."""
LOST = ("failed", "cancelled")
MAKER = -2
"""The place of the job that makes those of a map over a result."""


class Expected(NamedTuple):
    """How each job is at the end, the status of the workflow, and which jobs have to end before which."""

    states: dict[Unit, str]
    status: str
    order: networkx.DiGraph


class Again(NamedTuple):
    """What a retry changes: jobs that run again, and those that go because they are added again."""

    jobs: set[Unit]
    gone: set[Unit]


def expect(
    graph: Graph,
    *,
    kept: Mapping[Unit, str] | None = None,
    known: Collection[Unit] = (),
    healed: bool = False,
) -> Expected:
    """Return how it should end.

    `kept`: jobs that have ended, and stay as they are. `known`: those that are there already. `healed`: nothing fails
    any longer.
    """
    kept = _cancelled_at_once(graph) if kept is None else kept
    order = networkx.DiGraph()
    states: dict[Unit, str] = {}
    for number in networkx.lexicographical_topological_sort(steps_of(graph)):
        plan = graph.plans[number]
        needed = [unit for n in _needs(graph, plan) for unit in states if unit[0] == n]
        for unit, fails in _units(plan):
            order.add_node(unit)
            order.add_edges_from((need, unit) for need in needed)
            states[unit] = kept.get(unit) or _state(plan, [states[need] for need in needed], 0 if healed else fails)
        for unit, fails in _grown(plan, states, kept, known):
            order.add_edge(_maker(plan), unit)
            states[unit] = kept.get(unit) or _end(0 if healed else fails)
    return Expected(states, status_of(states), order)


def steps_of(graph: Graph) -> networkx.DiGraph:
    """Return which step waits for which, by their numbers."""
    steps = networkx.DiGraph()
    for plan in graph.plans:
        steps.add_node(plan.number)
        steps.add_edges_from((n, plan.number) for n in _needs(graph, plan))
    return steps


def put_back(graph: Graph, states: Mapping[Unit, str], what: str, forgotten: Collection[Unit] = ()) -> Again:
    """Return what a retry changes: of what "failed", of all that waited for it ("after"), of "all"; or a "replay".

    `forgotten`: what retention has dropped the history of. What failed is a dead letter, and does not need it.
    """
    ended = {unit for unit, how in states.items() if how != "waiting"}
    chosen = {unit for unit in ended if states[unit] in LOST}
    if what == "replay":
        return Again({unit for unit in ended if states[unit] == "failed"}, set())
    if what == "all":
        chosen = ended
    elif what == "after":
        steps = steps_of(graph)
        steps.remove_nodes_from({*steps.nodes} - {unit[0] for unit in states})  # empty maps: nothing waits for them
        after = {number for unit in chosen for number in networkx.descendants(steps, unit[0])}
        chosen = chosen | {unit for unit in ended if unit[0] in after and not _is_added(graph.plans[unit[0]], unit)}
    chosen = {unit for unit in chosen if unit not in forgotten or states[unit] == "failed"}
    makers = {_maker(plan) for plan in graph.plans if plan.over or plan.grows} & chosen
    numbers = {number for number, _ in makers}
    gone = {unit for unit in states if unit[0] in numbers and _is_added(graph.plans[unit[0]], unit)}
    return Again(chosen - gone, gone)


def status_of(states: Mapping[Unit, str]) -> str:
    """Return the status of a workflow that was not cancelled."""
    found = set(states.values())
    if "waiting" in found:
        return "stuck"
    return "failed" if found & set(LOST) else "completed"


def _cancelled_at_once(graph: Graph) -> dict[Unit, str]:
    return {(plan.number, -1): "cancelled" for plan in graph.plans if plan.is_cancelled}


def _needs(graph: Graph, plan: Plan) -> list[int]:
    """Return the steps that it waits for: of the nested workflow, those at its end."""
    found: list[int] = []
    part = [p for p in graph.plans if p.part]
    inner = {n for p in part for n in p.needs}
    for n in plan.needs:
        found += [p.number for p in part if p.number not in inner] if graph.plans[n].part and not plan.part else [n]
    return found


def _units(plan: Plan) -> list[tuple[Unit, int]]:
    if plan.width is not None:
        return [((plan.number, n), fails) for n, fails in enumerate(plan.width)]
    return [((plan.number, MAKER), 0)] if plan.over else [((plan.number, -1), plan.fails)]


def _maker(plan: Plan) -> Unit:
    return plan.number, MAKER if plan.over else -1


def _is_added(plan: Plan, unit: Unit) -> bool:
    """Whether another job has added it: it is added again when that one runs again."""
    return bool(plan.over or plan.grows) and unit != _maker(plan)


def _grown(
    plan: Plan, states: Mapping[Unit, str], kept: Mapping[Unit, str], known: Collection[Unit]
) -> list[tuple[Unit, int]]:
    """Return what a step has added, or adds when it completes, and how often each of these fails."""
    maker = _maker(plan)
    if states.get(maker) != "completed" or not (plan.over or plan.grows):
        return []
    if maker in kept:  # it has run before, and added what there was
        units = [unit for unit in known if unit[0] == plan.number and unit != maker]
    elif plan.over:  # a step that has not completed has returned no list
        units = [(plan.number, n) for n in range(1000, 1000 + OVER) if states[plan.needs[0], -1] == "completed"]
    else:
        units = [(plan.number, n) for n in range(len(plan.grows))]
    return [(unit, 0 if plan.over else plan.grows[unit[1]]) for unit in units]


def _state(plan: Plan, needs: list[str], fails: int) -> str:
    if any(need in LOST for need in needs):
        if plan.if_failed in ("cancel", "skip"):
            return "cancelled" if plan.if_failed == "cancel" else "skipped"
        if plan.if_failed == "wait":
            return "waiting"
    return "waiting" if "waiting" in needs else _end(fails)


def _end(fails: int) -> str:
    return "failed" if fails >= FOR_GOOD else "completed"
