"""The audit: what was done, by which user, and what came of it. The dashboard writes it for each action."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgjobs.core.text import one_line
from pgjobs.db.adapters.operations import operation
from pgjobs.db.encoding import encoding_of
from pgjobs.db.query import MAX_ID, check_limit, fetch, fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import psycopg


@dataclass(frozen=True)
class AuditEntry:
    """One action. `by`: a user. `via`: by what means, such as "dashboard". `target`: what it was for.

    `number`: how many jobs, or other things, were changed. `outcome`: in one sentence. `failed`: it was refused, or has
    failed. `ended_at`: None: it has not ended, or its process died.
    """

    id: int
    at: datetime
    by: str
    via: str
    action: str
    target: dict[str, Any]
    number: int | None
    outcome: str | None
    failed: bool | None
    ended_at: datetime | None


@operation
def begin_audit(
    conn: psycopg.Connection, by: str, action: str, target: Mapping[str, Any], *, via: str = "program"
) -> int:
    """Write that an action is about to be done, and return the id of the entry.

    `by`: a user. `action`: its name. `target`: what it is for, as JSON. `via`: by what means.
    """
    stored = encoding_of(conn).stored
    # Characters as they are: jsonb refuses escapes of those that the database's encoding does not have.
    text = stored(json.dumps(dict(target), default=str, ensure_ascii=False).replace("\\u0000", " "))
    values = {"by": stored(one_line(by)), "via": stored(one_line(via)), "action": stored(one_line(action))}
    number: int = fetch_dicts(conn, "begin_audit", **values, target=text)[0]["id"]
    return number


@operation
def end_audit(conn: psycopg.Connection, id: int, *, number: int | None, outcome: str, failed: bool = False) -> bool:
    """Write what came of an action; return False if it was written already. `number`: None: not known."""
    said = encoding_of(conn).stored(one_line(outcome))
    return bool(fetch_dicts(conn, "end_audit", id=id, number=number, outcome=said, failed=failed))


@operation
def list_audit(
    conn: psycopg.Connection,
    *,
    by: str | None = None,
    action: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[AuditEntry]:
    """List what was done, the newest first.

    `by`, `action`: only that of a user, or of this name. `limit`: the number of entries. `before`: only ids below it,
    for the next page.

    Raises:
        UsageError: the limit is not a number of rows.

    """
    at = None if before is None else min(before, MAX_ID)
    return fetch(conn, "list_audit", AuditEntry, by=by, action=action, limit=check_limit(limit), before=at)
