"""What waits inside a worker process."""
