"""What to do next, from a seed and from what is seen. Nothing here reads a clock, a table or a process."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

QUEUES = ("mixed", "limited", "forgets")
LIMIT_KEYS = tuple(f"lim:{n}" for n in range(5))
RATE_KEYS = tuple(f"rate:{n}" for n in range(3))
SEQUENCES = tuple(f"seq:{n}" for n in range(8))
ON_FAILURE = ("block", "skip", "end")
TENANTS = ("ada", "bob", "cyd", "dan")
BREAKERS = ("breaker-0", "breaker-1")
UNIQUE_KEYS = tuple(f"unique:{n}" for n in range(12))
TASKS = ("in_thread", "on_loop", "in_child")
FATES: list[tuple[float, str]] = [
    (70, "ok"),
    (8, "fails once"),
    (7, "fails"),
    (5, "snoozes"),
    (3, "retries"),
    (2, "cancels"),
    (0.3, "exits"),
]
FULL = 250  # jobs that have not ended: nothing is enqueued while there are as many

Phase = Literal["storm", "calm"]


class Call(NamedTuple):
    """A transaction that enqueues `jobs` jobs with these options, beside what `_flow` says of them.

    `hold`: seconds that it stays open; `commit`: whether it is kept.
    """

    task: str
    jobs: int
    seconds: float
    fate: str
    tenant: str
    options: dict[str, Any]
    hold: float = 0.0
    commit: bool = True


class Step(NamedTuple):
    """Something that an operator, or fate, does."""

    kind: str
    values: dict[str, Any] = {}  # noqa: RUF012 (never changed)


@dataclass(frozen=True, slots=True)
class View:
    """What is seen. `live`: jobs that have not ended, and all else is a sample of ids."""

    live: int = 0
    recent: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    running: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()
    letters: tuple[int, ...] = ()
    paused: tuple[tuple[str, str], ...] = field(default=())  # kind and name
    phase: Phase = "storm"


def next_call(dice: random.Random, view: View) -> Call | None:
    """Choose what to enqueue; None: there is enough."""
    if view.live >= FULL:
        return None
    options: dict[str, Any] = {}
    families = _chosen(dice, FAMILIES)
    for family in families:
        options |= _options(dice, view, family)
    task = _one(dice, [(6.0, "in_thread"), (6.0, "on_loop"), (0.6, "in_child")])
    options["queue"] = (
        "heavy" if task == "in_child" else _one(dice, [(5.0, "mixed"), (3.0, "limited"), (2.0, "forgets")])
    )
    if dice.random() < 0.3:
        options["priority"] = dice.randint(0, 9)
    if dice.random() < 0.12 and "expires" not in options:
        options["delay"] = round(dice.uniform(0.05, 1.5), 3)
    options["max_attempts"] = dice.choice((1, 2, 2, 3))
    seconds = round(dice.choice((0.002, 0.02, 0.05, 0.15)) * dice.uniform(0.5, 1.5), 4)
    if dice.random() < 0.02:
        seconds = round(dice.uniform(0.5, 2.0), 2)
    if dice.random() < 0.03:
        options["timeout"] = 0.3
    hold = round(dice.uniform(0.1, 1.5), 2) if dice.random() < 0.04 else 0.0
    return Call(
        task,
        1 if dice.random() < 0.6 else dice.randint(2, 8),
        seconds,
        _one(dice, FATES),
        dice.choice(TENANTS),
        options,
        hold,
        commit=dice.random() > 0.08,
    )


FAMILIES: list[tuple[float, tuple[str, ...]]] = [
    (2, ()),
    (4, ("limit",)),
    (2, ("rate",)),
    (5, ("sequence",)),
    (2, ("fair",)),
    (2, ("breaker",)),
    (2, ("unique",)),
    (3, ("after",)),
    (1, ("expires",)),
    (2, ("sequence", "limit")),
    (1, ("limit", "fair", "breaker")),
    (1, ("sequence", "after")),
    (1, ("rate", "expires")),
    (1, ("limit", "unique")),
    (1, ("sequence", "rate", "breaker", "fair")),
]


def _options(dice: random.Random, view: View, family: str) -> dict[str, Any]:
    match family:
        case "limit":
            return {"limit": (dice.choice(LIMIT_KEYS), None)}
        case "rate":
            return {"limit": (dice.choice(RATE_KEYS), dice.choice((None, None, 3.0)))}
        case "sequence":
            number = dice.randrange(len(SEQUENCES))
            end = ON_FAILURE[number % 3] if dice.random() < 0.9 else dice.choice(ON_FAILURE)
            return {"sequence": (SEQUENCES[number], end)}
        case "fair":
            return {"fair_by": "tenant"}
        case "breaker":
            return {"breaker": dice.choice(BREAKERS)}
        case "unique":
            until = dice.choice(("finished", "finished", "started"))
            return {"unique": (dice.choice(UNIQUE_KEYS), until, dice.choice(("skip", "replace", "raise")))}
        case "after" if view.recent:
            needed = dice.sample(view.recent, min(len(view.recent), dice.randint(1, 3)))
            return {"after": tuple(needed), "if_failed": dice.choice(("wait", "run", "cancel"))}
        case "expires":
            return {"expires": round(dice.uniform(0.05, 3.0), 2)}
    return {}


def next_change(dice: random.Random, view: View) -> Step:
    """Choose what an operator does."""
    if view.paused and dice.random() < 0.6:
        kind, name = dice.choice(view.paused)
        return Step(f"resume {kind}", {"name": name})
    kind = _one(dice, CHANGES)
    return Step(kind, _values(dice, view, kind))


CHANGES: list[tuple[float, str]] = [
    (6, "set limit"),
    (2, "remove limit"),
    (3, "limit queue"),
    (1, "age queue"),
    (1, "pause queue"),
    (1, "pause task"),
    (0.4, "pause all"),
    (1, "open breaker"),
    (1, "close breaker"),
    (1, "dependency"),
    (4, "cancel"),
    (2, "cancel held"),
    (2, "retry"),
    (4, "set"),
    (2, "set held"),
    (4, "replay"),
    (2, "discard"),
    (1, "weigh"),
    (1, "cancel hopeless"),
    (0.3, "retention"),
]


def _values(dice: random.Random, view: View, kind: str) -> dict[str, Any]:
    match kind:
        case "set limit":
            if dice.random() < 0.3:
                name = dice.choice((*RATE_KEYS, "rate:*"))
                rate = dice.choice(("10/s", "20/s", "50/s", "30/2s"))
                return {
                    "name": name,
                    "concurrency": dice.choice((None, 2)),
                    "rate": rate,
                    "burst": dice.choice((None, 1, 5)),
                }
            return {
                "name": dice.choice((*LIMIT_KEYS, "lim:*")),
                "concurrency": dice.choice((0, 1, 1, 2, 3, 5)),
                "rate": None,
                "burst": None,
            }
        case "remove limit":
            return {"name": dice.choice((*LIMIT_KEYS, *RATE_KEYS))}
        case "limit queue":
            limited = dice.random() < 0.3
            return {
                "name": "limited",
                "concurrency": dice.choice((None, 1, 2, 4, 6)),
                "rate": "40/s" if limited else None,
            }
        case "age queue":
            return {"name": dice.choice(QUEUES), "seconds": dice.choice((None, 0.2, 1.0))}
        case "pause queue":
            return {"name": dice.choice(QUEUES)}
        case "pause task":
            return {"name": dice.choice(TASKS)}
        case "open breaker":
            return {"name": dice.choice(BREAKERS), "seconds": dice.choice((0.5, 1.5))}
        case "close breaker":
            return {"name": dice.choice(BREAKERS)}
        case "dependency":
            return {"down": dice.random() < 0.4}
        case "cancel" | "cancel held":
            ids = _some(dice, view.waiting if dice.random() < 0.6 else view.running)
            held = kind == "cancel held"
            return {"ids": ids, "force": dice.random() < 0.3, "cascade": dice.random() < 0.3} | (
                _held(dice) if held else {}
            )
        case "retry":
            return {"ids": _some(dice, view.ended)}
        case "set" | "set held":
            change: dict[str, Any] = dice.choice(
                (
                    {"priority": dice.randint(0, 9)},
                    {"delay": round(dice.uniform(0, 1), 2)},
                    {"queue": dice.choice(QUEUES)},
                )
            )
            return {"ids": _some(dice, view.waiting), "change": change} | (_held(dice) if kind == "set held" else {})
        case "replay" | "discard":
            return {"ids": _some(dice, view.letters)}
        case "weigh":
            return {"name": dice.choice(TENANTS), "weight": dice.choice((0.5, 1.0, 3.0))}
    return {}


def next_fault(dice: random.Random) -> Step:
    """Choose what breaks."""
    kind = _one(dice, FAULTS)
    if kind in ("stop worker", "stop host"):
        return Step(kind, {"seconds": round(dice.choice((0.5, 1.5, 4.0, 8.0)) * dice.uniform(0.7, 1.3), 2)})
    if kind.startswith("server"):
        return Step(kind, {"seconds": round(dice.uniform(0.0, 1.5), 2)})
    return Step(kind)


FAULTS: list[tuple[float, str]] = [
    (4, "kill worker"),
    (1, "kill supervisor"),
    (2, "kill host"),
    (4, "stop worker"),
    (3, "stop host"),
    (2, "drain host"),
    (2, "cut connections"),
    (0.7, "server fast"),
    (0.7, "server immediate"),
    (0.7, "server killed"),
]


def pause_before(dice: random.Random, phase: Phase) -> float:
    """Return the seconds until the next fault of a storm."""
    return dice.uniform(0.3, 3.0) if phase == "storm" else 0.0


def phases(dice: random.Random, seconds: float) -> list[tuple[Phase, float]]:
    """Divide a round into storms, in which things break, and calm, in which all has to go smoothly."""
    found: list[tuple[Phase, float]] = []
    left = seconds
    while left > 0:
        phase: Phase = "calm" if len(found) % 2 else "storm"
        length = min(left, dice.uniform(8, 15) if phase == "storm" else dice.uniform(12, 18))
        found.append((phase, length))
        left -= length
    return found


def _held(dice: random.Random) -> dict[str, Any]:
    return {"hold": round(dice.uniform(0.2, 1.5), 2), "commit": dice.random() < 0.5}


def _some(dice: random.Random, ids: tuple[int, ...]) -> list[int]:
    return dice.sample(ids, min(len(ids), dice.randint(1, 3)))


def _one(dice: random.Random, weighted: list[tuple[float, str]]) -> str:
    return dice.choices([name for _, name in weighted], [weight for weight, _ in weighted])[0]


def _chosen(dice: random.Random, weighted: list[tuple[float, tuple[str, ...]]]) -> tuple[str, ...]:
    return dice.choices([names for _, names in weighted], [weight for weight, _ in weighted])[0]
