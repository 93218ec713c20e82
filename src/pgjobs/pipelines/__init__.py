"""Pipelines in the database: what code declares of them, as rows. `jobs/pipeline.py` is what users declare."""
