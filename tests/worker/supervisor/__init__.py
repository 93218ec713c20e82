"""What keeps workers alive, takes back lost jobs, and cleans up."""
