"""All actions by name, and the right that each takes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from pgjobs.web.actions import dead, jobs, others, switches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgjobs.web.access import User
    from pgjobs.web.actions.action import Action

ACTIONS: dict[str, Action] = {**switches.ACTIONS, **jobs.ACTIONS, **dead.ACTIONS, **others.ACTIONS}


def may(user: User, name: str) -> bool:
    """Return True if a user has the right that an action takes."""
    return ACTIONS[name].verb in user.may


def back(action: Action, values: Mapping[str, str]) -> str:
    """Return the address that is shown after an action. Nothing of it but ids comes from the request."""
    return action.back.format_map({name: quote(values.get(name, ""), safe="") for name in action.takes})
