-- A workflow that cannot be written down now: those that have waited for their look for a shorter time come first.
UPDATE pgjobs.workflows SET checked_at = now() WHERE id = %(workflow)s AND ended_at IS NULL
