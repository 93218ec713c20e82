"""Whether jobs are signed, and whether workers check it."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import plural
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import Finding


def signatures(installation: Installation) -> Iterator[Finding]:
    """Check whether workers refuse what waits, or run unsigned jobs."""
    strict = [worker for worker in installation.workers if worker.signs]
    lax = [worker for worker in installation.workers if worker.signs is False]
    if installation.unsigned and strict:
        yield Finding(
            "unsigned_jobs",
            f"{plural(installation.unsigned, 'job')} that {'waits is' if installation.unsigned == 1 else 'wait are'} "
            f"not signed, and {plural(len(strict), 'worker')} with a key {'refuses' if len(strict) == 1 else 'refuse'} "
            "what is not: they go to the dead letters without being run.",
            "Set PGJOBS_SIGNING_KEY where jobs are enqueued; jobs enqueued in SQL cannot be signed, so give them a "
            "queue whose workers have no key.",
            {"unsigned": installation.unsigned, "workers_with_key": len(strict)},
            level="error",
        )
    if strict and lax:
        yield Finding(
            "mixed_keys",
            f"{plural(len(strict), 'worker')} with a signing key and {plural(len(lax), 'worker')} without run side by "
            "side: the ones without take what the others refuse.",
            "Set PGJOBS_SIGNING_KEY for all of them.",
            {"with_key": [worker.id for worker in strict], "without": [worker.id for worker in lax]},
            level="warning",
        )
    elif (installation.has_key or installation.signed) and lax:
        yield Finding(
            "unchecked_signatures",
            f"Jobs are signed, but {plural(len(lax), 'worker')} {'has' if len(lax) == 1 else 'have'} no key and "
            "do not check the signatures.",
            "Set PGJOBS_SIGNING_KEY for the workers.",
            {"without": [worker.id for worker in lax]},
            level="warning",
        )
    elif lax:
        yield Finding(
            "no_key",
            "Jobs are not signed: any role that may INSERT into the table of jobs can run code in the workers.",
            "Set PGJOBS_SIGNING_KEY for the workers and where jobs are enqueued.",
            level="note",
        )
