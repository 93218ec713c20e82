-- The functions of 0001 with the settings that 0002 has given them.
ALTER FUNCTION pgjobs.create_history_partition SET "DateStyle" = 'ISO' SET "TimeZone" = 'UTC';

ALTER FUNCTION pgjobs.enqueue SET standard_conforming_strings = on;
