"""The parameters of callables: of functions, and of what is made from them."""

from __future__ import annotations

from types import MethodType

from pgjobs import job
from pgjobs.core.callables import parameters_of


class Mailer:
    """What the methods belong to."""


@job
def send_for_all(cls: type[Mailer], to: str) -> None:
    """Send."""


def test_method_around_a_job_takes_no_first_argument() -> None:
    # What @classmethod makes of a job from Python 3.13 on; before, it makes a bound job.
    method = MethodType(send_for_all, Mailer)
    assert parameters_of(method).names == ("to",)
    assert parameters_of(method).mismatch(("ada",), {}) is None
    assert parameters_of(send_for_all).names == ("cls", "to")
