-- The jobs that dead workers left in running, locked for the rescuer. A scan: rescue is rare, and an index on the
-- worker would be a trap for the acknowledgement (the planner prefers it, and it is full of dead entries).
SELECT live.id, live.claims, live.attempt, live.max_attempts, live.prior_attempts, live.worker_id, live.lane,
       live.started_at, live.isolate
FROM pgjobs.jobs_live AS live
WHERE live.status = 'running' AND live.worker_id = ANY (%(worker_ids)s::bigint[])
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
