"""Events: publishing them, subscribing to them, and the sync of both from code. What a topic is: `flow/topics.py`."""
