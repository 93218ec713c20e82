-- Make the rows that claims lock, for keys without one. By itself, never in a claim, so that no other claim waits for
-- it.
INSERT INTO pgjobs.key_locks (kind, name)
SELECT split_part(k.key, ':', 1), substr(k.key, strpos(k.key, ':') + 1) FROM unnest(%(keys)s::text[]) AS k (key)
ON CONFLICT DO NOTHING
