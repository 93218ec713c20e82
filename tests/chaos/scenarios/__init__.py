"""The faults, by what they hit. Importing this declares them all."""

from tests.chaos.scenarios import network, processes, server

__all__ = ["network", "processes", "server"]
