"""The jobs of a sequence run one after another, in the order of their ids."""

from __future__ import annotations

from collections import defaultdict
from math import inf

from tests.system.stress.audit.fault import Fault
from tests.system.stress.audit.slots import claimed_runs
from tests.system.stress.trace import Histories, Span

SLACK = 1.0  # seconds: a claim may not have seen what had just been committed


def _by_sequence(spans: list[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.move.sequence is not None:
            found[span.move.sequence].append(span)
    return found


def one_after_another(histories: Histories) -> list[Fault]:
    """Find two jobs of a sequence that ran at once: by their rows, and by their own word."""
    found = [
        Fault("two of a sequence", "two rows run at once", later.since, key, (earlier.job, later.job))
        for key, spans in _by_sequence(histories.claims).items()
        for earlier, later in _overlaps(spans)
    ]
    words = []
    for run, claim in claimed_runs(histories):
        ends = [at for at in (run.ended, claim.until) if at is not None]
        words.append(claim._replace(since=max(run.began, claim.since), until=min(ends) if ends else None, until_xid=-1))
    return found + [
        Fault("two of a sequence", "two run at once by their own word", later.since, key, (earlier.job, later.job))
        for key, spans in _by_sequence(words).items()
        for earlier, later in _overlaps(spans)
    ]


def _overlaps(spans: list[Span]) -> list[tuple[Span, Span]]:
    found = []
    last: Span | None = None  # of those before, the one that ended last
    for span in sorted(spans, key=lambda span: (span.since, _end(span))):
        handed_over = last is not None and last.until_xid == span.since_xid
        if last is not None and not handed_over and _end(last) > span.since:
            found.append((last, span))
        if last is None or handed_over or _end(span) >= _end(last):
            last = span
    return found


def _end(span: Span) -> float:
    return inf if span.until is None else span.until


def in_order(histories: Histories) -> list[Fault]:
    """Find claims of a job while an earlier one of its sequence was there, or a dead letter blocked the sequence."""
    present: dict[str, list[Span]] = defaultdict(list)
    for job, states in histories.jobs.items():
        sequence = states[0].move.sequence
        if sequence is not None:
            present[sequence] += histories.presences(job)
    blocked = _blocked(histories)
    found = []
    for key, claims in _by_sequence(histories.claims).items():
        for claim in claims:
            for other in present[key]:
                if other.job < claim.job and _is_there(other, claim, SLACK):
                    text = "an earlier job had not ended"
                    found.append(Fault("order in a sequence", text, claim.since, key, (other.job, claim.job)))
            for letter in blocked[key]:
                if _is_there(letter, claim, 0.0):
                    text = "a dead letter blocks the sequence"
                    found.append(Fault("order in a sequence", text, claim.since, key, (letter.job, claim.job)))
    return found


def _is_there(other: Span, claim: Span, slack: float) -> bool:
    began = other.since < claim.began - slack
    ended = other.until is not None and (other.until < claim.since or other.until_xid == claim.since_xid)
    return began and not ended


def _blocked(histories: Histories) -> dict[str, list[Span]]:
    """Return the times in which dead letters block, by sequence."""
    found: dict[str, list[Span]] = defaultdict(list)
    began: dict[int, float] = {}
    ends = histories.ends
    for letter in sorted(histories.trace.letters, key=lambda letter: (ends[letter.xid], letter.n)):
        move = histories.jobs[letter.id][0].move if histories.jobs.get(letter.id) else None
        if move is None or move.sequence is None or (move.on_failure or "block") != "block":
            continue
        if letter.op == "I":
            began[letter.id] = ends[letter.xid]
        elif letter.id in began:
            span = Span(letter.id, began.pop(letter.id), 0, ends[letter.xid], letter.xid, move)
            found[move.sequence].append(span)
    for job, at in began.items():
        move = histories.jobs[job][0].move
        found[move.sequence or ""].append(Span(job, at, 0, None, None, move))
    return found


def ended_sequences_end(histories: Histories) -> list[Fault]:
    """Find jobs that ran although they had waited in a sequence when it ended."""
    found = []
    claims: dict[int, list[Span]] = defaultdict(list)
    for span in histories.claims:
        claims[span.job].append(span)
    members: dict[str, list[int]] = defaultdict(list)
    for job, states in histories.jobs.items():
        if (sequence := states[0].move.sequence) is not None:
            members[sequence].append(job)
    for job, states in histories.jobs.items():
        move = states[0].move
        if move.sequence is None or move.on_failure != "end":
            continue
        for end in (state for state in states if state.status == "failed"):
            for other in members[move.sequence]:
                if other == job:
                    continue
                for presence in histories.presences(other):
                    waited = presence.since < end.at - SLACK and (presence.until is None or presence.until >= end.at)
                    ran = [c for c in claims[other] if c.since > end.at and (presence.until or c.since) >= c.since]
                    if waited and ran and presence.until_xid != end.xid:
                        text = "it ran after its sequence had ended"
                        found.append(Fault("end of a sequence", text, ran[0].since, move.sequence, (job, other)))
    return found
