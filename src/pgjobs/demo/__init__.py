"""`pgjobs demo`: the whole story in a minute, on real input and with a worker killed half way.

Light on purpose: the workers import `pgjobs.demo.tasks` through here.
"""

from __future__ import annotations


def run_demo(*, keep: bool = False) -> int:
    """Run the demo, and give the exit code: 0 if everything that it claims is true.

    It always uses an embedded PostgreSQL, because it kills workers and makes tables: in a temporary folder that is
    gone afterwards, or in `./.pgjobs/` with `keep`. To be called in the main thread, since it handles signals.

    Raises:
        ConfigurationError: there is no PostgreSQL to start.
        DemoError: something that the demo claims is not true; the message says what.

    """
    from pgjobs.demo.story import run

    return run(keep=keep)
