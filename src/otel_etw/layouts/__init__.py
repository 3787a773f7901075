"""What OpenTelemetry items look like as events: one folder per layout, each encoding and decoding."""
