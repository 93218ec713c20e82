"""The faults, by what they hit. Importing this declares them all."""

from tests.chaos.scenarios import failover, network, pooler, processes, server

__all__ = ["failover", "network", "pooler", "processes", "server"]
