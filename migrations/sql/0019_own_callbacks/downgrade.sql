DROP TRIGGER workflow_callbacks_check ON pgjobs.workflow_callbacks;

DROP FUNCTION pgjobs.check_callback();
