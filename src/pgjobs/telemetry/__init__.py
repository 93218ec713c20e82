"""What pgjobs reports about itself: structured logs."""
