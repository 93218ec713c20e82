DROP TRIGGER dead_jobs_keep_older_letter ON pgjobs.dead_jobs;

ALTER TABLE pgjobs.retention DROP COLUMN one;

DROP FUNCTION pgjobs.keep_older_letter, pgjobs.advance_ids, pgjobs.largest_id, pgjobs.hold_ended, pgjobs.find_ended,
    pgjobs.history_partitions, pgjobs.complete_history_partition, pgjobs.bell_is_armed, pgjobs.ring,
    pgjobs.notify_queue_has_room;
