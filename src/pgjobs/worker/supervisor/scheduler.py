"""Fires due schedules, and writes what the workers' imports declare: schedules, and what comes with them.

Every supervisor has a scheduler, for all schedules of the database. While there are none it sleeps without a
connection, until the maintenance thread sees one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from pgjobs.db.connection import ANSWER_WITHIN, connect
from pgjobs.db.installation import connection_name
from pgjobs.db.statements import statement
from pgjobs.schedules.ownership import EVERY
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped

if TYPE_CHECKING:
    from pgjobs.schedules.stored_call import StoredSchedule
    from pgjobs.schedules.sync import Declaration, DeclaredKind

log = logging.getLogger("pgjobs.scheduler")
POLL = 1.0  # seconds: PostgreSQL's clock may leap, and schedules are added
TAKEN = 0.1  # seconds until the next look at what another supervisor has locked
HELD_UP = 5.0  # seconds until what is declared is written, where another transaction has locked it
LINGER = 60.0  # seconds for which the connection is kept when there is nothing to do


class Scheduler(threading.Thread):
    """One thread, and a connection while there are schedules. `role`: what its workers import, "" for nothing."""

    def __init__(self, database_url: str, role: str) -> None:
        super().__init__(name="pgjobs-scheduler", daemon=True)
        self._role = role
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._server = ReconnectingConnection(
            "scheduler",
            lambda: connect(database_url, application_name=connection_name("scheduler"), answer_within=ANSWER_WITHIN),
            self._stopping,
        )
        self._schedules: dict[str, StoredSchedule] | None = None  # None: no worker has reported them yet
        self._others: list[DeclaredKind] | None = None  # subscriptions, topics and pipelines
        self._declaration: Declaration | None = None
        self._sent: tuple[object, object] = (None, None)  # what the last heartbeat wrote
        self._next_beat = 0.0  # monotonic seconds
        self._not_before = 0.0  # monotonic seconds: what is declared was locked
        self._is_held_up = False  # and that was logged
        self._idle_since: float | None = None
        self.needed = False  # there are schedules; written by this thread alone

    def take_declared(self, message: dict[str, Any]) -> None:
        """Take what a worker process has imported. Called by the supervisor's loop."""
        from pgjobs.events.subscription import StoredSubscription, StoredTopic
        from pgjobs.events.sync import DeclaredSubscriptions, DeclaredTopics
        from pgjobs.pipelines.stored import StoredPipeline
        from pgjobs.pipelines.sync import DeclaredPipelines
        from pgjobs.schedules.stored_call import StoredSchedule

        found = {each.name: each for each in map(StoredSchedule.from_message, message["schedules"])}
        others: list[DeclaredKind] = [
            DeclaredSubscriptions.of(map(StoredSubscription.from_message, message["subscriptions"])),
            DeclaredTopics.of(StoredTopic(**each) for each in message["topics"]),
            DeclaredPipelines.of(map(StoredPipeline.from_message, message["pipelines"])),
        ]
        if others != self._others:
            self._others = others
        if self._schedules is None or found != self._schedules:
            self._schedules = found
        if found or self._declares_others:
            self.wake()

    @property
    def owes_declaration(self) -> bool:
        """Whether it has not written yet that the code declares no subscriptions, as other code did before."""
        return bool(self._role) and self._others is not None and self._sent[1] is not self._others

    @property
    def _declares_others(self) -> bool:
        return any(each.declared for each in self._others or ())

    def wake(self) -> None:
        """Start working: there are schedules."""
        self._woken.set()

    def stop(self) -> None:
        """Have the thread end."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Work until stopped. No error ends the thread."""
        while not self._stopping.is_set():
            if self._woken.is_set():
                self._woken.clear()
                self.needed = True
            pause: float | None = None
            if self.needed:
                try:
                    pause = self._server.run(self._look)
                except Stopped:
                    break
                except Exception:
                    log.exception("firing schedules failed; retrying in 1 s")
                    pause = POLL
            if not self._stopping.is_set():
                self._woken.wait(pause)
        self._end()

    def _look(self, server: ReconnectingConnection) -> float | None:
        """Fire what is due, and return the seconds until the next look; None: sleep until woken."""
        from pgjobs.schedules.firing import fire_due

        now = time.monotonic()
        if now >= self._not_before and (self._news() or now >= self._next_beat):
            self._declare(server)
        row = server.connection.execute(statement("next_schedule")).fetchone()
        assert row is not None  # noqa: S101 (it counts)
        count, seconds = row
        if not count and not self._schedules and not self._declares_others:
            return self._rest(server)
        self._idle_since = None
        if not count or seconds > 0:
            return min(POLL, seconds) if count else POLL
        jobs = fire_due(server.connection, self._stopping.is_set)
        return 0.0 if jobs else TAKEN

    def _rest(self, server: ReconnectingConnection) -> float | None:
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < LINGER:
            return POLL
        self._idle_since, self.needed = None, False
        server.close()
        return None

    def _declare(self, server: ReconnectingConnection) -> None:
        """Write what is declared. What another transaction has locked holds up no firing: it is tried again later."""
        from psycopg.errors import LockNotAvailable

        try:
            self._send_heartbeat(server)
            self._is_held_up = False
        except LockNotAvailable:
            self._not_before = time.monotonic() + HELD_UP
            if not self._is_held_up:
                self._is_held_up = True
                log.warning(
                    "what the code declares is not written yet: another transaction has locked a schedule or a "
                    "subscription; trying again every %g s",
                    HELD_UP,
                )

    def _send_heartbeat(self, server: ReconnectingConnection) -> None:
        schedules, others = self._schedules, self._others
        if not self._role or schedules is None or others is None:
            return
        if self._declaration is None:
            from pgjobs.schedules.sync import Declaration

            self._declaration = Declaration(self._role)
        self._declaration.send_heartbeat(server.connection, schedules, others)
        self._sent, self._next_beat = (schedules, others), time.monotonic() + EVERY

    def _news(self) -> bool:
        return self._schedules is not self._sent[0] or self._others is not self._sent[1]

    def _end(self) -> None:
        try:
            if (
                self._schedules or self._declares_others
            ) and self._declaration is None:  # its workers had nothing to do, and have ended
                self._send_heartbeat(self._server)
            if self._declaration is not None:
                self._declaration.end(self._server.connection)
        except Exception as error:
            log.info(
                "the end of this scheduler could not be written (%s); others notice when its heartbeats stop",
                type(error).__name__,
            )
        self._server.close()
