"""What holds for all tests: hypothesis measures no time, since a busy machine is no fault of the code."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("otel_etw", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("otel_etw")
