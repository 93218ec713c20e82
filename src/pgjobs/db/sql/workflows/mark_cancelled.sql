-- A workflow is to be cancelled: steps that become free from now on do not start.
UPDATE pgjobs.workflows AS w
SET cancelled_at = coalesce(w.cancelled_at, now()), cancel_reason = coalesce(w.cancel_reason, %(reason)s)
WHERE w.id = %(workflow)s AND w.ended_at IS NULL
RETURNING w.id
