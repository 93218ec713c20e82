-- A job begins to wait for a signal, or to sleep: written before it looks again, so that who sends the signal sees it.
INSERT INTO pgjobs.waits AS w (job_id, name, signal, workflow_id, until)
VALUES (%(job)s, %(wait)s, %(signal)s, %(workflow)s, clock_timestamp() + %(seconds)s::float8 * interval '1 second')
ON CONFLICT (job_id, name) DO NOTHING
RETURNING w.job_id
