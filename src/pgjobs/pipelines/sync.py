"""Writes the pipelines that code declares, and retires those that no code declares.

Which of them one supervisor writes is decided as for schedules: see `schedules/ownership.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pgjobs.db.encoding import can_store, encoding_of
from pgjobs.db.statements import statement
from pgjobs.pipelines.stored import StoredPipeline

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.scheduler")


@dataclass
class DeclaredPipelines:
    """The pipelines that the code of one supervisor declares."""

    kind: ClassVar[str] = "pipelines"
    declared: dict[str, StoredPipeline]
    _complained: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def of(cls, pipelines: Iterable[StoredPipeline]) -> DeclaredPipelines:
        """Return them by name."""
        return cls({each.name: each for each in pipelines})

    def write(self, cursor: psycopg.Cursor[dict[str, Any]], names: set[str]) -> None:
        """Write these of them, which this supervisor decides about."""
        if not names:
            return
        rows = cursor.execute(statement("lock_pipelines"), {"names": sorted(names)}).fetchall()
        there = {row["name"]: row for row in rows}
        for name in sorted(names):  # in one order, so that supervisors do not deadlock
            declared, row = self.declared[name], there.get(name)
            if row is not None and row["app"] != declared.app:
                self._complain(name, f"{declared.app}: the application {row['app']} has one of that name; rename it")
                continue
            digest = declared.digest()
            if row is not None and row["digest"] == digest and row["retired_at"] is None:
                continue
            texts = [text for stage in declared.stages for text in stage]
            if not all(can_store(cursor.connection, text) for text in texts):
                lacking = encoding_of(cursor.connection).database
                self._complain(name, f"{declared.app}: it has a character that the database lacks ({lacking})")
                continue
            values = {"name": name, "app": declared.app, "at_most": declared.at_most, "digest": digest}
            cursor.execute(statement("upsert_pipeline"), values)
            cursor.execute(statement("write_pipeline_stages"), declared.stage_values())
            log.info("pipeline %s: %s", name, " >> ".join(stage.name for stage in declared.stages))

    def retire(self, cursor: psycopg.Cursor[dict[str, Any]], kept: set[str]) -> None:
        """Retire all, of any supervisor, but these."""
        cursor.execute(statement("retire_pipelines"), {"kept": sorted(kept)})
        for row in cursor.fetchall():
            log.info("pipeline %s is no longer in the code of %s: it is retired", row["name"], row["app"])
        cursor.execute(statement("purge_pipelines"))

    def _complain(self, name: str, reason: str) -> None:
        if name not in self._complained:
            self._complained.add(name)
            log.error("pipeline %s is not written, of %s", name, reason)
