-- Those that do not count any more.
DELETE FROM pgjobs.schedule_declarers WHERE id = ANY (%(ids)s::uuid[])
