"""Workflows: graphs of jobs that are built in Python, inserted as rows, and grow while they run.

`workflow.py` is what users build. `plan.py` decides, without SQL, which job is which step and what waits for what;
`rows.py` makes rows of it, and `insert.py` writes them. `running.py` is what steps see while they run.
"""
