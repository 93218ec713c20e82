"""Traces and metrics of jobs for OpenTelemetry, by its conventions for messaging. Importing it switches them on.

    import pgjobs.otel

Programs that enqueue import it, and workers get it as a module of hooks, before all others:
`pgjobs work --hooks pgjobs.otel`. It takes the extra `pgjobs-runner[otel]`. docs/tracing.md has all names.
"""

from __future__ import annotations

from importlib import import_module

from pgjobs.core.errors import ConfigurationError

try:
    import_module("opentelemetry.propagate")
except ImportError as error:
    raise ConfigurationError(
        "pgjobs.otel needs opentelemetry-api, which is not installed: pip install 'pgjobs-runner[otel]'."
    ) from error

from pgjobs.tracing.install import install
from pgjobs.tracing.options import configure

install()

__all__ = ["configure"]
