"""The worker: supervisor → process → producer, consumers, acknowledger."""
