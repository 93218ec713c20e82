"""Draws the graph of a workflow as text: a line for each node, with what it waits for and how its steps are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pgjobs.core.text import short_duration

if TYPE_CHECKING:
    from pgjobs.admin import WorkflowNode

MAX_NODES = 200
MAX_NEEDS = 4
_STATES = ("running", "queued", "waiting", "failed", "cancelled", "skipped")


def draw(nodes: Sequence[WorkflowNode], path: Sequence[int]) -> Iterator[str]:
    """Yield the lines: each node below those that it waits for, further to the right by one for each step of the way.

    Nodes of the critical path have a star.
    """
    names = {node.id: node.name for node in nodes}
    depth: dict[int, int] = {}
    for node in sorted(nodes, key=lambda node: node.id):
        depth[node.id] = max((depth[needed] + 1 for needed in node.needs if needed in depth), default=0)
    critical = set(path) if len(path) > 1 else set()
    shown = sorted(nodes, key=lambda node: (depth[node.id], node.id))
    for node in shown[:MAX_NODES]:
        yield _line(node, depth[node.id], names, is_critical=node.id in critical)
    if len(shown) > MAX_NODES:
        yield f"… and {len(shown) - MAX_NODES:,} more; --json has all of them"
    if critical:
        yield "* the slowest way: " + " → ".join(names[node] for node in path)


def _line(node: WorkflowNode, depth: int, names: dict[int, str], *, is_critical: bool) -> str:
    mark = _mark(node)
    width = f"[{node.steps:,}]" if node.steps > 1 else ""
    needs = [names[needed] for needed in node.needs if needed in names]
    more = f", … {len(needs) - MAX_NEEDS} more" if len(needs) > MAX_NEEDS else ""
    after = f" ← {', '.join(needs[:MAX_NEEDS])}{more}" if needs else ""
    star = " *" if is_critical else ""
    took = "" if node.seconds is None else f" {short_duration(node.seconds)}"
    return f"{'  ' * depth}{mark} {node.name}{width}{after}: {_states(node)}{took}{star}"


def _mark(node: WorkflowNode) -> str:
    if node.failed or node.dead:
        return "✗"
    if node.running:
        return "▶"
    if node.completed + node.skipped + node.cancelled == node.steps:
        return "✓" if node.completed else "-"
    return "·"


def _states(node: WorkflowNode) -> str:
    if node.completed == node.steps:
        return "completed"
    counts = [(state, getattr(node, state)) for state in _STATES]
    parts = [f"{node.completed:,} of {node.steps:,} completed"] if node.steps > 1 else []
    parts += [f"{count:,} {state}" if node.steps > 1 else state for state, count in counts if count]
    if node.dead:
        letters = ", ".join(map(str, node.dead[:3])) + (", …" if len(node.dead) > 3 else "")
        parts.append(f"dead {'letter' if len(node.dead) == 1 else 'letters'} {letters}")
    return ", ".join(parts) or "not known"
