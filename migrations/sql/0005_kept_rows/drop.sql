DROP FUNCTION pgjobs.all_kept, pgjobs.list_ended, pgjobs.count_ended, pgjobs.select_ended;
