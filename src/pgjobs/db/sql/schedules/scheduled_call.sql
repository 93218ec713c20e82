-- What a schedule enqueues.
SELECT columns, options, summary, signature, payload
FROM pgjobs.schedules
WHERE name = %(schedule)s
