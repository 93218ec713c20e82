"""What can be wrong with workers: silent, of several versions, missing, or gone with jobs in their hands."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import duration as span
from pgjobs.core.text import listed
from pgjobs.core.text import plural as count
from pgjobs.diagnose.doctor.finding import Finding
from pgjobs.diagnose.doctor.installation import Installation

DUE_FOR = 60.0  # seconds


def silent(i: Installation) -> Iterator[Finding]:
    """Look for workers that are not heard from."""
    found = [worker for worker in i.workers if not worker.is_heard]
    if not found:
        return
    shown = listed([f"{worker}, {span(worker.silent_for)}" for worker in found], 3)
    if i.heard():
        step = "Wait: others take their jobs back; if those machines are up, look whether they reach PostgreSQL."
    else:
        step = "Start a worker: it takes their jobs back. If those machines are up, look whether they reach PostgreSQL."
    yield Finding(
        "silent_workers",
        "warning",
        f"{count(len(found), 'worker')} {'is' if len(found) == 1 else 'are'} not heard from: {shown}.",
        step,
        {"workers": {worker.id: worker.silent_for for worker in found}},
    )


def versions(i: Installation) -> Iterator[Finding]:
    """Look whether all run the same version."""
    found = sorted({worker.version for worker in i.heard()} - {i.version})
    if found:
        yield Finding(
            "versions",
            "note",
            f"Workers run other versions of pgjobs ({listed(found)}) than this machine ({i.version}).",
            "Deploy one version; while a deployment is under way, nothing.",
            {"versions": sorted({worker.version for worker in i.heard()}), "here": i.version},
        )


def orphans(i: Installation) -> Iterator[Finding]:
    """Look for jobs that run nowhere."""
    if not i.orphans:
        return
    yield Finding(
        "orphans",
        "warning",
        f"{count(i.orphans, 'job')} {'is' if i.orphans == 1 else 'are'} running according to the table, for workers "
        f"that are not in it any more ({listed(i.orphan_workers)}).",
        "Wait: supervisors look for such jobs every ten minutes"
        + ("." if i.heard() else ", and one that starts at once."),
        {"jobs": i.orphans, "workers": list(i.orphan_workers)},
    )


def unserved(i: Installation) -> Iterator[Finding]:
    """Look for queues with due jobs that nobody works on."""
    served = {name for worker in i.heard() for name in worker.queues}
    for queue in i.queues:
        if queue.due_for is None or queue.paused:
            continue
        if queue.name not in served:
            yield Finding(
                "no_worker",
                "warning",
                f"Queue {queue.name} has jobs that are due, for {span(queue.due_for)}, and no worker listens to it.",
                f"Start one: `pgjobs work -q {queue.name}`; or correct the name of the queue where jobs are enqueued.",
                {"queue": queue.name, "due_seconds": queue.due_for},
            )
        elif queue.due_for >= DUE_FOR:
            yield Finding(
                "latency",
                "note",
                f"The oldest due job of queue {queue.name} has been due for {span(queue.due_for)}.",
                f"Start more workers or slots (`pgjobs work -q {queue.name}:N`); `pgjobs why` says what holds a job "
                "up.",
                {"queue": queue.name, "due_seconds": queue.due_for},
            )
