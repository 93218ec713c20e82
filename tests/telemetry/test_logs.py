from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import tracemalloc
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest
import structlog

from pgjobs.core.errors import UsageError
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.jobs.context import current
from pgjobs.telemetry.logs import LineHandler, configure_logging, get_logger
from tests.support.claimed import claimed_job
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "postgresql://bob:sekret@host/shop"


class Log:
    """What was logged."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Utf8(io.StringIO):
    encoding = "utf-8"


class Unprintable:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the logging of the test run as it was."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def log() -> Log:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    return Log(stream)


def without_pytest() -> None:
    """Take pytest's own handlers away: they are not made for broken log calls."""
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, LineHandler)]


@contextmanager
def inside_a_job() -> Iterator[None]:
    token = current.set(claimed_job(42, task="shop.tasks:send", queue="mail", attempt=3))
    try:
        yield
    finally:
        current.reset(token)


def test_a_line_is_json_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_logger("shop").info("sent", order=7)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"], line["order"]) == ("sent", "info", "shop", 7)
    assert line["timestamp"].endswith("+00:00")


def test_a_line_is_key_and_value_on_a_terminal() -> None:
    stream = Screen()
    configure_logging(stream=stream)
    get_logger("shop").info("sent", order=7)
    assert "sent" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(stream.getvalue())


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = Screen()
    configure_logging(stream=stream)
    get_logger("shop").info("sent", order=7)
    assert "order=7" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_console_line_in_a_file_has_no_colours() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    get_logger("shop").info("sent", order=7)
    assert "order=7" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_console_line_does_not_move_the_cursor() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    logging.getLogger("x").info("a\x1b[2J\nb %s", "\x07")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()


@pytest.mark.parametrize("library", ["structlog", "logging"])
def test_a_line_that_a_job_logs_names_the_job(log: Log, library: str) -> None:
    with inside_a_job():
        if library == "structlog":
            structlog.get_logger().info("sent")
        else:
            logging.getLogger("shop").info("sent")
    line = log.line
    assert (line["job_id"], line["task"], line["queue"], line["attempt"]) == (42, "shop.tasks:send", "mail", 3)


def test_a_line_outside_a_job_names_none(log: Log) -> None:
    logging.getLogger("shop").info("sent")
    assert "job_id" not in log.line


def test_what_is_bound_and_what_is_extra_are_in_the_line(log: Log) -> None:
    with structlog.contextvars.bound_contextvars(request="r1"):
        get_logger("shop").bind(order=7).info("sent", n=1)
        logging.getLogger("shop").info("sent", extra={"order": 7, "n": 1})
    for line in log.lines:
        assert (line["request"], line["order"], line["n"]) == ("r1", 7, 1)


def test_lines_below_the_level_are_left_out(log: Log) -> None:
    configure_logging("warning", "json", log.stream)
    get_logger("a").info("no")
    logging.getLogger("a").info("no")
    get_logger("a").warning("yes")
    assert log.line["event"] == "yes"


def test_configuring_again_replaces_the_handler_and_leaves_those_of_others(log: Log) -> None:
    configure_logging("info", "json", log.stream)
    root = logging.getLogger()
    other = logging.NullHandler()
    root.addHandler(other)
    configure_logging("info", "json", log.stream)
    assert len([handler for handler in root.handlers if isinstance(handler, LineHandler)]) == 1
    assert other in root.handlers


def test_passwords_of_database_urls_are_masked_anywhere(log: Log) -> None:
    logger = get_logger("shop")
    logger.info("connecting to %s", SECRET, url=SECRET, deep={"a": [SECRET]}, pairs="host=h password=sekret")
    logging.getLogger("shop").info("to %s", SECRET, extra={"url": SECRET})
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("no")
        logging.getLogger("shop").exception("no")
    assert len(log.lines) == 4
    assert "sekret" not in log.text
    assert log.lines[0]["url"] == "postgresql://bob:***@host/shop"


def test_a_password_across_the_cut_of_a_long_value_is_masked(log: Log) -> None:
    get_logger("shop").info("x", value="a " * 1990 + SECRET + " b" * 3000)
    assert "sek" not in log.text


@pytest.mark.parametrize("library", ["structlog", "logging"])
def test_arguments_that_do_not_fit_their_text_are_a_line_and_no_error(log: Log, library: str) -> None:
    without_pytest()
    logger: Any = get_logger("shop") if library == "structlog" else logging.getLogger("shop")
    logger.info("%d sent", "x")
    assert log.line["event"].startswith("%d sent (its arguments do not fit: TypeError")


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
def test_unprintable_value_is_logged_without_an_error(log: Log, error: BaseException) -> None:
    without_pytest()
    get_logger("shop").info("sent", value=Unprintable(error))
    logging.getLogger("shop").info("sent %s", Unprintable(error))
    logging.getLogger("shop").info(Unprintable(error))
    first, second, third = log.lines
    assert first["value"] == "<Unprintable that cannot be printed>"
    assert "do not fit" in second["event"]
    assert "cannot be printed" in third["event"]


def test_a_value_that_no_renderer_knows_is_still_a_line(log: Log) -> None:
    without_pytest()
    loop: list[Any] = []
    loop.append(loop)
    get_logger("shop").info("sent", loop=loop, nan=float("nan"), raw=b"\xff", odd={1: {2}}, surrogate="\udc80")
    line = log.line
    assert (line["nan"], line["raw"], line["odd"]) == ("nan", "b'\\xff'", {"1": [2]})


