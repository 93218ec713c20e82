"""Exceptions that one thread raises in another, and clears again if they have not arrived in time."""

from __future__ import annotations

import ctypes

raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
"""Raises an exception (its class) in another thread, between two steps of Python code."""
raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()  # NULL, which clears an exception that has not arrived; None would be raised


def clear_exception(thread: int) -> None:
    """Clear an exception that has not arrived in the thread yet."""
    raise_in_thread(thread, _NOTHING)
