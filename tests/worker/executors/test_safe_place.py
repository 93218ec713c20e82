"""A timeout or forced cancellation is raised where no lock stays locked, and again if the job swallows it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs.core.interrupts import JobCancelled, JobTimeout
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors import safe_place, timeouts
from pgjobs.worker.executors.cancel_in_thread import CancellableThread
from pgjobs.worker.executors.own_code import run
from pgjobs.worker.executors.safe_place import is_safe
from pgjobs.worker.executors.timeouts import Alarm, Watchdog
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until

if TYPE_CHECKING:
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


def run_until_cancelled(function: Callable[[], object], seconds: float, watchdog: Watchdog) -> bool:
    """Do the same, with a forced cancellation instead."""
    here = CancellableThread(watchdog)
    here.job = job = claimed_job()
    cancelled = False
    timer = threading.Timer(seconds, here.cancel, [job.key()], {"force": True})
    timer.start()
    try:
        try:
            run(Call(function, (), {}))
        except JobCancelled:
            cancelled = True
        here.leave()
    except JobCancelled:
        here.leave()
    timer.join()
    return cancelled


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> Watchdog:
    monkeypatch.setattr(timeouts, "AGAIN", 0.1)
    return Watchdog(lambda job: None)


both = pytest.mark.parametrize("run_it", [run_in_time, run_until_cancelled])
Runs = Callable[[Callable[[], object], float, Watchdog], bool]


# Where the exception arrives in a callback of the garbage collector, which hypothesis has, Python only tells of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@both
def test_a_job_that_logs_all_the_time_leaves_no_handler_locked(
    run_it: Runs, watchdog: Watchdog, tmp_path: Path
) -> None:
    log = logging.getLogger("tests.safe_place")
    log.propagate = False
    handler = logging.FileHandler(tmp_path / "log")
    log.addHandler(handler)
    log.setLevel("INFO")

    def logs() -> None:
        while True:
            log.info("line")

    def job() -> None:
        late.append(run_it(logs, 0.003, watchdog))

    late: list[bool] = []
    try:
        for _ in range(50):
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


@both
def test_what_is_swallowed_comes_again(run_it: Runs, watchdog: Watchdog) -> None:
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

    assert run_it(swallows, 0.01, watchdog)
    assert swallowed in ([JobTimeout] * 2, [JobCancelled] * 2)


@both
def test_what_cleans_up_is_left_in_peace(run_it: Runs, watchdog: Watchdog) -> None:
    done = []

    def cleans_up() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                try:
                    raise KeyError
                except KeyError:
                    time.sleep(0.001)
            done.append(True)

    assert run_it(cleans_up, 0.01, watchdog)
    assert done == [True]


@both
def test_an_import_is_not_broken_off(run_it: Runs, watchdog: Watchdog, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "slow_module_of_a_test.py").write_text(
        "import time\nfor _ in range(100): time.sleep(0.001)\nwhole = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def imports() -> None:
        importlib.import_module("slow_module_of_a_test")
        while True:
            time.sleep(0.001)

    assert run_it(imports, 0.01, watchdog)
    assert sys.modules.pop("slow_module_of_a_test").whole == 1


class Looks:
    """A lock that looks whether something may be raised where it is used."""

    def __init__(self) -> None:
        self.safe: list[bool] = []

    def acquire(self, *_: object) -> bool:
        self.safe.append(is_safe(sys._getframe(1)))
        return True

    look = sleep = release = __enter__ = __exit__ = acquire


def test_just_before_a_try_and_in_a_lock_function_nothing_is_raised() -> None:
    lock, handler_lock, of_stack = Looks(), Looks(), Looks()
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
        with contextlib.ExitStack() as stack:
            stack.enter_context(of_stack)

    run(Call(job, (), {}))
    assert lock.safe[:3] == [True, False, True]
    job()  # outside of `run` nothing is a job's own
    assert lock.safe[4:7] == [False, False, False]
    assert handler_lock.safe == [False, False]
    assert of_stack.safe[0] is False
    handler.lock = None


def look_of(job: Callable[[Looks], object]) -> list[bool]:
    """Return whether something may be raised at each use of a lock by this job."""
    lock = Looks()
    run(Call(job, (lock,), {}))
    return lock.safe


def test_what_a_call_took_is_safe_only_where_a_handler_for_everything_releases_it() -> None:
    def steps_before_the_try(lock: Looks) -> None:
        if not lock.acquire():
            raise TimeoutError
        since = 1.5
        try:
            lock.look() if since else None
        except KeyError:
            pass
        finally:
            lock.release()

    def inside_of_another(lock: Looks) -> None:
        with contextlib.nullcontext():
            lock.acquire()
            try:
                lock.look()
            except BaseException:
                lock.release()
                raise
            lock.release()

    def releases_nothing(lock: Looks) -> None:
        for _ in range(2):
            lock.sleep()
            try:
                lock.look()
            except (KeyError, ValueError):
                pass

    def is_followed_by_what_releases_nothing(lock: Looks) -> None:
        lock.acquire()
        try:
            lock.look()
        except KeyError:
            lock.release()

    def sleeps_and_takes_nothing(lock: Looks) -> None:
        lock.sleep()
        try:
            lock.look()
        finally:
            lock.look()

    assert look_of(steps_before_the_try) == [False, True, True]
    assert look_of(inside_of_another) == [False, True, True]
    assert look_of(releases_nothing) == [True, True, True, True]
    assert look_of(is_followed_by_what_releases_nothing) == [True, True]
    assert look_of(sleeps_and_takes_nothing) == [True, True, True]


def test_nothing_is_raised_in_a_thread_that_waits_for_a_lock_which_it_would_not_release() -> None:
    lock, ends = threading.Lock(), []

    def job() -> None:
        lock.acquire()
        try:
            while True:
                time.sleep(0.001)
        finally:
            lock.release()

    def work() -> None:
        try:
            run(Call(job, (), {}))
        except JobTimeout:
            ends.append("late")

    lock.acquire()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ident = thread.ident or 0
    wait_until(lambda: sys._current_frames()[ident].f_code is job.__code__)
    time.sleep(0.05)  # it is in `acquire`, before its `try`
    assert not safe_place.raise_safely(ident, JobTimeout)
    lock.release()
    wait_until(lambda: safe_place.raise_safely(ident, JobTimeout))
    thread.join(10)
    assert ends == ["late"]
    assert not lock.locked()


def test_nothing_is_raised_in_a_thread_that_has_moved_on_meanwhile(monkeypatch: Any) -> None:
    lock, moves, steps = threading.Lock(), threading.Event(), []

    def job() -> None:
        while not moves.is_set():
            time.sleep(0.001)
        lock.acquire()
        try:
            while True:
                time.sleep(0.001)
        finally:
            lock.release()

    def work() -> None:
        try:
            run(Call(job, (), {}))
        except JobTimeout:
            steps.append("late")

    def look_slowly(*_: object) -> bool:
        moves.set()
        time.sleep(0.05)  # now it waits for the lock
        return False

    lock.acquire()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    monkeypatch.setattr(safe_place, "_is_handling", look_slowly)
    time.sleep(0.05)
    assert not safe_place.raise_safely(thread.ident or 0, JobTimeout)
    lock.release()
    wait_until(lambda: safe_place.raise_safely(thread.ident or 0, JobTimeout))
    thread.join(10)
    assert steps == ["late"]
    assert not lock.locked()
