"""Writes the outcomes of ended jobs: what others refuse, and what others have locked, stops nothing else."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from pgjobs.db.refusals import is_refusal
from pgjobs.db.statements import statement
from pgjobs.db.workflow_ends import end_workflows
from pgjobs.jobs.outcome import COMPLETED, Completed, KeptResult, Outcome, ends_job
from pgjobs.worker.acknowledge.hand_over import HandOver
from pgjobs.worker.acknowledge.held_jobs import TRY_EVERY, HeldJobs
from pgjobs.worker.local.local_queue import Ended
from pgjobs.worker.runtime.completing import Awaited, complete, complete_stages, complete_steps
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from pgjobs.worker.runtime.settle import array, log_kept_out, settle

log = logging.getLogger("pgjobs.acknowledger")

# The claims that this worker no longer owns, and what was written.
_Written: TypeAlias = "tuple[list[int], dict[Claim, Outcome]]"
# Writes outcomes on a cursor, with patience or without (see `release_dependents`).
_Write: TypeAlias = "Callable[[Any, list[Ended], bool], _Written]"


class _Unlooked(NamedTuple):
    """Workflows to look at, those of these steps and others."""

    steps: set[int]
    workflows: set[int]


class _Result:
    """What happened to a batch, so far."""

    def __init__(self) -> None:
        self.held: list[Ended] = []
        self.kept_out: list[Ended] = []
        self.stale: list[int] = []
        self.written: dict[Claim, Outcome] = {}

    def add(self, result: _Written) -> None:
        """Add what a statement has returned, once it is committed."""
        self.stale += result[0]
        self.written |= result[1]


def kept_results(batch: list[Ended]) -> dict[int, KeptResult]:
    """Return what is kept of jobs that completed, by their ids."""
    return {job.id: outcome.result for job, outcome, _ in batch if isinstance(outcome, Completed) and outcome.result}


class OutcomeWriter:
    """Writes for one acknowledger. `grace`: seconds that an outage may last once the worker stops. For one thread."""

    def __init__(self, server: ReconnectingConnection, worker_id: int, host: str, grace: float, held: HeldJobs) -> None:
        self._server = server
        self._worker_id = worker_id
        self._host = host
        self._grace = grace
        self._held = held
        self._hand_over = HandOver()
        self.ended = 0  # jobs that run no more, and are recorded as such
        self._steps: set[int] = set()  # of workflows, that have ended since `end_workflows`
        self._workflows: set[int] = set()  # of which steps have ended since then
        self._busy: set[int] = set()  # the same, and others run
        self._unlooked = _Unlooked(set(), set())  # of workflows that another transaction had locked
        self._look_again_at = math.inf  # monotonic seconds
        self.lost: set[int] = set()  # jobs of the last `complete` that it could not write; held ones are not in it

    def complete(
        self,
        batch: list[Ended],
        held: list[Ended],
        *,
        keep: bool = True,
        controlled: bool = False,
        again: bool = False,
        with_results: bool = False,
    ) -> bool:
        """Write that these jobs completed (`keep`, `controlled`: see `completing.complete`), and their results.

        Adds to `held` what other transactions have locked; `again`: they had locked it before. Returns True if other
        jobs waited for one of these.
        """
        careful = again or self._held.is_careful
        groups = self._hand_over.partition(batch) if controlled and not careful else {None: batch}
        awaited = Awaited()
        self.lost = set()
        for claiming, group in groups.items():
            write = partial(
                self._complete,
                keep=keep,
                controlled=controlled,
                awaited=awaited,
                claiming=claiming,
                with_results=with_results,
            )
            self._note(group, held, self._run([group], write, claims=claiming is not None, again=again))
        self._hand_over.look_for_lost()
        return self._note_awaited(awaited)

    def complete_steps(self, batch: list[Ended], held: list[Ended], *, again: bool = False) -> bool:
        """Write that these steps of workflows completed, with their results and what they add. All else: `complete`."""
        awaited = Awaited()

        def write(cursor: Any, some: list[Ended], patient: bool) -> _Written:
            outcomes = {job.key(): outcome for job, outcome, _ in some if isinstance(outcome, Completed)}
            rooms = self._hand_over.rooms(some) if patient else {}
            return complete_steps(
                cursor,
                self._worker_id,
                outcomes,
                awaited,
                patient=patient,
                rooms=rooms,
                claimed=self._hand_over.rows,
            ), {}

        self.lost = set()
        self._note(batch, held, self._run([batch], write, claims=not again and not self._held.is_careful, again=again))
        self._hand_over.look_for_lost()
        return self._note_awaited(awaited)

    def complete_stages(self, batch: list[Ended], held: list[Ended], *, keep: bool, again: bool = False) -> bool:
        """Write that these items of pipelines completed, and what they lead to in the next stages. Else: `complete`."""
        awaited = Awaited()

        def write(cursor: Any, some: list[Ended], patient: bool) -> _Written:
            outcomes = {job.key(): outcome for job, outcome, _ in some if isinstance(outcome, Completed)}
            return complete_stages(cursor, self._worker_id, outcomes, awaited, keep=keep, patient=patient), {}

        self.lost = set()
        self._note(batch, held, self._run([batch], write, again=again))
        return self._note_awaited(awaited)

    def _note_awaited(self, awaited: Awaited) -> bool:
        """Note which workflows to look at. Returns True if other jobs waited for one that has completed."""
        self._steps |= awaited.steps
        self._workflows |= awaited.workflows
        self._busy |= awaited.busy
        return bool(awaited.jobs)

    def _note(self, batch: list[Ended], held: list[Ended], result: _Result) -> None:
        """Note which of these completions were written."""
        held += result.held
        self.lost.update(result.stale, (job.id for job, _, _ in result.kept_out))
        self.ended += len(batch) - len(result.held) - len(result.stale) - len(result.kept_out)

    def end_workflows(self) -> None:
        """Look whether workflows have ended with the jobs that were written. Their ends are committed.

        A workflow that another transaction has locked is looked at again later.
        """
        steps, self._steps = self._steps, set()
        workflows, self._workflows = self._workflows, set()
        busy, self._busy = self._busy, set()
        if time.monotonic() >= self._look_again_at:
            steps |= self._unlooked.steps
            workflows |= self._unlooked.workflows
            self._unlooked, self._look_again_at = _Unlooked(set(), set()), math.inf
        if not (steps or workflows or busy):
            return

        def look(server: ReconnectingConnection) -> bool:
            return end_workflows(server.connection, steps, workflows=workflows, busy=busy)

        if not self._server.run(look, patience=self._grace):
            self._unlooked.steps.update(steps)
            self._unlooked.workflows.update(workflows, busy)
            self._look_again_at = time.monotonic() + TRY_EVERY

    def seconds_left(self) -> float | None:
        """Return the seconds until something has to be tried again; None: nothing has."""
        until = min(self._held.next_try, self._look_again_at)
        return None if until == math.inf else max(0.0, until - time.monotonic())

    def _complete(
        self,
        cursor: Any,
        batch: list[Ended],
        patient: bool,
        *,
        keep: bool,
        controlled: bool,
        awaited: Awaited,
        claiming: str | None,
        with_results: bool,
    ) -> _Written:
        stale = complete(
            cursor,
            self._worker_id,
            [job.id for job, _, _ in batch],
            [job.claim_number for job, _, _ in batch],
            keep=keep,
            controlled=controlled,
            awaited=awaited,
            patient=patient,
            # Once a queue closes, its threads end: no more may come. `stop_claiming` waits for what is under way.
            claiming=claiming if patient and not any(job.local_queue.closing for job, _, _ in batch) else None,
            claimed=self._hand_over.rows,
            results=kept_results(batch) if with_results else None,
        )
        return stale, {}

    def confirm(self, batch: list[Ended], held: list[Ended]) -> tuple[set[Claim], set[Claim]]:
        """Look at jobs that called `complete`: return the claims that have completed, and those that have not.

        Those that are in neither belong to another attempt by now. Adds to `held` those whose transaction is open.
        """
        left: set[Claim] = set()

        def look(cursor: Any, some: list[Ended], patient: bool) -> _Written:
            rows = cursor.execute(statement("claims_left"), {"ids": array(job.id for job, _, _ in some)})
            running = {Claim(*row) for row in rows}
            left.update(running)
            ids = {claim.job_id for claim in running}
            ids |= self._ended_otherwise(cursor, [ended for ended in some if ended[0].id not in ids])
            stale = [job.id for job, _, _ in some if job.id in ids and job.key() not in running]
            return stale, {job.key(): COMPLETED for job, _, _ in some if job.id not in ids}

        result = self._run([batch], look, again=True)
        held += result.held
        self.ended += len(result.written)
        return set(result.written), left

    def _ended_otherwise(self, cursor: Any, batch: list[Ended]) -> set[int]:
        """Return which of these jobs, which have ended, others have ended. One that has returned has ended itself."""
        failed = [job for job, outcome, _ in batch if not isinstance(outcome, Completed)]
        if not failed:
            return set()
        values = {
            "ids": array(job.id for job in failed),
            "claim_numbers": array(job.claim_number for job in failed),
            "worker_id": self._worker_id,
        }
        return {row[0] for row in cursor.execute(statement("ended_otherwise"), values)}

    def take_full_lanes(self) -> set[str]:
        """Return the lanes in which as many jobs were claimed as have ended since the last call."""
        full, self._hand_over.full = self._hand_over.full, set()
        return full

    def settle(self, batch: list[Ended], held: list[Ended], *, again: bool = False) -> dict[Claim, Outcome]:
        """Write other outcomes than completion, and return those that were written. `held`, `again`: see `complete`."""

        def write(cursor: Any, some: list[Ended], patient: bool) -> _Written:
            written: dict[Claim, Outcome] = {}
            settlements = [(job.key(), outcome) for job, outcome, _ in some]
            stale = settle(
                cursor,
                self._worker_id,
                self._host,
                settlements,
                written=written,
                steps=self._steps,
                patient=patient,
            )
            return [claim.job_id for claim in stale], written

        by_kind: dict[type[Outcome], list[Ended]] = defaultdict(list)
        for ended in batch:
            by_kind[type(ended[1])].append(ended)
        result = self._run(list(by_kind.values()), write, again=again)
        held += result.held
        self.ended += sum(map(ends_job, result.written.values()))
        return result.written

    def _run(self, groups: list[list[Ended]], write: _Write, *, claims: bool = False, again: bool = False) -> _Result:
        return self._server.run(
            lambda server: self._write(server, groups, write, claims=claims, again=again), patience=self._grace
        )

    def _write(
        self, server: ReconnectingConnection, groups: list[list[Ended]], write: _Write, *, claims: bool, again: bool
    ) -> _Result:
        """Write groups, in pieces where others refuse a row or have locked one. `claims`: it may claim jobs, too."""
        import psycopg

        pieces = list(groups)
        result = _Result()
        while pieces:
            some = pieces.pop()
            half = len(some) // 2
            careful = again or self._held.is_careful
            try:
                if careful:
                    self._write_carefully(server, some, write, result)
                else:
                    with self._hand_over.recording(some if claims else ()), server.hot_cursor() as cursor:
                        written = write(cursor, some, True)
                    result.add(written)
            except psycopg.errors.LockNotAvailable:
                self._held.met_lock()
                if not careful:
                    pieces.append(some)
                elif half:
                    pieces += [some[:half], some[half:]]
                else:
                    result.held += some
            except psycopg.Error as error:
                if not is_refusal(error):
                    raise
                if half:  # those that others refuse stop no others
                    pieces += [some[:half], some[half:]]
                else:
                    result.kept_out += some
                    reason = error
        if result.kept_out:
            log_kept_out([job.id for job, _, _ in result.kept_out], result.kept_out[0][1], reason)
        if result.stale:
            log.warning(
                "acknowledgements dropped: %d; these jobs no longer belong to this worker, and run again: %s",
                len(result.stale),
                ", ".join(map(str, result.stale[:20])),
            )
        return result

    def _write_carefully(
        self, server: ReconnectingConnection, batch: list[Ended], write: _Write, result: _Result
    ) -> None:
        """Lock the rows first, and write those that could be locked."""
        with server.hot_cursor() as cursor, cursor.connection.transaction():
            free, held = self._held.free(cursor, batch)
            written = write(cursor, free, False) if free else ([], {})
        result.add(written)
        result.held += held
