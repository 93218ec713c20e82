"""Effects exactly once: jobs that complete themselves in the transaction of their own work."""
