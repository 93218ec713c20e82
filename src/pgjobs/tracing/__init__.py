"""Spans and metrics for OpenTelemetry: what `pgjobs.otel` switches on. Importing this alone changes nothing."""
