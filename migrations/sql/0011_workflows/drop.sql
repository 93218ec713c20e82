DROP FUNCTION pgjobs.add_workflow, pgjobs.add_steps, pgjobs.add_callback, pgjobs.call_back,
    pgjobs.end_empty_workflow, pgjobs.signal;

DROP TABLE pgjobs.workflows, pgjobs.workflow_counts, pgjobs.workflow_steps, pgjobs.workflow_callbacks, pgjobs.signals,
    pgjobs.waits;

UPDATE pgjobs.jobs SET status = 'queued', held = NULL WHERE status = 'waiting' AND held = 'workflow' AND lane IS NULL;

UPDATE pgjobs.jobs SET held = NULL WHERE status = 'waiting' AND held = 'workflow';

UPDATE pgjobs.dependencies SET on_failure = 'wait' WHERE on_failure = 'skip';

ALTER TABLE pgjobs.jobs_waiting DROP CONSTRAINT jobs_waiting_held_check;

ALTER TABLE pgjobs.jobs_waiting ADD CONSTRAINT jobs_waiting_held_check CHECK (held IN ('later', 'needs', 'task'));

ALTER TABLE pgjobs.dependencies DROP CONSTRAINT dependencies_on_failure_check;

ALTER TABLE pgjobs.dependencies ADD CONSTRAINT dependencies_on_failure_check
    CHECK (on_failure IN ('wait', 'run', 'cancel'));
