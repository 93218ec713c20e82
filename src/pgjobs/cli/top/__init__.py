"""`pgjobs top`: queues, workers, what runs and dead letters in a terminal, live, with actions."""
