-- How these jobs stand, and how far they have come by their own word: for those who follow them. JSON as bytes, because
-- every driver returns those as they are, whatever the encoding of its connection.
SELECT convert_to(jsonb_build_object(
           'id', a.id, 'status', j.status, 'attempt', j.attempt, 'max_attempts', j.max_attempts,
           'prior_attempts', j.prior_attempts, 'error', left(j.error, 1000),
           'due_in', extract(epoch FROM j.run_at - clock_timestamp()),
           'progress', to_jsonb(p) - '{job_id,waits_for,waits_claim}'::text[],
           'said_before', extract(epoch FROM clock_timestamp() - p.updated_at))::text, 'UTF8')
FROM unnest(CAST(%(ids)s AS bigint[])) AS a (id)
LEFT JOIN pgjobs.progress AS p ON p.job_id = a.id AND num_nonnulls(p.done, p.total, p.message, p.state) > 0
LEFT JOIN LATERAL (
    SELECT l.status, l.attempt, l.max_attempts, l.prior_attempts, l.error, l.run_at
    FROM pgjobs.jobs_live AS l WHERE l.id = a.id
    UNION ALL
    SELECT w.status, w.attempt, w.max_attempts, w.prior_attempts, w.error, w.run_at
    FROM pgjobs.jobs_waiting AS w WHERE w.id = a.id
    LIMIT 1) AS j ON true
