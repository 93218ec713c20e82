"""Writes the pipelines that code declares: see `db/declared_rows.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pgjobs.db.declared_rows import DeclaredRows
from pgjobs.db.encoding import can_store
from pgjobs.db.statements import statement
from pgjobs.pipelines.stored import StoredPipeline

if TYPE_CHECKING:
    import psycopg


class DeclaredPipelines(DeclaredRows[StoredPipeline]):
    """The pipelines that the code of one supervisor declares."""

    kind: ClassVar[str] = "pipelines"
    noun: ClassVar[str] = "pipeline"
    locking: ClassVar[str] = "lock_pipelines"
    retiring: ClassVar[str] = "retire_pipelines"
    purging: ClassVar[str] = "purge_pipelines"

    @classmethod
    def of(cls, pipelines: Iterable[StoredPipeline]) -> DeclaredPipelines:
        """Return them by name."""
        return cls({each.name: each for each in pipelines})

    def store(self, cursor: psycopg.Cursor[dict[str, Any]], declared: StoredPipeline, digest: bytes) -> str | None:
        """Write a pipeline and its stages."""
        if not all(can_store(cursor.connection, text) for stage in declared.stages for text in stage):
            return None
        values = {"name": declared.name, "app": declared.app, "at_most": declared.at_most, "digest": digest}
        cursor.execute(statement("upsert_pipeline"), values)
        cursor.execute(statement("write_pipeline_stages"), declared.stage_values())
        return " >> ".join(stage.name for stage in declared.stages)
