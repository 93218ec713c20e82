"""What claim, executors and acknowledge share inside one process: the local queue, inbox, demand, signals."""
