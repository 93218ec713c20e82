-- How many dead letters are older than a number of days.
SELECT count(*) AS letters FROM pgjobs.dead_jobs WHERE died_at < now() - %(days)s * interval '24 hours'
