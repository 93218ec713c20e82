-- Remember what a step of a job has returned. Another attempt may have done it at the same time: then that one counts.
INSERT INTO pgjobs.job_steps (job_id, key, value, signature)
VALUES (%(id)s, %(key)s, %(value)s, %(signature)s)
ON CONFLICT (job_id, key) DO NOTHING
