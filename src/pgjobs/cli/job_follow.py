"""`pgjobs jobs follow`: a job until its end, as a line with a bar on a terminal, and as lines elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import typer

from pgjobs.cli.job_detail import progress_text
from pgjobs.cli.output import clean, say
from pgjobs.cli.params import JobId, Json
from pgjobs.cli.session import session
from pgjobs.core.text import escape_unprintable, short_duration

if TYPE_CHECKING:
    from pgjobs.job_results.ends import Ended
    from pgjobs.job_results.looks import Look

EVERY = 0.25  # seconds
BAR = 20  # characters
ERASE = "\r\x1b[K"  # what the line of the terminal says
MAX_RESULT = 1_000  # characters, as `jobs show` has it


def follow(id: JobId, as_json: Json = False) -> None:
    """Follow one job until it ends.

    How far it has come by its own word, its attempts, and its result. Exit code 0: it has completed, 1: it has failed
    or was cancelled. Ctrl-C leaves the job as it is.
    """
    from pgjobs.job_results.following import Following  # imported here: `pgjobs jobs --help` does without
    from pgjobs.job_results.looks import Look
    from pgjobs.job_results.watcher import watcher_of

    show = _print_json if as_json else _Line().show
    last: Look | None = None
    with session("jobs follow") as conn:
        following = Following(conn, "jobs follow", id, EVERY)
        try:
            for event in following.events():
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, Look):
                    last = event._replace(attempt=event.attempt or (0 if last is None else last.attempt))
                    show(last)
                else:
                    end = event
        finally:
            if not as_json and sys.stdout.isatty():
                sys.stdout.write("\n")
            watcher_of(following.source.place).close()
    outcome = outcome_of(id, end, last)
    if as_json:
        _write_json(outcome)
    else:
        say(outcome_text(outcome))
    if outcome["status"] != "completed":
        raise typer.Exit(1)


def look_text(look: Look) -> str:
    """Write how a job stands.

    >>> from pgjobs.job_results.looks import Look
    >>> look_text(Look(7, "queued", 1, 5, "ValueError: no", 12.3, None, None))
    'job 7: queued, due in 12s, attempt 1 of 5, ValueError: no'

    """
    parts = [look.status or "ended"]
    if look.status in ("queued", "waiting") and look.due_in is not None and look.due_in > 1:
        parts.append(f"due in {short_duration(look.due_in)}")
    if look.status is not None and look.attempt:
        parts.append(f"attempt {look.attempt} of {look.max_attempts}")
    if look.status in ("queued", "waiting") and look.attempt and look.error:
        parts.append(look.error)
    said = None if look.progress is None else progress_text(look.progress)
    return f"job {look.job_id}: {', '.join(parts)}{f'; {said}' if said else ''}"


def bar_of(look: Look) -> str:
    """Draw how much is done; an empty text if the job has not said of how much."""
    said = look.progress
    if said is None or said.done is None or not said.total or said.total < 0:
        return ""
    full = round(BAR * min(1.0, max(0.0, said.done / said.total)))
    return f"[{'#' * full}{'.' * (BAR - full)}]"


class _Line:
    """What is shown of a job: one line that is drawn again, or a line for each change."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, look: Look) -> None:
        text = look_text(look)
        if text == self._last:
            return
        self._last = text
        if not sys.stdout.isatty():
            say(text)
            return
        from rich.cells import set_cell_size  # slow to import, as above

        line = " ".join(filter(None, (bar_of(look), clean(text))))
        sys.stdout.write(ERASE + set_cell_size(line, shutil.get_terminal_size().columns - 1).rstrip())
        sys.stdout.flush()


def outcome_of(id: int, end: Ended, last: Look | None) -> dict[str, Any]:
    """Return how a job has ended. `result`: JSON; of a pickle, which is not loaded here, only its size."""
    from pgjobs.job_results.ends import End, Kept

    found: dict[str, Any] = {"id": id, "status": "completed", "attempt": 0 if last is None else last.attempt}
    match end:
        case Kept(_, data, True, _):
            found["result"] = json.loads(bytes(data))
        case Kept(_, data, _, _):
            found["pickle_bytes"] = len(data)
        case End(_, _, status, error):
            found |= {"status": status, "error": None if status == "completed" else error}
    # Else it is gone, and was there before: its queue keeps nothing that completes.
    return found


def outcome_text(outcome: dict[str, Any]) -> str:
    """Write how a job has ended."""
    line = f"job {outcome['id']} {'was' if outcome['status'] == 'cancelled' else 'has'} {outcome['status']}"
    if outcome.get("error"):
        return f"{line}: {outcome['error']}"
    if "result" in outcome:
        text = json.dumps(outcome["result"], ensure_ascii=False)
        return f"{line}: {text if len(text) <= MAX_RESULT else f'JSON of {len(text)} characters'}"
    return f"{line}: a pickle of {outcome['pickle_bytes']} bytes" if "pickle_bytes" in outcome else line


def _print_json(look: Look) -> None:
    said = look.progress
    found: dict[str, Any] = {"id": look.job_id, "status": look.status, "attempt": look.attempt}
    if look.error and look.status != "running":
        found["error"] = look.error
    if said is not None:
        found |= {"done": said.done, "total": said.total, "message": said.message, "state": said.state}
    _write_json(found)


def _write_json(value: dict[str, Any]) -> None:
    sys.stdout.write(escape_unprintable(json.dumps(value, ensure_ascii=False)) + "\n")
    sys.stdout.flush()
