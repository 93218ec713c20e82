-- Ids for the jobs of a workflow: what waits for what, and which results are taken, is written with them.
SELECT nextval('pgjobs.jobs_id_seq') AS id FROM generate_series(1, CAST(%(count)s AS integer))
