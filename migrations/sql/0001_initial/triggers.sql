CREATE TRIGGER queues_open_doorbell AFTER INSERT OR UPDATE OF doorbell_until ON pgjobs.queues
    FOR EACH ROW WHEN (NEW.doorbell_until > clock_timestamp()) EXECUTE FUNCTION pgjobs.open_doorbell();

CREATE CONSTRAINT TRIGGER jobs_ring_doorbell AFTER INSERT ON pgjobs.jobs_live
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (to_timestamp(pg_sequence_last_value('pgjobs.doorbell')::float8) > clock_timestamp()
          AND pgjobs.is_to_ring(NEW.queue, NEW.run_at, NEW.status))
    EXECUTE FUNCTION pgjobs.ring_doorbell();

CREATE CONSTRAINT TRIGGER jobs_ring_doorbell AFTER INSERT ON pgjobs.jobs_waiting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.held IS NULL AND to_timestamp(pg_sequence_last_value('pgjobs.doorbell')::float8) > clock_timestamp()
          AND pgjobs.is_to_ring(NEW.queue, NEW.run_at, NEW.status))
    EXECUTE FUNCTION pgjobs.ring_doorbell();
