"""The faults, by what they hit. Importing this declares them all."""

from tests.chaos.scenarios import network, pooler, processes, server

__all__ = ["network", "pooler", "processes", "server"]
