"""Cron expressions, stored calls, sync from code, and firing. The thread: `worker/supervisor/scheduler.py`."""
