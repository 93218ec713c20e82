-- What is called at the end of a workflow is said by the transaction that makes the workflow. A role that may only
-- enqueue does it by add_callback, with the rights of the owner, and could name the workflow of another: what cannot
-- become a job would keep that from ending. So a row is checked as the job is that it becomes: the columns of jobs have
-- domains, and this table has none. As a trigger, so that no row that is there is looked at, and nothing is locked for
-- long.
--
-- A row that is seen, and whose transaction has not ended, is of this transaction, or of a savepoint in it. `xmin` has 32
-- bits, of which the distance to this transaction makes 64.
CREATE FUNCTION pgjobs.check_callback() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this CONSTANT bigint := pg_current_xact_id()::text::bigint;
    made bigint := (SELECT w.xmin::text::bigint FROM pgjobs.workflows AS w WHERE w.id = NEW.workflow_id);
BEGIN
    made := (made - this) & 4294967295;
    made := this + CASE WHEN made >= 2147483648 THEN made - 4294967296 ELSE made END;
    IF made IS NULL OR made <= 0 OR pg_xact_status(made::text::xid8) IS DISTINCT FROM 'in progress' THEN
        RAISE EXCEPTION 'what workflow % calls at its end is said where it is enqueued, in the same transaction',
            NEW.workflow_id USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM NEW.queue::pgjobs.job_queue, NEW.priority::pgjobs.job_priority,
            NEW.max_attempts::pgjobs.job_max_attempts, NEW.timeout::pgjobs.job_timeout,
            NEW.executor::pgjobs.job_executor, NEW.meta::pgjobs.job_meta;
    RETURN NULL;
END $$;

CREATE TRIGGER workflow_callbacks_check AFTER INSERT ON pgjobs.workflow_callbacks
    FOR EACH ROW EXECUTE FUNCTION pgjobs.check_callback();
