"""Some random workflows that run at the same time, and are compared with the model whenever nothing can go on."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pgjobs import admin, enqueue, signal
from tests.system.workflows.actions import HEALS, Acted, act_upon, forget, retry
from tests.system.workflows.graphs import COMPLETED, LOST, Graph, build
from tests.system.workflows.oracle import MAKER, Expected, Unit, expect, put_back, status_of

WITHIN = 240.0  # seconds that they may take from one comparison to the next


@dataclass
class Followed:
    """A graph that is followed. `states`: of its jobs, when they were last compared. `forgotten`: without history.

    `completions`: how often each job has completed. `calls`: of what it may call back, what it has to have called.
    """

    graph: Graph
    handle: Any
    units: dict[int, Unit]
    states: dict[Unit, str] = field(default_factory=dict)
    forgotten: set[Unit] = field(default_factory=set)
    completions: Counter[Unit] = field(default_factory=Counter)
    calls: dict[int, set[int]] = field(default_factory=lambda: {COMPLETED: {0}, LOST: {0}})
    calls_no_more: bool = False
    is_cancelled: bool = False  # as a whole, and nothing of it has run since then

    @property
    def what(self) -> str:
        """For the line that says what is wrong."""
        return f"before: {self.states}\n{self.graph}"


@dataclass
class Phase:
    """What is expected once nothing can go on. `kept`: what stays as it is.

    `replayed`: dead letters, each by itself: none waits for another. `healed`: nothing fails any longer.
    `may_have_run`: what is cancelled, and may have begun. `is_cancelled`: as a whole. `is_repeated`: what failed was
    put back, and failed again.
    """

    expected: Expected
    kept: dict[Unit, str]
    replayed: set[Unit] = field(default_factory=set)
    healed: bool = False
    may_have_run: set[Unit] = field(default_factory=set)
    is_cancelled: bool = False
    is_repeated: bool = False


class Batch:
    """Runs them. `exact`: nothing is killed, so runs can be counted."""

    def __init__(self, conn: psycopg.Connection, graphs: list[Graph], *, exact: bool) -> None:
        self._conn, self._graphs, self._exact = conn, graphs, exact
        self._followed: list[Followed] = []
        self._since = 0

    def run(self) -> list[str]:
        """Enqueue, act, wait, compare; act, wait, compare; and once more. Returns what is wrong."""
        self._since = self._last_run()
        for graph in self._graphs:
            self._enqueue(graph)
        wanted = {one.handle.id: one.graph.meanwhile for one in self._followed if one.graph.meanwhile}
        acted = act_upon(self._conn, wanted)
        self._wait()
        phases = [(one, self._first(one, acted.get(one.handle.id, Acted()))) for one in self._followed]
        wrong = self._compare("meanwhile", phases)
        for name in ("then", "last"):
            left = [one for one in self._followed if one.states]
            self._since = self._last_run()
            phases = [(one, self._act(one, getattr(one.graph, name))) for one in left]
            self._wait()
            wrong += self._compare(name, phases)
        return wrong

    def _last_run(self) -> int:
        row = self._conn.execute("SELECT coalesce(max(at), 0) FROM runs").fetchone()
        assert row
        last: int = row[0]
        return last

    def _enqueue(self, graph: Graph) -> None:
        flow, steps = build(graph)
        fates = [
            (graph.key, plan.number, n, fails)
            for plan in graph.plans
            for n, fails in [(-1, plan.fails), *enumerate(plan.width or []), *enumerate(plan.grows)]
            if fails
        ]
        with self._conn.transaction(), self._conn.cursor() as cursor:
            cursor.executemany("INSERT INTO fates VALUES (%s, %s, %s, %s)", fates)
            handle = enqueue(self._conn, flow)
        one = Followed(graph, handle, {})
        self._followed.append(one)
        for plan in graph.plans:
            for n, job in enumerate(handle.jobs(steps[plan.number])):
                one.units[job.id] = (plan.number, n if plan.width is not None else MAKER if plan.over else -1)
        cancelled = [handle.job(steps[plan.number]) for plan in graph.plans if plan.is_cancelled]
        if cancelled:
            admin.cancel_jobs(self._conn, cancelled)
        if any(plan.waits for plan in graph.plans):
            signal(self._conn, handle, "go")

    def _first(self, one: Followed, acted: Acted) -> Phase:
        """Return what is expected of the first time. What was cancelled is as it is: that depends on the moment."""
        graph = one.graph
        found = self._found(one)
        one.forgotten = {one.units[job] for job in acted.forgotten if job in one.units}  # not what was called back
        planned = {(plan.number, -1): "cancelled" for plan in graph.plans if plan.is_cancelled}
        asked = set(found) if acted.is_cancelled else {one.units[job] for job in acted.asked}
        cancelled = {unit for unit in asked if found[unit] == "cancelled"} - planned.keys()
        kept = planned | dict.fromkeys(cancelled, "cancelled")
        return Phase(
            expect(graph, kept=kept),
            kept,
            may_have_run=cancelled,
            is_cancelled=acted.is_cancelled,
            is_repeated=graph.meanwhile in ("retry", "replay"),
        )

    def _act(self, one: Followed, what: str) -> Phase:
        """Act upon a workflow in which nothing can go on, and return what follows by the model."""
        graph, states = one.graph, one.states
        if graph.is_forgotten:
            one.forgotten |= {one.units[job] for job in forget(self._conn, one.handle.id, 0.5) if job in one.units}
        ended = {unit: how for unit, how in states.items() if how != "waiting"}
        if what == "cancel workflow":
            if status_of(states) != "stuck":
                return Phase(expect(graph, kept=ended, known=states), ended, is_cancelled=one.is_cancelled)
            admin.cancel_workflow(self._conn, one.handle)
            kept = ended | {unit: "cancelled" for unit in states if unit not in ended}
            return Phase(expect(graph, kept=kept, known=states), kept, is_cancelled=True)
        if what == "cancel":
            waiting = sorted(unit for unit in states if unit not in ended)
            some = random.sample(waiting, min(len(waiting), 2))
            jobs = {unit: job for job, unit in one.units.items()}
            admin.cancel_jobs(self._conn, [jobs[unit] for unit in some])
            kept = ended | dict.fromkeys(some, "cancelled")
            return Phase(expect(graph, kept=kept, known=states), kept, is_cancelled=one.is_cancelled)
        healed = what in HEALS
        if healed:
            self._conn.execute("UPDATE fates SET fails = 0 WHERE graph = %s", [graph.key])
        again = put_back(graph, states, {"again": "failed", "again after": "after"}.get(what, what), one.forgotten)
        retry(self._conn, one.handle.id, what)
        kept = {unit: how for unit, how in ended.items() if unit not in again.jobs and unit not in again.gone}
        known = states.keys() - again.gone
        one.forgotten -= again.jobs | again.gone
        expected = expect(graph, kept=kept, known=known, healed=healed)
        return Phase(
            expected,
            kept,
            healed=healed,
            is_cancelled=one.is_cancelled and not again.jobs,
            replayed=again.jobs if what == "replay" else set(),
        )

    def _wait(self) -> None:
        """Wait until nothing in these workflows can go on, and what they have called back has run."""
        ids = [one.handle.id for one in self._followed]
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            left = self._conn.execute(
                "SELECT id FROM pgjobs.workflows WHERE id = ANY (%(ids)s) AND status = 'running' UNION ALL "
                "SELECT s.workflow_id FROM pgjobs.workflow_steps AS s WHERE s.workflow_id = ANY (%(ids)s) "
                "AND s.kind IN ('on_completed', 'on_failure') "
                "AND EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = s.job_id)",
                {"ids": ids},
            ).fetchall()
            if not left:
                return
            time.sleep(0.05)

    def _compare(self, name: str, phases: list[tuple[Followed, Phase]]) -> list[str]:
        """Compare each with what is expected. What is wrong once is not followed any further."""
        wrong: list[str] = []
        for one, phase in phases:
            try:
                self._compare_one(one, phase)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
                one.states = {}
        return wrong

    def _compare_one(self, one: Followed, phase: Phase) -> None:
        found = self._found(one)
        expected = phase.expected.states
        assert found == expected, f"{_difference(found, expected)}\n{one.what}"
        status = phase.expected.status
        one.is_cancelled = phase.is_cancelled and set(expected.values()) != {"completed"}
        if one.is_cancelled:
            status = "cancelled"
        row = admin.list_workflows(self._conn, limit=1, before=one.handle.id + 1)[0]
        counts = Counter(expected.values())
        assert (row.status, row.steps) == (status, len(found)), f"{row}, should be {status}\n{one.what}"
        for how in ("completed", "failed", "cancelled", "skipped"):
            assert getattr(row, how) == counts[how], f"{how}: {row}\n{one.what}"
        assert row.active == 0, f"{row}\n{one.what}"
        self._check_runs(one, phase)
        self._check_effects(one, phase)
        self._check_calls(one, status, phase)
        one.states = found

    def _found(self, one: Followed) -> dict[Unit, str]:
        rows = self._conn.execute(
            "SELECT s.job_id, s.parent, s.n, s.status, w.held FROM pgjobs.workflow_steps AS s "
            "LEFT JOIN pgjobs.jobs_waiting AS w ON w.id = s.job_id "
            "WHERE s.workflow_id = %s AND (s.kind IS NULL OR s.kind = 'map') ORDER BY s.job_id",
            [one.handle.id],
        ).fetchall()
        found: dict[Unit, str] = {}
        for job, parent, n, status, held in rows:
            if parent is not None:
                number, of = one.units[parent]
                one.units[job] = (number, n + 1000 if of == MAKER else n)
            found[one.units[job]] = status or ("waiting" if held == "needs" else "active")
        return found

    def _check_runs(self, one: Followed, phase: Phase) -> None:
        rows = self._conn.execute(
            "SELECT step, n, array_agg(at ORDER BY at) FILTER (WHERE NOT ends), array_agg(at) FILTER (WHERE ends) "
            "FROM runs WHERE graph = %s AND at > %s AND step >= 0 GROUP BY 1, 2",
            [one.graph.key, self._since],
        ).fetchall()
        began = {(step, n): starts or [] for step, n, starts, _ in rows}
        ended = {(step, n): ends or [] for step, n, _, ends in rows}
        for unit, how in phase.expected.states.items():
            starts, ends = (len(runs.get(unit, [])) for runs in (began, ended))
            line = f"{unit} is {how}: {starts} runs, {ends} to the end\n{one.what}"
            if unit[1] == MAKER or unit in phase.may_have_run:
                continue
            if unit in phase.kept or how in ("waiting", "cancelled", "skipped"):
                assert not starts, line
            elif how == "completed":
                assert ends, line
                one.completions[unit] += 1
                assert not self._exact or (ends == 1 and starts <= 2 - phase.healed), line
            elif self._exact and not phase.is_repeated:
                assert (starts, ends) == (1, 0), line
        for before, after in phase.expected.order.edges:
            first, last = min(began.get(after) or [math.inf]), max(ended.get(before) or [-math.inf])
            if phase.expected.states.get(before) == "completed" and not {before, after} <= phase.replayed:
                assert last < first, f"{after} began before {before} had ended\n{one.what}"

    def _check_effects(self, one: Followed, phase: Phase) -> None:
        """Check that what completes in its own transaction did so once, whatever was killed."""
        rows = self._conn.execute(
            "SELECT step, count(*) FROM effects WHERE graph = %s GROUP BY 1", [one.graph.key]
        ).fetchall()
        wanted = {
            plan.number: one.completions[plan.number, -1]
            for plan in one.graph.plans
            if plan.completes and one.completions[plan.number, -1]
        }
        assert dict(rows) == wanted, f"effects {dict(rows)}, should be {wanted}\n{one.what}"

    def _check_calls(self, one: Followed, status: str, phase: Phase) -> None:
        """Check that it has called back once what it has to, and never what it must not."""
        if not one.calls_no_more:
            if status in ("stuck", "failed"):
                one.calls[LOST] = {1}
            elif status == "completed":
                one.calls[COMPLETED] = {1}
            elif phase.may_have_run and one.calls[LOST] == {0}:
                one.calls[LOST] = {0, 1}  # it may have been stuck before
        one.calls_no_more |= status in ("completed", "cancelled")
        rows = self._conn.execute(
            "SELECT step, count(DISTINCT job), count(*) FROM runs WHERE graph = %s AND step < 0 GROUP BY 1",
            [one.graph.key],
        ).fetchall()
        jobs = {step: count for step, count, _ in rows}
        for what, allowed in one.calls.items():
            assert jobs.get(what, 0) in allowed, f"callbacks {jobs}, should be {one.calls}\n{one.what}"
        assert not self._exact or all(count == runs for _, count, runs in rows), f"callbacks {rows}\n{one.what}"


def _difference(found: dict[Unit, str], wanted: dict[Unit, str]) -> str:
    units = sorted({*found, *wanted})
    return ", ".join(
        f"{u}: is {found.get(u)}, should be {wanted.get(u)}" for u in units if found.get(u) != wanted.get(u)
    )
