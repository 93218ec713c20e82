-- Which of these are letters whose sequences have still to end: a job of theirs is locked by another transaction.
SELECT id FROM pgjobs.dead_jobs WHERE id = ANY (%(ids)s::bigint[]) AND ends_sequence
