"""`why` and `doctor`: what keeps a job from running, and what is wrong with an installation. They change nothing."""
