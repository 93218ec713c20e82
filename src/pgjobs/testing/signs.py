"""What errors of jobs in tests mean: which of them end the test itself, and which come from a connection elsewhere."""

from __future__ import annotations

from pgjobs.core.errors import UsageError

UNSEEN = (
    "this job may have looked for rows on a connection of its own: it does not see what the test has not committed. "
    "Give it the test's connection or session, or run it by a real worker (@pytest.mark.pgjobs_worker)."
)
_MISSING = ("NoResultFound", "DoesNotExist", "ForeignKeyViolation", "ObjectDeletedError")
_ENDED = (
    "{task} has ended the transaction of the test: what was done before it is committed, or gone. In a worker the job "
    "has a connection of its own. Give the test a session that takes a commit for a savepoint: "
    'Session(bind=connection, join_transaction_mode="create_savepoint").'
)


class TestTransactionEndedError(UsageError):
    """A job has ended the transaction of the test, or was about to."""

    __test__ = False  # pytest looks for classes of this name

    def __init__(self, task: str) -> None:
        super().__init__(_ENDED.format(task=task))


def is_from_outside(error: BaseException) -> bool:
    """Return True for what ends the test, and not the job: Ctrl-C, and what pytest raises to fail or skip a test."""
    if isinstance(error, KeyboardInterrupt | GeneratorExit | TestTransactionEndedError):
        return True
    return any(kind.__module__ == "_pytest.outcomes" for kind in type(error).__mro__)


def hint_of_unseen_rows(error: BaseException | None) -> None:
    """Add a note to an error that is likely to come from a connection that does not see the rows of the test."""
    if error is None or UNSEEN in getattr(error, "__notes__", ()):
        return
    chain = [error, error.__cause__, getattr(error, "orig", None)]
    if any(kind.__name__ in _MISSING for each in chain for kind in type(each).__mro__):
        error.add_note(UNSEEN)
