"""What can be done: each action is previewed, and done by a POST. It does what `pgjobs.admin` does."""
