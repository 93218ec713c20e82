"""A module of hooks: sets up the SDK in the process that imports it."""

from __future__ import annotations

from tests.support.tasks_otel import set_up

set_up()
