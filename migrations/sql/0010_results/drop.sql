DROP TRIGGER dead_jobs_ring_results ON pgjobs.dead_jobs;

DROP TABLE pgjobs.results;

DROP SEQUENCE pgjobs.result_bell;

DROP FUNCTION pgjobs.ring_results, pgjobs.result, pgjobs.arm_result_bell, pgjobs.create_results_partition,
    pgjobs.drop_results_partition;
