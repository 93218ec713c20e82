"""Every kind of connection: what is prepared on it, and in which encoding."""
