-- Which jobs of these workers were asked to end: through an index that has no other entries.
SELECT live.worker_id, live.id, live.claims, live.cancel_force IS TRUE
FROM pgjobs.jobs_live AS live
WHERE live.cancel_reason IS NOT NULL AND live.status = 'running' AND live.worker_id = ANY (%(worker_ids)s::bigint[])
