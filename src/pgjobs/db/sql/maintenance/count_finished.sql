-- Jobs that finished in the last seconds, by queue: today's partition only, through its BRIN index.
SELECT queue, count(*) AS finished
FROM pgjobs.jobs_history
WHERE finished_at > now() - %(seconds)s * interval '1 second'
GROUP BY queue
