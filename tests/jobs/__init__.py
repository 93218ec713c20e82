"""Jobs, their options, and what follows an error."""
