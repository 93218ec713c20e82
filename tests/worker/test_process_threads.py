"""When the threads of a worker process say that nothing more is due: a drain ends then."""

from __future__ import annotations

import socket
import time
from contextlib import closing

from pgjobs.worker.config import QueueSlots, WorkerConfig
from pgjobs.worker.process_threads import ProcessThreads
from pgjobs.worker.runtime.scoreboard import Scoreboard
from tests.support.claimed import claimed_job


def test_a_queue_whose_last_claim_took_the_last_job_is_not_done_before_that_has_ended() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, closing(Scoreboard(1)) as scoreboard:
        config = WorkerConfig("postgresql://none", queues=(QueueSlots("default", 1),), drain=True)
        threads = ProcessThreads(config, 1, ours, scoreboard, lambda job: None)
        (local_queue,) = threads._local_queues
        assert not threads.nothing_is_due(), "it was not looked at"

        job = claimed_job(local_queue=local_queue)
        local_queue.record_claimed([job])
        local_queue.claim_stats.empty_since = time.monotonic()  # one job, and no more
        assert not threads.nothing_is_due(), "it runs"
        local_queue.record_ended([job], 1, 0.1)
        local_queue.record_acknowledged()
        assert not threads.nothing_is_due(), "it may be retried"

        local_queue.claim_stats.empty_since = time.monotonic()
        assert threads.nothing_is_due()
