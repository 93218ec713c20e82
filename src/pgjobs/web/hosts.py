"""The Host header of requests to a dashboard without a login.

A page of another site can have its own name point to this machine (DNS rebinding). Its requests then come from a
browser here, and carry that name.
"""

from __future__ import annotations

LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


def name_of(host: str) -> str:
    """Return a Host header without its port.

    >>> name_of("localhost:8000"), name_of("[::1]:8000"), name_of("127.0.0.1")
    ('localhost', '[::1]', '127.0.0.1')

    """
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def is_local(host: str) -> bool:
    """Return True if a Host header names this machine.

    >>> is_local("localhost:8000"), is_local("evil.example"), is_local("")
    (True, False, False)

    """
    return name_of(host) in LOCAL
