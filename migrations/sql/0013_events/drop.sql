ALTER TABLE pgjobs.schedule_owners DROP COLUMN subscriptions, DROP COLUMN topics;

DROP FUNCTION pgjobs.publish, pgjobs.publish_event, pgjobs.replay_events, pgjobs.deliver_events,
    pgjobs.create_events_partition, pgjobs.drop_events_partition;

DROP TABLE pgjobs.subscriptions, pgjobs.topics, pgjobs.events;

DROP SEQUENCE pgjobs.event_ids;

DROP FUNCTION pgjobs.topic_matches, pgjobs.topic_regex;
