"""A module that is slow to import in the process of a job, and a job in it."""

from __future__ import annotations

import sys
import time

from pgjobs import job

if "pgjobs.worker.executors.child_main" in sys.orig_argv:
    time.sleep(2)


@job(executor="process", max_attempts=1)
def nothing() -> None: ...
