"""Exceptions that one thread raises in another, and clears again if they have not arrived in time."""

from __future__ import annotations

import ctypes

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()  # NULL, which clears an exception that has not arrived; None would be raised


def raise_in_thread(thread: int, error: type[BaseException]) -> None:
    """Raise an exception in another thread, between two steps of Python code."""
    _raise_in_thread(thread, ctypes.py_object(error))


def clear_exception(thread: int) -> None:
    """Clear an exception that has not arrived in the thread yet."""
    _raise_in_thread(thread, _NOTHING)
