"""Jobs that fork. The child has the worker's memory and connections, but is nobody's worker: it must never go on."""

from __future__ import annotations

import os
from collections.abc import Callable

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_note_fork)


def forked() -> bool:
    """Say whether this process is a fork of the one that imported this module."""
    return _forked


def in_fork(function: Callable[[], object]) -> None:
    """Have a function called in every child that is forked from here."""
    os.register_at_fork(after_in_child=function)
