"""Kills a process of pgjobs at a statement: what Python imports first, when this folder is on its path.

CRASH_AT is `ROLE:WHEN:NUMBER:MARK`: the ROLE (`worker` or `supervisor`) is killed `before` or `after` it sends its
statement of this NUMBER, once: then the file MARK is there. `fail-2` is a NUMBER, too: the second time that fail.sql is
sent.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

at = os.environ.get("CRASH_AT", "")
role = "worker" if "pgjobs.worker" in sys.orig_argv else "supervisor" if "work" in sys.orig_argv else ""
if role and at.startswith(f"{role}:"):
    import psycopg

    _, when, point, mark = at.split(":", 3)
    name, _, number = point.rpartition("-")
    execute: Any = psycopg.Cursor.execute
    count = itertools.count(1)

    def execute_or_die(self: Any, *arguments: Any, **keywords: Any) -> Any:
        """Do what `execute` does, up to the statement that is the last."""
        ours = (self.connection.info.parameter_status("application_name") or "").startswith("pgjobs ")
        counts = ours and (not name or arguments[0] in _texts())
        last = counts and next(count) == int(number) and not Path(mark).exists()
        if last and when == "before":
            _die()
        result = execute(self, *arguments, **keywords)
        if last:
            _die()
        return result

    def _texts() -> list[Any]:
        """Return the statement as workers send it, and as it is sent on a caller's connection."""
        from pgjobs.db.adapters.psycopg import binary
        from pgjobs.db.statements import statement

        return [statement(name), binary(statement(name))]

    def _die() -> None:
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    psycopg.Cursor.execute = execute_or_die  # type: ignore[method-assign]  # that is the point
