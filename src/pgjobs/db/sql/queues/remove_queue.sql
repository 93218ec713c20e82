-- Remove a queue: its row with its settings, and the tokens of its rate, unless it has jobs or a worker serves it.
WITH facts AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM pgjobs.queues WHERE name = %(queue)s) AS known,
           (SELECT count(*) FROM (SELECT FROM pgjobs.jobs_live WHERE queue = %(queue)s LIMIT 1000) AS live)
               + (SELECT count(*) FROM (SELECT FROM pgjobs.jobs_waiting WHERE queue = %(queue)s LIMIT 1000) AS waiting)
               AS jobs,
           (SELECT min(id) FROM pgjobs.workers WHERE queues ? %(queue)s) AS worker,
           (SELECT count(*) FROM pgjobs.dead_jobs WHERE queue = %(queue)s) AS letters
), gone AS (
    DELETE FROM pgjobs.queues USING facts WHERE name = %(queue)s AND facts.jobs = 0 AND facts.worker IS NULL
    RETURNING name
), tokens AS (
    DELETE FROM pgjobs.buckets USING gone WHERE kind = 'queue' AND buckets.name = gone.name
)
SELECT known, jobs, worker, letters FROM facts
