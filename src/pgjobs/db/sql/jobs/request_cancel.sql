-- Ask running jobs to end. The request is in the row of this very claim: any outcome but `completed` then makes the
-- job cancelled, and the request never outlives the attempt. Supervisors listen; `force` is never taken back.
WITH asked AS (
    UPDATE pgjobs.jobs_live AS live
    SET cancel_reason = %(reason)s::text, cancel_force = live.cancel_force OR nullif(%(force)s::boolean, false)
    WHERE live.id = ANY (%(ids)s::bigint[]) AND live.status = 'running'
    RETURNING live.id
)
SELECT id, pgjobs.ring(%(channel)s) FROM asked
