-- The clock that decides.
SELECT now()
