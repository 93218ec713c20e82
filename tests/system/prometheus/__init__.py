"""Metrics and alerts with a real Prometheus: see `__main__`."""
