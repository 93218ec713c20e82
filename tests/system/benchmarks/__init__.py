"""Tests of the benchmark: what it does with its figures, and that its harness never waits without a limit."""
