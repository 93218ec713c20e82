"""A job in a thread is asked to end, or has something raised in it, and no other one."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pgjobs.core.interrupts import JobCancelled
from pgjobs.worker.executors.thread_interrupt import ThreadInterrupt
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim
from tests.support.claimed import claimed_job


def test_a_job_is_known_by_its_id_and_its_claim() -> None:
    interrupt = ThreadInterrupt()
    interrupt.job = here = claimed_job(1, claim_number=2)
    assert not here.cancelled
    assert not interrupt.cancel(Claim(1, 1), force=True)
    assert not interrupt.cancel(Claim(2, 2), force=True)
    assert not here.cancelled
    assert interrupt.cancel(Claim(1, 2), force=False)
    assert here.cancelled
    interrupt.leave()
    assert not interrupt.cancel(Claim(1, 2), force=False)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Make threads take turns a hundred times as often as usual: there are more ways to meet, in less time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 100)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("quick_switches")
def test_what_was_raised_and_has_not_arrived_is_taken_back_at_the_end() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        interrupt = ThreadInterrupt()
        try:
            for number in range(2_000):
                interrupt.job = here = claimed_job(number)
                current[0] = (interrupt, here)
                try:
                    time.sleep(0)
                    interrupt.job = None
                    if interrupt.interrupt_pending:
                        interrupt.leave()
                except JobCancelled:
                    interrupt.leave()
                for _ in range(5):  # between two jobs nothing may arrive
                    time.sleep(0)
        except BaseException as error:
            raised.append(error)

    current: list[tuple[ThreadInterrupt, ClaimedJob] | None] = [None]
    thread = threading.Thread(target=work)
    thread.start()
    asked = 0
    while thread.is_alive():
        if current[0] is not None:
            interrupt, here = current[0]
            asked += interrupt.cancel(here.key(), force=True)
    assert raised == []
    assert asked


def test_who_comes_too_late_raises_in_no_other_job() -> None:
    first, second = claimed_job(1), claimed_job(2)

    class Late(ThreadInterrupt):
        """A thread whose job ends just when another thread raises in it."""

        looks = 0

        @property
        def job(self) -> ClaimedJob:
            self.looks += 1
            return first if self.looks == 1 else second

        @job.setter
        def job(self, job: ClaimedJob | None) -> None: ...

    interrupt = Late()
    assert interrupt.cancel(Claim(1, 1), force=True)
    for _ in range(50):
        time.sleep(0.001)  # JobCancelled would arrive here, in this thread
    interrupt.leave()
    assert not second.cancelled
