DROP FUNCTION pgjobs.errors_with, pgjobs.pattern_of, pgjobs.bucket_tokens, pgjobs.bucket_capacity,
    pgjobs.held_snapshots;

DROP VIEW pgjobs.queue_names;

DROP TABLE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.retention, pgjobs.workers, pgjobs.queues, pgjobs.limits,
    pgjobs.tenants, pgjobs.buckets, pgjobs.breakers, pgjobs.dependencies, pgjobs.unique_keys, pgjobs.schedules,
    pgjobs.schedule_owners, pgjobs.paused_tasks, pgjobs.switch;

DROP FUNCTION pgjobs.create_history_partition, pgjobs.drop_history_partition, pgjobs.doorbell_channel,
    pgjobs.open_doorbell, pgjobs.is_to_ring, pgjobs.ring_doorbell, pgjobs.lock_unique_keys, pgjobs.enqueue_after_checks,
    pgjobs.enqueue;

DROP TYPE pgjobs.enqueue_columns;

DROP SEQUENCE pgjobs.doorbell;

DROP DOMAIN pgjobs.job_run_at, pgjobs.job_claims, pgjobs.job_attempt, pgjobs.job_max_attempts,
    pgjobs.job_prior_attempts, pgjobs.job_timeout, pgjobs.job_priority, pgjobs.job_queue, pgjobs.job_executor,
    pgjobs.job_meta;
