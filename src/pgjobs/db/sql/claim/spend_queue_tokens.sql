-- Take tokens from a queue's rate: this many are left, as of now.
INSERT INTO pgjobs.buckets AS t (kind, name, tokens, at)
VALUES ('queue', %(queue)s, %(tokens)s, now())
ON CONFLICT (kind, name) DO UPDATE SET tokens = excluded.tokens, at = excluded.at
