"""Hooks at the start and the end of processes. HOOK_FAULT: what one does; HOOK_FILE: made by the first fault."""

from __future__ import annotations

import atexit
import os
import sys
import time
from pathlib import Path

from pgjobs.hooks import on_worker_start, on_worker_stop
from tests.support.tasks_hooks import tell

FAULT = os.environ.get("HOOK_FAULT", "")
IS_CHILD = "child_main" in sys.argv[0]

atexit.register(tell, "exits")


@on_worker_start
def warm_up() -> None:
    tell("started")
    if FAULT == "start":
        raise OSError("no such pool")
    if FAULT == "child" and IS_CHILD and not Path(os.environ["HOOK_FILE"]).exists():
        Path(os.environ["HOOK_FILE"]).touch()
        raise OSError("no such pool")


@on_worker_stop
def flush() -> None:
    tell("stopped")


@on_worker_stop
def flush_first() -> None:
    tell("stopping")
    if FAULT == "stop":
        raise SystemExit(9)
    if FAULT == "hang":
        time.sleep(60)
