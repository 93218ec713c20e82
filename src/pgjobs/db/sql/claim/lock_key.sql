-- Lock what the jobs of one claim share, until the transaction ends. No row: another claim has it, or it is not there.
SELECT true FROM pgjobs.key_locks WHERE kind = %(kind)s AND name = %(name)s FOR NO KEY UPDATE SKIP LOCKED
