"""The worker: `supervisor/` is the parent process, and starts worker processes.

`process.py` is one worker process: `claim/` fills the inbox, `executors/` run jobs, `acknowledge/` writes outcomes;
they share `local/` and `runtime/`.
"""
