CREATE TRIGGER workers_join_broadcasts AFTER INSERT ON pgjobs.workers
    FOR EACH ROW EXECUTE FUNCTION pgjobs.join_broadcasts();

CREATE TRIGGER workers_leave_broadcasts AFTER DELETE ON pgjobs.workers
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION pgjobs.leave_broadcasts();
