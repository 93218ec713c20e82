-- Before 0003 it looked with the rights of who inserts.
ALTER FUNCTION pgjobs.is_to_ring(text, timestamptz, text) SECURITY INVOKER;
