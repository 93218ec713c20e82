"""`pgjobs why ID`."""

from __future__ import annotations

from pgjobs import admin
from pgjobs.cli.output import print_json, say
from pgjobs.cli.params import JobId, Json
from pgjobs.cli.session import session
from pgjobs.core.errors import NotFoundError


def why(id: JobId, as_json: Json = False) -> None:
    """Explain why a job does not run, and what to do about it.

    In one sentence, with one more for each further obstacle.
    """
    with session("why") as conn:
        answer = admin.why(conn, id)
    if answer.reason in ("never", "gone"):
        raise NotFoundError(f"{answer.sentence} {answer.next_step}")
    if as_json:
        print_json(answer)
        return
    say(answer.sentence)
    say(f"Next: {answer.next_step}")
    for other in answer.also:
        say(f"Also: {other.sentence} {other.next_step}")
