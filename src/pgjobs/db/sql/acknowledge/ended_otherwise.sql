-- Which of these claims did not complete their jobs, although those have ended: after claims_left.sql, for attempts
-- that have called complete() and failed, or whose process died. What a queue without history has forgotten had
-- completed.
SELECT e.id
FROM pgjobs.find_ended(%(ids)s::bigint[]) AS e
WHERE e.status <> 'completed' OR e.worker_id IS DISTINCT FROM %(worker_id)s
      OR ((e.id, e.claims) IN (SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[])
                               AS a (id, claims))) IS NOT TRUE
