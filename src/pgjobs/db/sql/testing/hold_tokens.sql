-- Tokens of a test refill by its clock alone: what a claim has taken, it took at the beginning of the transaction. That
-- is the time by which the functions of the database count them.
UPDATE pgjobs.buckets SET at = now() WHERE at > now()
RETURNING kind
