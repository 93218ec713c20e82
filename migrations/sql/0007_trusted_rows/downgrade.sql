ALTER TABLE pgjobs.jobs_waiting DROP CONSTRAINT jobs_waiting_lane_keys_check;

ALTER TABLE pgjobs.breakers DROP CONSTRAINT breakers_range_check;

ALTER TABLE pgjobs.buckets DROP CONSTRAINT buckets_range_check;

ALTER TABLE pgjobs.queues DROP CONSTRAINT queues_range_check;

ALTER TABLE pgjobs.limits DROP CONSTRAINT limits_range_check;

ALTER TABLE pgjobs.dependencies DROP COLUMN in_doubt;
