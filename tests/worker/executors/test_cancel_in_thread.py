"""A job in a thread is asked to end, or has something raised in it, and no other one."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pgjobs.core.interrupts import JobCancelled
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.cancel_in_thread import CancellableThread
from pgjobs.worker.executors.own_code import run
from pgjobs.worker.executors.timeouts import Watchdog
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim
from tests.support.claimed import claimed_job


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(lambda job: None)


def test_a_job_is_known_by_its_id_and_its_claim(watchdog: Watchdog) -> None:
    thread = CancellableThread(watchdog)
    thread.job = here = claimed_job(1, claim_number=2)
    assert not here.cancelled
    assert not thread.cancel(Claim(1, 1), force=True)
    assert not thread.cancel(Claim(2, 2), force=True)
    assert not here.cancelled
    assert thread.cancel(Claim(1, 2), force=False)
    assert here.cancelled
    thread.leave()
    assert not thread.cancel(Claim(1, 2), force=False)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Make threads take turns a hundred times as often as usual: there are more ways to meet, in less time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 100)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("quick_switches")
def test_what_was_raised_and_has_not_arrived_is_taken_back_at_the_end(watchdog: Watchdog) -> None:
    raised: list[BaseException] = []
    arrived: list[int] = []

    def work() -> None:
        here = CancellableThread(watchdog)
        try:
            for number in range(600):
                here.job = job = claimed_job(number)
                current[0] = (here, job)
                try:
                    run(Call(time.sleep if number % 20 else sleeps_long, (0,), {}))
                    here.job = None
                    if here.alarm is not None:
                        here.leave()
                except JobCancelled:
                    arrived.append(number)
                    here.leave()
                for _ in range(5):  # between two jobs nothing may arrive
                    time.sleep(0)
        except BaseException as error:
            raised.append(error)

    current: list[tuple[CancellableThread, ClaimedJob] | None] = [None]
    thread = threading.Thread(target=work)
    thread.start()
    asked = 0
    last = None
    while thread.is_alive():
        if current[0] is None or current[0] is last:
            time.sleep(0)
            continue
        here, job = last = current[0]
        asked += here.cancel(job.key(), force=True)
    assert raised == []
    assert asked
    assert arrived


def sleeps_long(_: float) -> None:
    """Sleep so long that the watchdog comes."""
    for _ in range(10):
        time.sleep(0.001)


def test_who_comes_too_late_raises_in_no_other_job(watchdog: Watchdog) -> None:
    first, second = claimed_job(1), claimed_job(2)

    class Late(CancellableThread):
        """A thread whose job ends just when another thread raises in it."""

        looks = 0

        @property
        def job(self) -> ClaimedJob:
            self.looks += 1
            return first if self.looks == 1 else second

        @job.setter
        def job(self, job: ClaimedJob | None) -> None: ...

    thread = Late(watchdog)
    assert thread.cancel(Claim(1, 1), force=True)
    for _ in range(5):
        run(Call(sleeps_long, (0,), {}))  # JobCancelled would arrive here
    thread.leave()
    assert not second.cancelled


def test_a_coroutine_that_begins_just_after_the_request_is_cancelled_by_the_next_one_once(watchdog: Watchdog) -> None:
    told: list[str] = []
    thread: list[CancellableThread] = []
    begin = threading.Event()

    async def waits() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                told.append("cancelled")
        told.append("ended")

    def work() -> None:
        thread.append(CancellableThread(watchdog))
        thread[0].job = job
        begin.wait(5)
        thread[0].loop.run(waits(), None)
        thread[0].leave()
        thread[0].loop.close()

    job = claimed_job()
    worker = threading.Thread(target=work)
    worker.start()
    while not thread or thread[0].job is None:
        time.sleep(0.001)
    assert thread[0].cancel(job.key(), force=True)  # its loop does not run yet
    begin.set()
    while worker.is_alive():
        thread[0].cancel(job.key(), force=True)
        time.sleep(0.01)
    assert told == ["cancelled", "ended"]
