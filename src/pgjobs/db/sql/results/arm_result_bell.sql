-- Have results ring for some seconds.
SELECT pgjobs.arm_result_bell(%(seconds)s::int)
