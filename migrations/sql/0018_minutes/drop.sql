DROP FUNCTION pgjobs.create_minutes_partition, pgjobs.drop_minutes_partition;

DROP TABLE pgjobs.queue_minutes, pgjobs.finished_totals;

ALTER TABLE pgjobs.retention DROP COLUMN minute_days;

ALTER TABLE pgjobs.queues DROP COLUMN sla;
