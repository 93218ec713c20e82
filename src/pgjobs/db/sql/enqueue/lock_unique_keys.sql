-- Lock the unique keys of jobs that several statements will enqueue, all at once and so in the same order everywhere.
SELECT pgjobs.lock_unique_keys(CAST(%(keys)s AS text[]))
