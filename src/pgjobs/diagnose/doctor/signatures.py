"""Whether jobs are signed where somebody checks it."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import plural as count
from pgjobs.diagnose.doctor.finding import Finding
from pgjobs.diagnose.doctor.installation import Installation


def signatures(i: Installation) -> Iterator[Finding]:
    """Look whether workers refuse what waits, or take what anybody could have written."""
    strict = [worker for worker in i.workers if worker.signs]
    lax = [worker for worker in i.workers if worker.signs is False]
    if i.unsigned and strict:
        yield Finding(
            "unsigned_jobs",
            "error",
            f"{count(i.unsigned, 'job')} that {'waits is' if i.unsigned == 1 else 'wait are'} not signed, and "
            f"{count(len(strict), 'worker')} with a key {'refuses' if len(strict) == 1 else 'refuse'} what is not: "
            "they go to the dead letters without being run.",
            "Set PGJOBS_SIGNING_KEY where jobs are enqueued; jobs enqueued in SQL can not be signed, so give them a "
            "queue whose workers have no key.",
            {"unsigned": i.unsigned, "workers_with_key": len(strict)},
        )
    if strict and lax:
        yield Finding(
            "mixed_keys",
            "warning",
            f"{count(len(strict), 'worker')} with a signing key and {count(len(lax), 'worker')} without run side by "
            "side: the ones without take what the others refuse.",
            "Set PGJOBS_SIGNING_KEY for all of them.",
            {"with_key": [worker.id for worker in strict], "without": [worker.id for worker in lax]},
        )
    elif (i.has_key or i.signed) and lax:
        yield Finding(
            "unchecked_signatures",
            "warning",
            f"Jobs are signed, but {count(len(lax), 'worker')} {'has' if len(lax) == 1 else 'have'} no key: nobody "
            "checks the signatures there.",
            "Set PGJOBS_SIGNING_KEY for the workers.",
            {"without": [worker.id for worker in lax]},
        )
    elif lax:
        yield Finding(
            "no_key",
            "note",
            "Jobs are not signed: whoever may INSERT into the table of jobs can run code in the workers.",
            "Set PGJOBS_SIGNING_KEY for the workers and where jobs are enqueued.",
        )