def test_a_number_too_long_to_write_is_a_line_that_says_so(log: Log) -> None:
    without_pytest()
    get_logger("shop").info("sent", number=10**5000)
    assert "could not be rendered" in log.line["event"]


@pytest.mark.parametrize("kind", RAISED_FROM_OUTSIDE)
def test_what_is_raised_from_outside_while_a_line_is_rendered_reaches_the_job(
    log: Log, kind: type[BaseException]
) -> None:
    without_pytest()
    with pytest.raises(kind):
        get_logger("shop").info("sent", value=Unprintable(kind()))
    with pytest.raises(kind):
        get_logger("shop").info("sent %s", Unprintable(kind()))
    with pytest.raises(kind):
        logging.getLogger("shop").info("sent %s", Unprintable(kind()))
    with pytest.raises(kind):
        logging.getLogger("shop").info(Unprintable(kind()))
    assert not log.text


def test_a_closed_stream_is_not_an_error(log: Log) -> None:
    without_pytest()
    log.stream.close()
    get_logger("shop").info("sent")
    logging.getLogger("shop").info("sent")


@pytest.mark.parametrize("format", ["json", "console"])
def test_text_of_jobs_moves_no_cursor_and_turns_no_text(format: Literal["json", "console"]) -> None:
    without_pytest()
    stream = Utf8()
    configure_logging("info", format, stream)
    hostile = "\x1b]0;title\x07 \x9b2J \x7f \u202elanosrep\u2066 \u2028 \U000e0041"
    logger, event = get_logger(f"shop{hostile}"), f"sent{hostile}"
    logger.info(event, nested={hostile: [hostile]}, **{f"key{hostile}": hostile})
    try:
        raise ValueError(hostile)
    except ValueError:
        logger.exception("no")
    assert stream.getvalue().replace("\n", "").isprintable()
    if format == "json":
        first, second = map(json.loads, stream.getvalue().splitlines())
        assert first["event"] == f"sent{hostile}", "who reads the JSON gets the text as it was"
        assert "lanosrep" in second["exception"]


@pytest.mark.parametrize("library", ["structlog", "logging"])
def test_an_exception_is_rendered_and_bounded(log: Log, library: str) -> None:
    logger: Any = get_logger("shop") if library == "structlog" else logging.getLogger("shop")
    try:
        raise ValueError("x" * 100_000)
    except ValueError:
        logger.exception("no")
    trace = log.line["exception"]
    assert trace.startswith("Traceback (most recent call last)")
    assert len(trace) < 10_000


def test_large_value_deep_inside_is_not_written_out_before_it_is_cut(log: Log) -> None:
    size = 5_000_000
    deep = [[[[["x" * size]]]]]
    tracemalloc.start()
    try:
        logging.getLogger("shop").warning("sold", extra={"deep": deep})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert log.line["deep"] == [[[["<list of 1>"]]]]
    assert peak < size / 2


def test_values_are_bounded(log: Log) -> None:
    get_logger("shop").info("sent", text="x" * 1_000_000, items=list(range(100_000)), deep=[[[[[[[[1]]]]]]]])
    assert len(log.text) < 10_000


def test_a_warning_is_a_line_too(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        configure_logging("info", "json", log.stream)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "UserWarning: old" in log.line["event"]
    assert log.line["logger"] == "py.warnings"


def test_lines_of_many_threads_are_whole(log: Log) -> None:
    def run(number: int) -> None:
        for _ in range(200):
            logging.getLogger("shop").info("sent", extra={"n": number, "text": "x" * 500})

    threads = [threading.Thread(target=run, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.lines) == 1000


@pytest.mark.parametrize("arguments", [("loud", "json"), ("info", "xml")])
def test_what_is_not_a_level_or_format_is_refused(arguments: tuple[str, Any]) -> None:
    with pytest.raises(UsageError, match="give one of"):
        configure_logging(*arguments)


def test_a_process_logs_to_its_stderr() -> None:
    script = (
        "from pgjobs.telemetry.logs import *; configure_logging(); get_logger('shop').info('sent', text='é\\udc80')"
    )
    source = str(ROOT / "src")
    for encoding in ("utf-8", "ascii"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": source, "PYTHONIOENCODING": f"{encoding}:backslashreplace"},
            capture_output=True,
            check=True,
        )
        assert done.stdout == b""
        assert json.loads(done.stderr)["text"].startswith("é")


def test_a_text_that_another_handler_has_formatted_is_not_said_twice(log: Log) -> None:
    others = logging.StreamHandler(io.StringIO())
    others.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    root = logging.getLogger()
    root.handlers.insert(0, others)
    try:
        logging.getLogger("shop").warning("sold %d", 7, extra={"customer": "ada"})
    finally:
        root.removeHandler(others)
    assert log.line["event"] == "sold 7"
    assert log.line["customer"] == "ada"
    assert log.text.count("sold 7") == 1
    assert "asctime" not in log.line


def test_an_application_that_disables_loggers_after_a_warning_has_them_logged_all_the_same() -> None:
    code = """if True:
        import logging.config, warnings
        from pgjobs.telemetry.logs import configure_logging
        configure_logging("info", "json")
        warnings.simplefilter("always")
        warnings.warn("before")
        logging.config.dictConfig({"version": 1})
        warnings.warn("after")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"].count("UserWarning") for line in done.stderr.splitlines()] == [1, 1]
