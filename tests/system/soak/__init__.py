"""A long run: steady load, a fault twice a minute, and whatever could grow written down all the while.

    tasks     what the load has beside the jobs of tests.system.chaos
    run       server, load, workers, and the threads that strike, sample and audit
    faults    what is done to them
    sampler   processes, connections, tables, every few seconds
    effects   what the jobs wrote down, read piece by piece
    slices    the auditor: jobs are audited when they have ended, and only then left to retention
    series    all that as columns over time
    growth    what of it grew, and should not have
    plots     pictures of it
    report    docs/how-it-is-tested/soak.md

`python -m tests.system.soak --help`
"""
