-- A supervisor ends in order. What it declared counts until another one takes its place.
UPDATE pgjobs.schedule_owners SET ended_at = clock_timestamp() WHERE id = %(id)s
