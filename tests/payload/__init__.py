"""What is written into a job's payload, and what is read from it."""
