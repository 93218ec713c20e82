"""The faults, by what they hit. Importing this declares them all."""

from tests.chaos.scenarios import disk, failover, jobs, network, pooler, processes, server

__all__ = ["disk", "failover", "jobs", "network", "pooler", "processes", "server"]
