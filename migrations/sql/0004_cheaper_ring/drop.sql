-- Before 0004 it looked with the rights of who inserts.
ALTER FUNCTION pgjobs.ring_doorbell() SECURITY INVOKER;

GRANT EXECUTE ON FUNCTION pgjobs.ring_doorbell() TO PUBLIC;
