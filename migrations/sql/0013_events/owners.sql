-- What supervisors declare beside schedules. Those of the version before declare none of it.
ALTER TABLE pgjobs.schedule_owners ADD COLUMN subscriptions text[] NOT NULL DEFAULT '{}';

ALTER TABLE pgjobs.schedule_owners ADD COLUMN topics text[] NOT NULL DEFAULT '{}';
