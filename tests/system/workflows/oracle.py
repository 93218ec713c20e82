"""How a random workflow should end: decided on a graph of networkx, by the words of the guide alone."""

from __future__ import annotations

from typing import NamedTuple

import networkx

from tests.system.workflows.graphs import Graph, Plan
from tests.system.workflows.tasks import FOR_GOOD, OVER

Unit = tuple[int, int]
"""A job: the number of its step, and its place in it (-1: the step itself; of a map over a result: from 1000)."""
LOST = ("failed", "cancelled")


class Expected(NamedTuple):
    """How each job is at the end, the status of the workflow, and which jobs have to end before which."""

    states: dict[Unit, str]
    status: str
    order: networkx.DiGraph


def expect(graph: Graph, *, healed: dict[Unit, str] | None = None) -> Expected:
    """Return how it should end. `healed`: how it was before all that had failed was replayed."""
    order = networkx.DiGraph()
    states: dict[Unit, str] = {}
    outer = networkx.DiGraph()
    for plan in graph.plans:
        outer.add_node(plan.number)
        outer.add_edges_from((n, plan.number) for n in _needs(graph, plan))
    for number in networkx.lexicographical_topological_sort(outer):
        plan = graph.plans[number]
        needed = [unit for n in _needs(graph, plan) for unit in _ends(graph.plans[n], states)]
        for unit, fails in _units(graph, plan):
            order.add_node(unit)
            order.add_edges_from((need, unit) for need in needed)
            how = _state(plan, [states[need] for need in needed], fails, unit, healed)
            if how is not None:
                states[unit] = how
        _grown(graph, plan, states, order, healed)
    return Expected(states, _status(states), order)


def _needs(graph: Graph, plan: Plan) -> list[int]:
    """Return the steps that it waits for: of the nested workflow, those at its end."""
    found: list[int] = []
    part = [p for p in graph.plans if p.part]
    inner = {n for p in part for n in p.needs}
    for n in plan.needs:
        found += [p.number for p in part if p.number not in inner] if graph.plans[n].part and not plan.part else [n]
    return found


def _units(graph: Graph, plan: Plan) -> list[tuple[Unit, int]]:
    if plan.width is not None:
        return [((plan.number, n), fails) for n, fails in enumerate(plan.width)]
    if plan.over:  # the job that makes the others; it does not fail
        return [((plan.number, -2), 0)]
    return [((plan.number, -1), plan.fails)]


def _ends(plan: Plan, states: dict[Unit, str]) -> list[Unit]:
    """Return the jobs that what waits for a step waits for."""
    return [unit for unit in states if unit[0] == plan.number]


def _grown(
    graph: Graph, plan: Plan, states: dict[Unit, str], order: networkx.DiGraph, healed: dict[Unit, str] | None
) -> None:
    """Add what a step adds when it completes."""
    maker = (plan.number, -2 if plan.over else -1)
    if states.get(maker) != "completed":
        return
    if healed is not None and healed.get(maker) == "completed":  # it has run before, and added what there was
        added = [(n, 0) for number, n in healed if number == plan.number and (number, n) != maker]
    else:
        added = [(n, 0) for n in range(1000, 1000 + OVER)] if plan.over and _has_items(graph, plan, states) else []
        added += list(enumerate(plan.grows))
    for n, fails in added:
        unit = (plan.number, n)
        order.add_edge(maker, unit)
        states[unit] = "completed" if healed is not None or fails < FOR_GOOD else "failed"


def _has_items(graph: Graph, plan: Plan, states: dict[Unit, str]) -> bool:
    """Whether the step that a map is made over has returned a list: else there are no items."""
    return states[plan.needs[0], -1] == "completed"


def _state(plan: Plan, needs: list[str], fails: int, unit: Unit, healed: dict[Unit, str] | None) -> str | None:
    before = None if healed is None else healed.get(unit)
    if before in ("completed", "cancelled", "skipped"):
        return before
    if plan.is_cancelled:
        return "cancelled"
    if any(need in LOST for need in needs):
        if plan.if_failed in ("cancel", "skip"):
            return "cancelled" if plan.if_failed == "cancel" else "skipped"
        if plan.if_failed == "wait":
            return "waiting"
    if "waiting" in needs:
        return "waiting"
    return "completed" if healed is not None or fails < FOR_GOOD else "failed"


def _status(states: dict[Unit, str]) -> str:
    found = set(states.values())
    if "waiting" in found:
        return "stuck"
    return "failed" if found & set(LOST) else "completed"
