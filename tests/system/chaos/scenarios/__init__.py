"""The faults, by what they hit. Importing this declares them all."""

from tests.system.chaos.scenarios import (
    clocks,
    disk,
    failover,
    jobs,
    network,
    patroni,
    pooler,
    processes,
    server,
    stages,
    transactions,
    waits,
)

__all__ = [
    "clocks",
    "disk",
    "failover",
    "jobs",
    "network",
    "patroni",
    "pooler",
    "processes",
    "server",
    "stages",
    "transactions",
    "waits",
]
