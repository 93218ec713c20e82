-- Which of these jobs the caller's transaction sees, while nothing else does: it has enqueued them.
SELECT j.id FROM pgjobs.jobs AS j WHERE j.id = ANY (CAST(%(ids)s AS bigint[])) AND j.status IN ('queued', 'waiting')
