"""What a worker raises in a job's thread from outside: once, at whatever line the thread is.

Code that runs in a job's thread and catches every exception lets these through first (`except RAISED_FROM_OUTSIDE:
raise`). A `JobTimeout` that is swallowed comes again after a second, while the job continues.
"""

from __future__ import annotations


class JobTimeout(BaseException):
    """Raised in a job that ran longer than its `timeout`; no `except Exception` swallows it."""


class JobCancelled(BaseException):
    """Raised in a job in a thread that is cancelled by force; no `except Exception` swallows it."""


RAISED_FROM_OUTSIDE = (JobTimeout, JobCancelled)
