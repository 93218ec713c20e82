"""The whole of it: faults, long runs, models, odd values, plans, and what is in the package."""
