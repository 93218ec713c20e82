"""Everything at once, at random, for minutes, and an auditor that knows what must hold.

    plan     what to do next, from a seed and what is seen: pure
    tasks    the jobs, which write down when they began and ended
    tables   the load's own tables, and the triggers that write down what happens to rows
    load     transactions that enqueue
    changes  what an operator does meanwhile
    faults   processes that are killed and stopped, and a server that goes away
    lanes    which jobs could start, and who could start them: pure
    trace    what was written down, read back
    audit    the invariants, one function each: pure
    play     rounds of load, changes and faults, each audited when all its jobs have ended

`python -m tests.system.stress --help`
"""
