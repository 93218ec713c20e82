-- After a lost connection: the jobs of a queue that this worker runs according to the table. The producer hands back
-- those it does not know, because the answer to its claim was cut off.
SELECT live.id, live.claims
FROM pgjobs.jobs_live AS live
WHERE live.status = 'running' AND live.worker_id = %(worker_id)s AND live.queue = %(queue)s
FOR UPDATE
