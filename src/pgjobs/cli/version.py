"""The version that is installed."""

from __future__ import annotations


def version() -> str:
    """Give the version of the installed package, `unknown` in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("pgjobs-runner")
    except PackageNotFoundError:
        return "unknown"
