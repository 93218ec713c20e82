"""The faults, by what they hit. Importing this declares them all."""

from tests.system.chaos.scenarios import (
    clocks,
    disk,
    effects,
    failover,
    jobs,
    network,
    patroni,
    pooler,
    processes,
    server,
    waits,
)

__all__ = [
    "clocks",
    "disk",
    "effects",
    "failover",
    "jobs",
    "network",
    "patroni",
    "pooler",
    "processes",
    "server",
    "waits",
]
