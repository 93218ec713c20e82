-- Running jobs by queue. A scan of the live partition: an index on what runs would cost every claim.
SELECT queue, count(*) AS running FROM pgjobs.jobs_live WHERE status = 'running' GROUP BY queue
