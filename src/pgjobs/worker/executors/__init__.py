"""Where jobs run: threads for plain functions, an event loop for coroutines, child processes for the rest.

All three look the same from outside: a job and a slot go in, `(job, outcome, seconds)` is put into the outbox, and
the slot goes back to its queue.
"""
