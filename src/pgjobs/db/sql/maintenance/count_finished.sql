-- Jobs that finished since a time, by queue: the partitions from there on, through their BRIN indexes. The time is
-- given, so that the statement is planned for it and locks no older day.
SELECT queue, count(*) AS finished
FROM pgjobs.jobs_history
WHERE finished_at > %(since)s::timestamptz
GROUP BY queue
