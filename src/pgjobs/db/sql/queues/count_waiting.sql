-- Jobs by queue that wait for other jobs, or for their task to be resumed. A scan of the waiting partition.
SELECT queue, count(*) AS waiting FROM pgjobs.jobs_waiting WHERE held IN ('needs', 'task') GROUP BY queue
