"""What can be set for traces: by `pgjobs.otel.configure()`, or by PGJOBS_OTEL_PARENT."""

from __future__ import annotations

import os

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr

VARIABLE = "PGJOBS_OTEL_PARENT"


class _Options:
    parent = False


options = _Options()


def configure(*, parent: bool) -> None:
    """Set how spans around jobs belong to those that sent them.

    `parent`: whether the span that sent a job is the parent of those around it, and not only linked to them. Then all
    is one trace, which lasts until the last attempt. A batch has no parent, as its jobs come from many.
    """
    if type(parent) is not bool:
        raise UsageError(f"parent={shorten_repr(parent)}: give True or False.")
    options.parent = parent


def read_environment() -> None:
    """Take the value of the variable.

    Raises:
        UsageError: it is neither on nor off.

    """
    text = os.environ.get(VARIABLE, "").strip().lower()
    if text not in ("", "on", "off", "1", "0", "true", "false"):
        raise UsageError(f"{VARIABLE}={shorten_repr(text)}: give on or off.")
    options.parent = text in ("on", "1", "true")
