"""What tells one claim of a job from another."""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """One claim of a job. `claim_number`: how often the job had been claimed by then.

    With the worker's id it is the fence of every acknowledgement. The number only grows, unlike that of the attempt,
    which is taken back where a run does not count.
    """

    job_id: int
    claim_number: int
