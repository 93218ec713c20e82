-- Delete owners that no longer count.
DELETE FROM pgjobs.schedule_owners WHERE id = ANY (%(ids)s::uuid[])
