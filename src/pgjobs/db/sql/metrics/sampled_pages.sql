-- How many pages the tables have of which a sample is read.
SELECT pg_relation_size('pgjobs.jobs_live') / b.size AS live, pg_relation_size('pgjobs.jobs_waiting') / b.size
           AS waiting, pg_relation_size('pgjobs.dead_jobs') / b.size AS dead
FROM (SELECT current_setting('block_size')::bigint AS size) AS b
