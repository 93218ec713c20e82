"""Which application a declaration belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgjobs.core.config import settings
from pgjobs.core.validate import check_name


def application_of(namespace: Mapping[str, Any], given: str | None = None) -> str:
    """Return the application of a declaration: the given one, PGJOBS_APP, or the package of the module's namespace.

    Raises:
        UsageError: it is not a name of 1 to 100 printable characters.

    """
    return check_name("app", given if given is not None else settings().app or _package(namespace))


def _package(namespace: Mapping[str, Any]) -> str:
    """Name the application that a module belongs to: its top-level package, or the script that was started."""
    name = str(namespace.get("__name__", ""))
    if name == "__main__":
        spec, file = namespace.get("__spec__"), str(namespace.get("__file__", "main"))
        name = spec.name if spec is not None else file.rpartition("/")[2].removesuffix(".py")
    return name.partition(".")[0]
