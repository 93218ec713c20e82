"""Logs on structlog: key and value on a terminal, JSON lines elsewhere.

Everything goes through one handler of the standard library's root logger: what pgjobs logs, what jobs log through
structlog, and what they log through `logging`. Inside a job every line has `job_id`, `task`, `queue` and `attempt`.

A log call must never break a job. So nothing is rendered before the handler, where every error of a rendering ends in
a line that says so, and values of strange types are made into bounded text first.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter

from pgjobs.core.errors import UsageError
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.core.text import bounded, describe, escape_unprintable
from pgjobs.jobs.context import current
from pgjobs.jobs.tracing import installed
from pgjobs.telemetry.line_output import LineOutput
from pgjobs.telemetry.log_values import make_plain, text_of

if TYPE_CHECKING:
    from collections.abc import MutableMapping

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("auto", "console", "json")
WARNINGS = "py.warnings"  # the logger of captured warnings


def configure_logging(
    level: str = "info", format: Literal["auto", "console", "json"] = "auto", stream: TextIO | None = None
) -> None:
    """Send the logs of this process to a stream (default: stderr), from `level` on.

    `auto` is `console` on a terminal and `json` elsewhere. Called again, it replaces what it set up before; handlers
    of others are left alone.

    Raises:
        UsageError: there is no such level or format.

    """
    if level.lower() not in LEVELS:
        raise UsageError(f"log level {level!r}: give one of {', '.join(LEVELS)}.")
    if format not in FORMATS:
        raise UsageError(f"log format {format!r}: give one of {', '.join(FORMATS)}.")
    to = sys.stderr if stream is None else stream
    terminal = _is_terminal(to)
    console = format == "console" or (format == "auto" and terminal)

    handler = LineHandler(to)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],  # what `logging` was given as `extra`
            processors=_processors(console=console, terminal=terminal, stream=to),
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    _keep_enabled()
    root.setLevel(level.upper())
    logging.captureWarnings(True)  # a job's warnings are lines like all others
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `get_logger(__name__).info("worker started", worker=7)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


class _KeepsEnabled:
    """A logger that an application's `logging.config` does not disable."""

    @property
    def disabled(self) -> bool:
        """Always False."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None: ...


def _keep_enabled() -> None:
    """Keep pgjobs' loggers enabled: `dictConfig` and `fileConfig` disable all that they do not name, by default.

    An application may call them at any time: while it is imported, or in a job. Levels, handlers and filters that it
    sets are used as they are.
    """
    logging.getLogger(WARNINGS)  # or it would be made by the first warning
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if name == WARNINGS or name.split(".")[0] == "pgjobs":
            kind = type(logger)
            if isinstance(logger, logging.Logger) and not issubclass(kind, _KeepsEnabled):
                logger.__class__ = type(kind.__name__, (_KeepsEnabled, kind), {})


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes each record as one line; one that cannot be rendered becomes a line that says so.

    It takes no lock. A line is one call of `write`, and a timeout that is raised in a job's thread just after a lock
    was taken would leave it locked: every thread that logs would stop there. What is raised from outside in a job's
    thread (`RAISED_FROM_OUTSIDE`) is let through.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._output = LineOutput(stream)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record, unless a filter rejects it."""
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. No `Exception` is raised, whatever is wrong with the record or the stream."""
        try:
            self._output.write(self._line(record) + "\n")
        except Exception:  # noqa: S110 (the stream is gone: there is nowhere left to say it)
            pass

    def flush(self) -> None:
        """Wait a moment for lines that wait for their reader; `logging` calls this at the end of the process."""
        self._output.finish()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(_with_message(record))
        except RAISED_FROM_OUTSIDE:
            raise
        except BaseException as error:
            plain = logging.makeLogRecord(
                {
                    "name": record.name,
                    "levelno": record.levelno,
                    "levelname": record.levelname,
                    "msg": "a log line that could not be rendered (%s)",
                    "args": (describe(error)[0],),
                }
            )
            return self.format(plain)


def _with_message(record: logging.LogRecord) -> logging.LogRecord:
    """Make the message of a record of the standard library, also when its arguments do not fit its text."""
    if isinstance(record.msg, dict) and hasattr(record, "_logger"):  # structlog's: rendered by the processors
        return record
    record = logging.makeLogRecord(record.__dict__)
    for text in ("message", "asctime"):  # what the formatter of another handler left there: it would be said twice
        record.__dict__.pop(text, None)
    try:
        record.msg = record.getMessage()
    except RAISED_FROM_OUTSIDE:
        raise
    except BaseException as error:
        record.msg = f"{text_of(record.msg)} (its arguments do not fit: {describe(error)[0]})"
    record.args = ()
    return record


def _processors(*, console: bool, terminal: bool, stream: TextIO) -> list[Any]:
    shared = [
        structlog.contextvars.merge_contextvars,
        _add_message,
        _add_origin,
        _add_job,
        _add_exception,
        ProcessorFormatter.remove_processors_meta,
        make_plain,
    ]
    if console:
        colors = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors,
            exception_formatter=structlog.dev.plain_traceback,
            sort_keys=False,
            pad_event_to=0,
        )
        return [*shared, _for_people, renderer]
    utf8 = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    return [*shared, structlog.processors.JSONRenderer(ensure_ascii=not utf8), _escape]


def _add_message(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the arguments of structlog's `info("%s", x)` into its text."""
    arguments = event.pop("positional_args", None)
    if arguments:
        try:
            event["event"] = str(event.get("event")) % arguments
        except RAISED_FROM_OUTSIDE:
            raise
        except BaseException as error:
            event["event"] = f"{text_of(event.get('event'))} (its arguments do not fit: {describe(error)[0]})"
    return event


def _add_origin(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put time, level and logger first: the order of a line's keys."""
    record: logging.LogRecord = event["_record"]
    rest = dict(event)
    event.clear()
    event["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    event["level"] = record.levelname.lower()
    said = rest.pop("event", "")
    event["event"] = said.rstrip() if isinstance(said, str) else said
    event["logger"] = record.name
    event.update((key, value) for key, value in rest.items() if key not in event)
    return event


def _add_job(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the job that runs here, if there is one, and the span."""
    if installed.tracing is not None:
        for name, value in installed.tracing.log_fields().items():
            event.setdefault(name, value)
    job = current.get()
    if job is not None:
        event.setdefault("job_id", job.id)
        event.setdefault("task", job.task)
        event.setdefault("queue", job.queue)
        event.setdefault("attempt", job.attempt)
    return event


def _add_exception(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Render the exception, and the stack, as bounded text."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else None
    if isinstance(given, tuple) and len(given) == 3:
        error = given[1]
    elif given and error is None:
        error = sys.exc_info()[1]
    if error is not None:
        event["exception"] = describe(error)[1].rstrip()
    stack = event.pop("stack_info", None)
    if isinstance(stack, str):
        event["stack"] = bounded(stack)
    return event


def _for_people(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Shorten the time (a terminal shows what happens today), and let no text move the cursor."""
    event["timestamp"] = datetime.fromisoformat(event["timestamp"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return {
        _printable(key): _printable(value, "\n" if key in ("exception", "stack") else "")
        if isinstance(value, str)
        else value  # nested ones are written by repr()
        for key, value in event.items()
    }


def _printable(text: str, kept: str = "") -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in text)


def _escape(logger: Any, method: str, line: str) -> str:
    """Escape what could move the cursor of a terminal that shows the line. JSON itself leaves C1 controls alone."""
    return escape_unprintable(line)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # no such method, or closed
        return False
