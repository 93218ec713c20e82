-- Which of these queues keep no completed jobs.
SELECT name FROM pgjobs.queues WHERE name = ANY (%(queues)s::text[]) AND NOT keep_completed
