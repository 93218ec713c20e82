"""Why a job does not run, and what is wrong with an installation."""
