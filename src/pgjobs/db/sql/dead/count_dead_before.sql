-- How many dead letters died more than so many days ago.
SELECT count(*) AS letters FROM pgjobs.dead_jobs WHERE died_at < now() - %(days)s * interval '1 day'
