"""How ends of jobs are written down."""
