"""Faults under load, on a real server, with real processes, and an independent auditor.

    cluster    PostgreSQL servers that can be crashed, filled up and promoted
    proxy      the network between worker and server, which can be cut, swallow and delay
    load       transactions that enqueue, with a ledger of what was committed
    tasks      the jobs, which write down when they began and ended
    stage      one scenario: server, load, workers, and what was done to them
    auditor    counts afterwards, from the tables and from what the jobs wrote down
    scenarios  the faults
    report     the table in docs/how-it-is-tested/reliability.md

`python -m tests.system.chaos --help`
"""
