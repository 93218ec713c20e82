"""The dashboard: `pgjobs web` runs it on this machine, and `dashboard(authorize=…)` is an app to mount in one's own.

It needs the extra `web` (`pip install 'pgjobs-runner[web]'`), which is imported when one of these names is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pgjobs.web.access import ALL, VERBS, User
    from pgjobs.web.app import dashboard
    from pgjobs.web.django import django_urls
    from pgjobs.web.wsgi import wsgi_dashboard

EXTRA = "pip install 'pgjobs-runner[web]'"
_MODULE_OF = {
    "ALL": "pgjobs.web.access",
    "VERBS": "pgjobs.web.access",
    "User": "pgjobs.web.access",
    "dashboard": "pgjobs.web.app",
    "django_urls": "pgjobs.web.django",
    "wsgi_dashboard": "pgjobs.web.wsgi",
}

__all__ = ["ALL", "VERBS", "User", "dashboard", "django_urls", "wsgi_dashboard"]


if not TYPE_CHECKING:  # or every name would be right to a type checker

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(_MODULE_OF[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("starlette", "jinja2", "a2wsgi"):
                raise ConfigurationError(f"the dashboard needs {error.name}: {EXTRA}") from error
            raise


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
