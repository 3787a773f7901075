"""Events of trace files as rows of the four tables: logs, spans, metric_points and events."""
