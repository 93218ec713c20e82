DROP TRIGGER workers_join_broadcasts ON pgjobs.workers;

DROP TRIGGER workers_leave_broadcasts ON pgjobs.workers;

DROP TABLE pgjobs.broadcasts, pgjobs.broadcast_runs;

DROP FUNCTION pgjobs.settle_broadcasts, pgjobs.leave_broadcasts, pgjobs.join_broadcasts, pgjobs.commit_broadcast,
    pgjobs.spread_broadcasts;
