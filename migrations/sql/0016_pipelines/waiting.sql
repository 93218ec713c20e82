-- Items wait, and are counted here. Plain jobs, and jobs of other lanes, have no entry.
CREATE INDEX jobs_waiting_stage ON pgjobs.jobs_waiting (nullif(split_part(lane, chr(31), 6), ''))
    WHERE nullif(split_part(lane, chr(31), 6), '') IS NOT NULL;

-- What supervisors declare beside schedules. Those of the version before declare none of it.
ALTER TABLE pgjobs.schedule_owners ADD COLUMN pipelines text[] NOT NULL DEFAULT '{}';
