DROP TABLE pgjobs.audit;
