-- The lock under which owners decide what is declared, one at a time. Readers and firings are not held up.
LOCK TABLE pgjobs.schedule_owners IN SHARE ROW EXCLUSIVE MODE
