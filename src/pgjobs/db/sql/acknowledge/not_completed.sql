-- Which of these claims did not end as completed: asked when `complete` moved fewer rows than it was given.
SELECT a.id
FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
WHERE NOT EXISTS (
    SELECT FROM pgjobs.jobs_history AS h
    WHERE h.id = a.id AND h.claims = a.claims AND h.worker_id = %(worker_id)s AND h.status = 'completed'
)
