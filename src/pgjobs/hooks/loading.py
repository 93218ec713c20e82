"""Finds the modules of hooks that installed packages name: the entry points of the group `pgjobs.hooks`."""

from __future__ import annotations

from importlib import import_module

GROUP = "pgjobs.hooks"


def entry_point_modules() -> tuple[str, ...]:
    """Return the modules that installed packages name, in the order of the names of their entry points."""
    from importlib.metadata import entry_points  # imported lazily: slow to import

    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return tuple(dict.fromkeys(point.module for point in found))


def load() -> None:
    """Import the modules that installed packages name as hooks, in a program that enqueues. Workers do it themselves.

    Raises:
        Exception: what a module raises while it is imported.

    """
    for module in entry_point_modules():
        import_module(module)
