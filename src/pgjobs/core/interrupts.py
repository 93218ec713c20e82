"""What a worker raises in a job's thread from outside, between any two of its steps where no lock stays locked.

Code that runs in a job's thread and catches every exception lets these through first (`except RAISED_FROM_OUTSIDE:
raise`). One that is swallowed comes again after a second, while the job continues.
"""

from __future__ import annotations


class JobTimeout(BaseException):
    """Raised in a job that ran longer than its `timeout`; no `except Exception` swallows it."""


class JobCancelled(BaseException):
    """Raised in a job in a thread that is cancelled by force; no `except Exception` swallows it."""


RAISED_FROM_OUTSIDE = (JobTimeout, JobCancelled)
