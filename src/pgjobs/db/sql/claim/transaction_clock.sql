-- PostgreSQL's clock, which decides what is due.
SELECT now()
