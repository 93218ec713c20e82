"""What jobs return: made into bytes where they run, read back and waited for elsewhere; and jobs that are followed."""
