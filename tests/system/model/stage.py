"""A database on which two transactions act, stepped by hand: the second acts before the first has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psycopg

Action: TypeAlias = "Callable[[psycopg.Connection], object]"
State: TypeAlias = "tuple[Any, ...]"
EMPTY = (
    *("jobs", "dependencies", "dead_jobs", "workers", "limits", "queues", "key_locks", "paused_tasks", "switch"),
    *("results", "progress", "job_steps", "pipelines", "pipeline_stages", "broadcast_runs", "broadcasts"),
    *("workflows", "workflow_steps", "workflow_counts", "workflow_callbacks", "signals", "waits"),
)


class Stage:
    """A database with a few jobs, and three connections: one to look, and two that act.

    `states`: what can be set up, by name; `look_at`: returns what matters of it.
    """

    def __init__(self, url: str, states: Mapping[str, str], look_at: Callable[[psycopg.Connection], State]) -> None:
        self.look, self.one, self.two = (
            psycopg.connect(url, autocommit=True, options="-c synchronous_commit=off") for _ in range(3)
        )
        self._states = states
        self._look_at = look_at
        self._known: dict[tuple[str, tuple[Action, ...]], State] = {}  # what actions lead to

    def close(self) -> None:
        for connection in (self.look, self.one, self.two):
            connection.close()

    def set(self, state: str) -> None:
        self.look.execute("; ".join(f"DELETE FROM pgjobs.{table}" for table in EMPTY).encode())
        self.look.execute(
            "INSERT INTO pgjobs.workers (id, host, pid, queues, version) OVERRIDING SYSTEM VALUE "
            "SELECT id, 'host', 0, '{}', '0' FROM unnest(ARRAY[11, 12]) AS id"
        )
        self.look.execute(self._states[state].encode())

    def state(self) -> State:
        """Return what matters of the tables; when something happened does not."""
        stranded = self.look.execute(
            "SELECT id FROM pgjobs.jobs AS j WHERE status = 'running' "
            "AND NOT EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = j.worker_id)"
        ).fetchall()
        assert not stranded, "it runs, and no worker will look for it"
        return self._look_at(self.look)

    def alone(self, state: str, *actions: Action) -> State:
        """Return what these actions lead to, one after the other."""
        if (state, actions) not in self._known:
            self.set(state)
            for action in actions:
                with self.one.transaction():
                    action(self.one)
            self._known[state, actions] = self.state()
        return self._known[state, actions]

    def side_by_side(self, state: str, first: Action, second: Action, *, commit: bool) -> State:
        """Return what they lead to when the second acts before the first has committed, or has rolled back."""
        self.set(state)
        errors: list[BaseException] = []

        def act() -> None:
            try:
                with self.two.transaction():
                    second(self.two)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=act)
        with suppress(psycopg.Rollback), self.one.transaction():
            first(self.one)
            thread.start()
            while thread.is_alive() and not self._waits():
                thread.join(0.002)
            if not commit:
                raise psycopg.Rollback
        thread.join(10)
        assert not thread.is_alive(), "the second one waits forever"
        assert not errors, errors[0]
        return self.state()

    def in_between(
        self, state: str, first: Callable[[psycopg.Connection, Callable[[], object]], object], second: Action
    ) -> State:
        """Return what they lead to when the second begins and commits where the first calls what it is given."""
        self.set(state)

        def act() -> None:
            self.two.execute("SET lock_timeout = '5s'")
            with self.two.transaction():
                second(self.two)

        with self.one.transaction():
            first(self.one, act)
        return self.state()

    def _waits(self) -> bool:
        row = self.look.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [self.two.info.backend_pid]).fetchone()
        return row is not None and bool(row[0])


@contextmanager
def stage_on(url: str, states: Mapping[str, str], look_at: Callable[[psycopg.Connection], State]) -> Iterator[Stage]:
    """Use a stage, and close its connections."""
    stage = Stage(url, states, look_at)
    try:
        yield stage
    finally:
        stage.close()
