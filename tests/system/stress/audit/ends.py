"""Every job ends, in a way that it can account for; what waits for others runs after them; keys come free."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from math import inf

from tests.system.stress.audit.fault import Fault
from tests.system.stress.trace import FINAL, TICK, TICK_ALONE, Histories, Run, Span, State

KEEPS_NOTHING = "forgets"  # a queue that deletes what has completed
EXITED = "exit"  # the word of a job that ends its worker process
SILENCE = 3.0  # seconds without a claim that mean that no worker is there: claims follow each other in milliseconds
NOTICED = 3.0  # seconds until a worker has noticed that a job waits for another one


def all_end(histories: Histories) -> list[Fault]:
    """Find jobs that did not end, that ended without a cause, or that no transaction has enqueued."""
    text = "it was committed, and never had a row"
    found = [Fault("lost", text, 0.0, "", (job,)) for job in histories.trace.calls if job not in histories.jobs]
    well = {run.job for run in histories.trace.runs if run.word == "ok"}
    letters: dict[int, str] = {letter.id: letter.op for letter in histories.trace.letters}
    for job, states in histories.jobs.items():
        last = states[-1]
        completed = last.status == "completed" or (last.status == "gone" and last.move.queue == KEEPS_NOTHING)
        if not completed and last.status not in FINAL:
            found.append(Fault("no end", f"it is {last.status}", last.at, last.move.queue, (job,)))
        if completed and job not in well:
            found.append(Fault("lost", "it has completed, and never ran to its end", last.at, last.move.queue, (job,)))
        if last.status == "failed" and job not in letters:
            found.append(Fault("no letter", "it has failed, without a dead letter", last.at, "", (job,)))
        if last.move.task not in (TICK, TICK_ALONE) and job not in histories.trace.calls:
            found.append(Fault("ghost", "its transaction was not committed", last.at, "", (job,)))
    return found


def attempts_are_counted(histories: Histories) -> list[Fault]:
    """Find jobs that failed more often than they may, by their own word."""
    claims = {(span.job, span.claim): span for span in histories.claims}
    failures = Counter(
        run.job
        for run in histories.trace.runs
        if run.word in ("fail", "retry", "down") and not _lost(histories, run, claims.get((run.job, run.claim)))
    )
    found = []
    for job, about in histories.trace.calls.items():
        allowed = about.get("max_attempts", inf) * len(histories.presences(job))
        if failures[job] > allowed and "unique" not in about:  # one that is replaced has other options
            text = f"it failed {failures[job]} times, {allowed:g} allowed"
            found.append(Fault("attempts", text, histories.jobs[job][-1].at, "", (job,)))
    return found


def _lost(histories: Histories, run: Run, claim: Span | None) -> bool:
    """Return True if its outcome may have died with its worker: that takes back what has ended without counting it."""
    if run.ended is None or claim is None or claim.until is None:
        return True
    if any(strike.began <= claim.until and strike.ended >= run.ended - 1.0 for strike in histories.trace.strikes):
        return True
    same = (other for other in histories.trace.runs if other.pid == run.pid and other.began <= claim.until)
    return any(other.ended is None or (other.word == EXITED and other.ended >= run.ended) for other in same)


def firings_do_not_overlap(histories: Histories) -> list[Fault]:
    """Find firings of a schedule that skips them while the last one has not ended."""
    spans = [
        span
        for job, states in histories.jobs.items()
        if states[0].move.task == TICK_ALONE
        for span in histories.presences(job)[:1]
    ]
    spans.sort(key=lambda span: span.since)
    return [
        Fault("schedule", "the firing before had not ended", later.since, "alone", (earlier.job, later.job))
        for earlier, later in pairwise(spans)
        if earlier.until is None or earlier.until > later.since
    ]


def after_what_they_need(histories: Histories) -> list[Fault]:
    """Find jobs that started before those that they wait for, or were left behind, or not cancelled with them."""
    found = []
    first: dict[int, Span] = {}
    for span in histories.claims:
        first.setdefault(span.job, span)
    for job, about in histories.trace.calls.items():
        needs = about.get("after", ())
        claim = first.get(job)
        states = histories.jobs.get(job, [])
        for needed in needs:
            ends = [state for state in histories.jobs.get(needed, []) if _satisfies(state.status, about["if_failed"])]
            over = [s for s in ends if claim is not None and (s.at <= claim.since or s.xid == claim.since_xid)]
            if claim is not None and not over:
                # An operator who retries it after it was cancelled starts it without those that it waited for.
                if any(state.status == "cancelled" and state.at < claim.since for state in states):
                    continue
                text = "it started before a job that it waits for had ended"
                found.append(Fault("after", text, claim.since, "", (needed, job)))
        if needs and about["if_failed"] == "cancel" and len(histories.presences(job)) == 1:
            failed = [needed for needed in needs if _failed_meanwhile(histories, needed, states)]
            if failed and states[-1].status != "cancelled":
                text = f"it is {states[-1].status}, and was to be cancelled with a job that it waits for"
                found.append(Fault("after", text, states[-1].at, "", (*failed, job)))
    return found


def _satisfies(status: str, if_failed: str) -> bool:
    return status in ("completed", "gone") or (if_failed == "run" and status in FINAL)


def _failed_meanwhile(histories: Histories, needed: int, states: list[State]) -> bool:
    """Return True if a job had failed, or was cancelled, first and for a while, when another one waited for it."""
    began = states[0].at
    theirs = histories.jobs.get(needed, [])
    for state, later in zip(theirs, [*theirs[1:], None], strict=True):
        if later is not None and later.at <= began:
            continue
        if state.status in FINAL or state.status == "gone":
            since = max(began, state.at)
            lasts = inf if later is None else later.at - since - _struck(histories, since, later.at)
            return state.status in ("failed", "cancelled") and state.at < states[-1].at and lasts > NOTICED
    return False


def _struck(histories: Histories, since: float, until: float) -> float:
    """Return the seconds between two moments in which a worker of a queue may have been stopped, or away."""
    seconds, at = 0.0, since
    strikes = [(strike.began, strike.ended) for strike in histories.trace.strikes]
    for began, ended in sorted([*strikes, *_silences(histories)]):
        begin, end = max(at, began), min(until, ended)
        if begin < end:
            seconds, at = seconds + end - begin, end
    return seconds


def _silences(histories: Histories) -> list[tuple[float, float]]:
    """Return the times without any claim: all workers may still be starting, which takes long on a busy machine."""
    claimed = sorted(span.since for span in histories.claims)
    return [(earlier, later) for earlier, later in pairwise(claimed) if later - earlier > SILENCE]


def one_has_a_key(histories: Histories) -> list[Fault]:
    """Find two jobs that had a unique key at once. A job that is replayed does not take its key again."""
    found = []
    untils = _untils(histories)
    holders: dict[str, list[Span]] = defaultdict(list)
    for job, about in histories.trace.calls.items():
        if "unique" in about and (presences := histories.presences(job)):
            began = [span.since for span in histories.claims if span.job == job] if "started" in untils[job] else []
            span = presences[0]
            ends = [*began, *([] if span.until is None else [span.until])]
            holders[about["unique"][0]].append(span._replace(until=min(ends) if ends else None))
    for key, spans in holders.items():
        spans.sort(key=lambda span: span.since)
        for number, later in enumerate(spans):
            for earlier in spans[:number]:
                if earlier.until is None or earlier.until > later.since:
                    text = "another job had the key"
                    found.append(Fault("unique key", text, later.since, key, (earlier.job, later.job)))
    return found


def keys_are_released(histories: Histories) -> list[Fault]:
    """Find enqueues that were told that a job has their key when it had not."""
    found = []
    untils = _untils(histories)
    for call in histories.trace.unique_calls:
        presences = histories.presences(call.job)
        if not call.conflict or not presences:
            continue
        # One that is replayed has its key again, if no other job has taken it; but not one that it had until its start.
        began = [run.began for run in histories.trace.runs if run.job == call.job and run.holds]
        started = untils[call.job] == {"started"} and began and min(began) < call.began
        if started or all(span.until is not None and span.until < call.began for span in presences):
            text = "a job that had ended still had the key"
            found.append(Fault("unique key", text, call.began, call.key, (call.job,)))
    return found


def _untils(histories: Histories) -> dict[int, set[str]]:
    """Return until when each job was to have its key: an enqueue that replaces a job changes that, too."""
    found: dict[int, set[str]] = defaultdict(set)
    for job, about in histories.trace.calls.items():
        if "unique" in about:
            found[job].add(about["unique"][1])
    for call in histories.trace.unique_calls:
        if call.on_conflict == "replace" or not call.conflict:
            found[call.job].add(call.until)
    return found
