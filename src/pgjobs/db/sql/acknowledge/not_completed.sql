-- Which of these claims did not end as completed: asked when `complete` moved fewer rows than it was given. Those that
-- are still live did not; history is searched for the others alone, and its newest day first.
WITH asked AS MATERIALIZED (
    SELECT a.id, a.claims,
           EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = a.id)
           OR EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = a.id) AS is_live
    FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
), ended AS MATERIALIZED (
    SELECT e.id, e.claims
    FROM pgjobs.find_ended(ARRAY (SELECT id FROM asked WHERE NOT is_live)) AS e
    WHERE e.worker_id = %(worker_id)s AND e.status = 'completed'
)
SELECT a.id
FROM asked AS a
WHERE ((a.id, a.claims) IN (SELECT e.id, e.claims FROM ended AS e)) IS NOT TRUE
