-- Which of these claims did not complete their jobs, although those have ended: after claims_left.sql, for attempts
-- that have called complete() and failed, or whose process died. What a queue without history has forgotten had
-- completed.
SELECT e.id
FROM pgjobs.find_ended(%(ids)s::bigint[]) AS e
JOIN unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims) ON a.id = e.id
WHERE e.status <> 'completed' OR e.claims <> a.claims OR e.worker_id IS DISTINCT FROM %(worker_id)s
