-- A worker that is gone, after its jobs were settled. One whose acknowledgement is still under way (its row is locked,
-- and was skipped) keeps the worker in the table, so that the next rescuer finds both.
DELETE FROM pgjobs.workers AS w
WHERE w.id = ANY (%(worker_ids)s::bigint[])
  AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.status = 'running' AND live.worker_id = w.id)
