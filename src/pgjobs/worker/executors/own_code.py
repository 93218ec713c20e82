"""The frame below which all is an application's own code: what raises in jobs from outside looks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgjobs.payload.pickling import Call


def run(call: Call) -> Any:
    """Run nothing but the call."""
    return call.callable(*call.args, **call.kwargs)
