"""Import the function that an operator names as MODULE:FUNCTION."""

from __future__ import annotations

import sys
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from pgjobs.core.callables import MAIN_MODULES
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr


def import_task(task: str) -> Any:
    """Import the function that a task names. The current folder is searched too, as in `pgjobs work`.

    Raises:
        UsageError: the task cannot be imported, or is not callable.

    """
    module, _, name = task.partition(":")
    if not module or not name:
        raise UsageError(f"the task {shorten_repr(task)}: give MODULE:FUNCTION, such as shop.tasks:report.")
    if module.rpartition(".")[2] in MAIN_MODULES:
        raise UsageError(f"{task} cannot be imported here: {module} is a program, and to import it is to run it.")
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = attrgetter(name)(import_module(module))
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UsageError(
            f"{task} cannot be imported here: {reason}. Run this where the code is, or use --no-import for a "
            'function with payload="json".'
        ) from error
    if not callable(found):
        raise UsageError(f"{task} is not callable: give MODULE:FUNCTION, such as shop.tasks:report.")
    return found
