-- Waiting jobs of the queue that a test does not want to run now: they are put aside, and come back with
-- bring_others_back.sql in the same transaction.
UPDATE pgjobs.jobs_waiting
SET held = 'task'
WHERE queue = %(queue)s AND id <> %(id)s AND held IS NULL
RETURNING id
