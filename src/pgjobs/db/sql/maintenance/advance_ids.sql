-- Move the sequence of ids past all jobs, if it is behind: after a move or a restore ids would be given out again.
-- Returns the largest id then, else NULL.
SELECT pgjobs.advance_ids()
