"""What can be wrong with workers: silent, of several versions, missing, or gone while they ran jobs."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import duration, listed, plural
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import serve

DUE_FOR = 60.0  # seconds


def silent(installation: Installation) -> Iterator[Finding]:
    """Look for workers that are not heard from."""
    found = [worker for worker in installation.workers if not worker.is_heard]
    if not found:
        return
    shown = listed([f"{worker}, {duration(worker.silent_for)}" for worker in found], 3)
    if installation.heard():
        step = "Wait: others take their jobs back; if those machines are up, look whether they reach PostgreSQL."
    else:
        step = "Start a worker: it takes their jobs back. If those machines are up, look whether they reach PostgreSQL."
    yield Finding(
        "silent_workers",
        f"{plural(len(found), 'worker')} {'is' if len(found) == 1 else 'are'} not heard from: {shown}.",
        step,
        {"workers": {worker.id: worker.silent_for for worker in found}},
        level="warning",
    )


def versions(installation: Installation) -> Iterator[Finding]:
    """Check whether all run the same version."""
    found = sorted({worker.version for worker in installation.heard()} - {installation.version})
    if found:
        yield Finding(
            "versions",
            f"Workers run other versions of pgjobs ({listed(found)}) than this machine ({installation.version}).",
            "Deploy one version; while a deployment is under way, nothing.",
            {"versions": sorted({worker.version for worker in installation.heard()}), "here": installation.version},
            level="note",
        )


def orphans(installation: Installation) -> Iterator[Finding]:
    """Look for jobs that run nowhere."""
    if not installation.orphans:
        return
    yield Finding(
        "orphans",
        f"{plural(installation.orphans, 'job')} {'is' if installation.orphans == 1 else 'are'} running according to "
        f"the table, for workers that are no longer in it ({listed(installation.orphan_workers)}).",
        "Wait: supervisors look for such jobs every ten minutes"
        + ("." if installation.heard() else ", and one that starts at once."),
        {"jobs": installation.orphans, "workers": list(installation.orphan_workers)},
        level="warning",
    )


def unserved(installation: Installation) -> Iterator[Finding]:
    """Look for queues with due jobs and no worker."""
    served = {name for worker in installation.heard() for name in worker.queues}
    for queue in installation.queues:
        if queue.due_for is None or queue.paused:
            continue
        if queue.name not in served:
            yield Finding(
                "no_worker",
                f"Queue {queue.name} has jobs that are due, for {duration(queue.due_for)}, and no worker listens to "
                "it.",
                f"Start one: {serve(queue.name)}; or correct the name of the queue where jobs are enqueued.",
                {"queue": queue.name, "due_seconds": queue.due_for},
                level="warning",
            )
        elif queue.due_for >= DUE_FOR:
            yield Finding(
                "latency",
                f"The oldest due job of queue {queue.name} has been due for {duration(queue.due_for)}.",
                f"Start more workers or slots ({serve(queue.name, more=True)}); `pgjobs why` says what holds a job up.",
                {"queue": queue.name, "due_seconds": queue.due_for},
                level="note",
            )
