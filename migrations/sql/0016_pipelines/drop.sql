DROP INDEX pgjobs.jobs_waiting_stage;

ALTER TABLE pgjobs.schedule_owners DROP COLUMN pipelines;

DROP FUNCTION pgjobs.room_of_stage, pgjobs.stage_of_lane;

DROP TABLE pgjobs.pipeline_stages, pgjobs.pipelines;
