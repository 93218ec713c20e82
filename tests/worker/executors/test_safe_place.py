"""A timeout is raised in a job where no lock stays locked, and again if the job swallows it."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs.core.interrupts import JobTimeout
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.invoke import run
from pgjobs.worker.executors.safe_place import is_safe
from pgjobs.worker.executors.timeouts import Alarm, Watchdog
from tests.support.claimed import claimed_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run_in_time(function: Callable[[], object], seconds: float, watchdog: Watchdog) -> bool:
    """Run it as a job in this thread; True: it was ended by its timeout."""
    alarm = Alarm(claimed_job(timeout=seconds), threading.get_ident())
    late = False
    try:
        watchdog.watch(alarm, seconds)
        try:
            run(Call(function, (), {}))
        except JobTimeout:
            late = True
        alarm.end()
    except JobTimeout:
        alarm.end()
    return late


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(lambda job: None)


def test_a_job_that_logs_all_the_time_leaves_no_handler_locked(watchdog: Watchdog, tmp_path: Path) -> None:
    log = logging.getLogger("tests.safe_place")
    log.propagate = False
    handler = logging.FileHandler(tmp_path / "log")
    log.addHandler(handler)
    log.setLevel("INFO")

    def logs() -> None:
        while True:
            log.info("line")

    def job() -> None:
        late.append(run_in_time(logs, 0.003, watchdog))

    late: list[bool] = []
    try:
        for _ in range(100):
            thread = threading.Thread(target=job, daemon=True)
            thread.start()
            thread.join(20)
            assert not thread.is_alive()
            assert handler.lock is not None
            assert handler.lock.acquire(blocking=False), "the job left it locked"
            handler.lock.release()
    finally:
        log.removeHandler(handler)
        assert handler.stream is not None
        handler.stream.close()
    assert all(late)


def test_a_timeout_that_is_swallowed_comes_again(watchdog: Watchdog) -> None:
    swallowed = []

    def swallows() -> None:
        while True:
            try:
                while True:
                    time.sleep(0.001)
            except BaseException as error:
                swallowed.append(type(error))
                if len(swallowed) == 2:
                    raise

    assert run_in_time(swallows, 0.01, watchdog)
    assert swallowed == [JobTimeout, JobTimeout]


def test_what_cleans_up_after_a_timeout_is_left_in_peace(watchdog: Watchdog) -> None:
    done = []

    def cleans_up() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            end = time.monotonic() + 1.3
            while time.monotonic() < end:
                try:
                    raise KeyError
                except KeyError:
                    time.sleep(0.001)
            done.append(True)

    assert run_in_time(cleans_up, 0.01, watchdog)
    assert done == [True]


def test_an_import_is_not_broken_off(watchdog: Watchdog, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "slow_module_of_a_test.py").write_text(
        "import time\nfor _ in range(300): time.sleep(0.001)\nwhole = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def imports() -> None:
        importlib.import_module("slow_module_of_a_test")
        while True:
            time.sleep(0.001)

    assert run_in_time(imports, 0.01, watchdog)
    assert sys.modules.pop("slow_module_of_a_test").whole == 1


class Looks:
    """A lock that looks whether something may be raised where it is used."""

    def __init__(self) -> None:
        self.safe: list[bool] = []

    def acquire(self) -> None:
        self.safe.append(is_safe(sys._getframe(1)))

    look = release = acquire


def test_just_before_a_try_and_in_a_lock_function_nothing_is_raised() -> None:
    lock, handler_lock = Looks(), Looks()
    handler = logging.NullHandler()
    handler.lock = handler_lock  # type: ignore[assignment]  # it stands in for one

    def job() -> None:
        lock.look()
        lock.acquire()
        try:
            lock.look()
        finally:
            lock.release()
        logging.Handler.acquire(handler)

    run(Call(job, (), {}))
    assert lock.safe[:3] == [True, False, True]
    job()  # outside of `run` nothing is a job's own
    assert lock.safe[4:7] == [False, False, False]
    assert handler_lock.safe == [False, False]
    handler.lock = None
