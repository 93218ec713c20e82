"""The whole life of jobs, driven in any order on a real database, beside a model that is too simple to be wrong."""
