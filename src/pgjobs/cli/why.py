"""`pgjobs why ID`."""

from __future__ import annotations

from typing import Annotated

import typer

from pgjobs.cli.arguments import Json


def why(
    id: Annotated[int, typer.Argument(metavar="ID", help="The job's id.", show_default=False)], as_json: Json = False
) -> None:
    """Say why a job does not run, and what to do about it.

    In one sentence, and one more for each other thing that would hold it up besides.
    """
    from pgjobs.cli.output import print_json, say
    from pgjobs.cli.session import session
    from pgjobs.core.errors import NotFoundError
    from pgjobs.diagnose.why import why as ask

    with session("why") as conn:
        answer = ask(conn, id)
    if answer.reason in ("never", "gone"):
        raise NotFoundError(f"{answer.sentence} {answer.next_step}")
    if as_json:
        print_json(answer)
        return
    say(answer.sentence)
    say(f"Next: {answer.next_step}")
    for other in answer.also:
        say(f"Besides: {other.sentence} {other.next_step}")
