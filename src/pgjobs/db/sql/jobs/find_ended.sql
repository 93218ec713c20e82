-- When the newest rows of jobs in history ended, for those that are not live. Statements that look for ids in history
-- name these times: planned for them, they lock a day or two, and not every day that is kept.
SELECT e.finished_at
FROM pgjobs.find_ended(ARRAY (
         SELECT a.id FROM unnest(%(ids)s::bigint[]) AS a (id)
         WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = a.id)
           AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = a.id))) AS e
WHERE e.finished_at IS NOT NULL
