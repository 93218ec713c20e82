"""What pgjobs raises: every message is one or two lines that name the thing, the cause and the next step."""

from __future__ import annotations


class PgjobsError(Exception):
    """The base of all errors that pgjobs raises; the command line shows its message and exits with 1."""


class UsageError(PgjobsError, ValueError):
    """A value that cannot be used: refused before anything is written. The command line exits with 2."""


class ConfigurationError(PgjobsError):
    """A setting or the installation does not allow what was asked (no database, no extra, wrong schema)."""


class SchemaError(ConfigurationError):
    """The tables are missing, older, or newer than this version of pgjobs can use."""


class NewerTablesError(SchemaError):
    """The tables are newer than this version of pgjobs: it has to be upgraded, and a restart does not help."""


class EnqueueError(UsageError):
    """A job that was refused at enqueue; nothing was written."""


class DuplicateJobError(EnqueueError):
    """Another job has the unique key, and `on_conflict="raise"` was asked for; nothing was written.

    `key`: the key. `id`: the job that has it; None: one that was to be enqueued together with this one.
    """

    def __init__(self, message: str, key: str, id: int | None) -> None:
        super().__init__(message)
        self.key = key
        self.id = id

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.key, self.id)


class HookError(PgjobsError):
    """A hook has failed, and with it the attempt of a job that had not; the message names the hook."""


class PayloadError(PgjobsError):
    """A payload that a worker cannot load, or must not."""


class SignatureError(PayloadError):
    """A payload that is unsigned or wrongly signed, seen by a worker that has a key."""


class NotAllowedError(PayloadError):
    """A payload that wants to use what this worker's allow-list does not have."""


class StaleClaimError(PgjobsError):
    """A job that wants to complete itself, or a step, and no longer belongs to this attempt. It cannot commit."""


class ResultError(PgjobsError):
    """What a job returned cannot be kept, so the attempt has failed."""


class ResultTooLargeError(ResultError):
    """What a job returned has more bytes than `result_max_bytes` allows."""


class NoResultError(PgjobsError):
    """There is no result: the job keeps none, it has expired, or there is no such job."""


class JobFailedError(PgjobsError):
    """The job that was waited for has failed. `error`, `traceback`: of its last attempt; `attempts`: their number."""

    def __init__(self, message: str, id: int, error: str, traceback: str | None, attempts: int) -> None:
        super().__init__(message)
        self.id = id
        self.error = error
        self.traceback = traceback
        self.attempts = attempts

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.id, self.error, self.traceback, self.attempts)


class BroadcastError(PgjobsError):
    """A broadcast has failed in a worker process, or is gone with it.

    `id`: of the broadcast. `host`, `worker_id`: where (None: in no process of that host). `error`, `traceback`: why.
    """

    def __init__(
        self, message: str, id: int, host: str, worker_id: int | None, error: str, traceback: str | None
    ) -> None:
        super().__init__(message)
        self.id = id
        self.host = host
        self.worker_id = worker_id
        self.error = error
        self.traceback = traceback

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.id, self.host, self.worker_id, self.error, self.traceback)


class JobCancelledError(PgjobsError):
    """The job that was waited for was cancelled. `reason`: what was given for it, if anything."""

    def __init__(self, message: str, id: int, reason: str | None) -> None:
        super().__init__(message)
        self.id = id
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.id, self.reason)


class NotFoundError(PgjobsError):
    """There is no such job, dead letter or queue."""
