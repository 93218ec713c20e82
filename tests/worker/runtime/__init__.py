"""What every process of a worker needs."""
