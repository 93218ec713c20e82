-- The names of all queues that have jobs or settings: index look-ups only.
SELECT name FROM pgjobs.queue_names
