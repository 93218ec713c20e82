-- Which of these queues keep nothing of what completes.
SELECT name FROM pgjobs.queues WHERE name = ANY (%(queues)s::text[]) AND NOT keep_completed
