"""Writes what code declares, and retires what no code declares: schedules here, and what comes with them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

from psycopg.rows import dict_row

from pgjobs.db.connection import bounded
from pgjobs.db.encoding import encoding_of
from pgjobs.db.statements import statement
from pgjobs.schedules.cron import parse
from pgjobs.schedules.ownership import ScheduleOwner, counting, decided_by, kept
from pgjobs.schedules.stored_call import storable

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from pgjobs.schedules.stored_call import StoredSchedule

log = logging.getLogger("pgjobs.scheduler")
_LOCKS_WITHIN = "500ms"  # schedules fire meanwhile, so others must not hold this up for longer


KINDS = ("subscriptions", "topics", "pipelines")
"""What code declares beside schedules: columns of `schedule_owners`."""


class DeclaredKind(Protocol):
    """What code declares of one kind. It is owned, written and retired as schedules are."""

    @property
    def kind(self) -> str:
        """Which of `KINDS`."""
        ...

    @property
    def declared(self) -> Mapping[str, object]:
        """What is declared, by name."""
        ...

    def write(self, cursor: psycopg.Cursor[dict[str, Any]], names: set[str]) -> None:
        """Write these of them, which this supervisor decides about."""
        ...

    def retire(self, cursor: psycopg.Cursor[dict[str, Any]], kept: set[str]) -> None:
        """Retire all, of any supervisor, but these."""
        ...


class Declaration:
    """What the code of one supervisor declares, in the database."""

    def __init__(self, role: str) -> None:
        self._id: UUID = uuid4()
        self._role = role
        self._started_at: datetime | None = None  # by PostgreSQL's clock
        self._complained: set[str] = set()

    def send_heartbeat(
        self,
        conn: psycopg.Connection[Any],
        schedules: Mapping[str, StoredSchedule],
        others: Iterable[DeclaredKind] = (),
    ) -> None:
        """Write the declared schedules, what else is declared, and this supervisor's heartbeat.

        `others`: of a kind that is not among them, it is not known here what there is, so nothing of it is retired.

        Raises:
            LockNotAvailable: another transaction has locked one of them, or this supervisor's turn to write them.
            psycopg.Error: it could not be written.

        """
        schedules, others = self._storable(conn, schedules), list(others)
        with bounded(conn), conn.cursor(row_factory=dict_row) as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCKS_WITHIN])
            cursor.execute(statement("lock_owners"))
            me = {
                "id": self._id,
                "role": self._role,
                "names": sorted(schedules),
                "started_at": self._started_at,
                **{kind: [] for kind in KINDS},
                **{each.kind: sorted(each.declared) for each in others},
            }
            row = cursor.execute(statement("heartbeat_owner"), me).fetchone()
            assert row is not None  # noqa: S101 (INSERT … RETURNING)
            self._started_at = row["started_at"]
            rows = cursor.execute(statement("list_owners")).fetchall()
            now = rows[0]["now"]
            owners = _owners(rows, "names")
            mine = decided_by(self._id, owners, now)
            self._write(cursor, {name: schedule for name, schedule in schedules.items() if name in mine})
            cursor.execute(statement("disable_undeclared_schedules"), {"kept": sorted(kept(owners, now))})
            for row in cursor.fetchall():
                log.info("schedule %s is no longer in the code of %s: it is retired", row["name"], row["app"])
            cursor.execute(statement("purge_schedules"))
            for each in others:
                of_kind = _owners(rows, each.kind)
                each.write(cursor, decided_by(self._id, of_kind, now) & each.declared.keys())
                each.retire(cursor, kept(of_kind, now))
            gone = {each.id for each in owners} - {each.id for each in counting(owners, now)}
            if gone:
                cursor.execute(statement("purge_owners"), {"ids": sorted(gone)})

    def end(self, conn: psycopg.Connection[Any]) -> None:
        """Record that this supervisor ends."""
        conn.execute(statement("remove_owner"), {"id": self._id})

    def _write(self, cursor: psycopg.Cursor[dict[str, Any]], schedules: Mapping[str, StoredSchedule]) -> None:
        if not schedules:
            return
        names = sorted(schedules)
        rows = cursor.execute(statement("lock_schedules"), {"names": names}).fetchall()
        there = {row["name"]: row for row in rows}
        (now,) = (row["now"] for row in cursor.execute(statement("transaction_clock")).fetchall())
        for name in names:  # in one order, so that supervisors do not deadlock
            schedule, row, digest = schedules[name], there.get(name), schedules[name].digest()
            if row is not None and row["app"] != schedule.app:
                self._complain(schedule, row["app"])
                continue
            if row is not None and row["digest"] == digest and row["retired_at"] is None:
                continue
            cron = parse(schedule.cron, schedule.tz)
            after = now if row is None or row["last_at"] is None else max(now, row["last_at"])
            next_at = cron.next(after)
            if (
                row is not None
                and row["retired_at"] is None
                and (row["cron"], row["tz"]) == (schedule.cron, schedule.tz)
            ):
                next_at = row["next_at"]  # firings that were missed while no worker ran are made up for
            cursor.execute(
                statement("upsert_schedule"),
                {**schedule.row_values(), "next_at": next_at, "digest": digest},
                binary=False,
            )
            log.info("schedule %s: %s (%s)", name, schedule.cron, schedule.tz)

    def _storable(
        self, conn: psycopg.Connection[Any], schedules: Mapping[str, StoredSchedule]
    ) -> Mapping[str, StoredSchedule]:
        """Return the schedules that the database can hold: one that it cannot must not keep out the others."""
        found = {}
        for name, schedule in schedules.items():
            made = storable(conn, schedule)
            if made is not None:
                found[name] = made
            elif name not in self._complained:
                self._complained.add(name)
                log.error(
                    "schedule %s is not written: it has a character that the database lacks (%s)",
                    name,
                    encoding_of(conn).database,
                )
        return found

    def _complain(self, schedule: StoredSchedule, owner: str | None) -> None:
        if schedule.name not in self._complained:
            self._complained.add(schedule.name)
            log.error(
                "schedule %s of %s is not written: %s has one of that name; rename one of them",
                schedule.name,
                schedule.app,
                f"the application {owner}" if owner is not None else "an operator (`pgjobs schedules`)",
            )


def _owners(rows: list[dict[str, Any]], what: str) -> list[ScheduleOwner]:
    """Return the owners of what is named in a column."""
    return [
        ScheduleOwner(row["id"], row["role"], frozenset(row[what]), row["started_at"], row["seen_at"], row["ended_at"])
        for row in rows
    ]
