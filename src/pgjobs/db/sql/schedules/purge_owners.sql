-- Those that do not count any more.
DELETE FROM pgjobs.schedule_owners WHERE id = ANY (%(ids)s::uuid[])
