-- One at a time decides what is declared. Readers are not held up, nor is who fires.
LOCK TABLE pgjobs.schedule_owners IN SHARE ROW EXCLUSIVE MODE
