-- Delete dependencies of jobs that are nowhere: not even in history, from where they could be run again. That is looked
-- at once more, with a newer snapshot: a job may have been on its way from table to table at the first look.
WITH given AS MATERIALIZED (
    SELECT a.needs_id, a.job_id
    FROM unnest(%(needs_ids)s::bigint[], %(job_ids)s::bigint[]) AS a (needs_id, job_id)
), ended AS MATERIALIZED (
    SELECT e.id FROM pgjobs.find_ended(ARRAY (SELECT job_id FROM given)) AS e
)
DELETE FROM pgjobs.dependencies AS d
USING given AS g
WHERE d.needs_id = g.needs_id AND d.job_id = g.job_id
  AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = g.job_id)
  AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = g.job_id)
  AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS x WHERE x.id = g.job_id)
  AND g.job_id NOT IN (SELECT id FROM ended)
