"""The worker: supervisor, processes, and what they do with jobs."""
