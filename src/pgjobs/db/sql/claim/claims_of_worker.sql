-- After a lost connection: what this worker runs of a queue according to the table. The producer gives back what it
-- does not know of, because the answer to its claim was cut off.
SELECT live.id, live.claims
FROM pgjobs.jobs_live AS live
WHERE live.status = 'running' AND live.worker_id = %(worker_id)s AND live.queue = %(queue)s
FOR UPDATE
