"""How a job runs: in threads, child processes and the event loop."""
