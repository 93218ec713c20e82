"""The worker: `supervisor/` is the parent process, and starts worker processes.

`process.py` is one worker process, and `process_threads.py` its threads: `claim/` fills the inbox, `executors/` run
jobs, `acknowledge/` writes outcomes; they share `local/` and `runtime/`.
"""
