"""What holds for all tests: hypothesis measures no time, since a busy machine is no fault of the code, and
Ctrl-C is Ctrl-C, also where a shell runs the suite in the background and has its children ignore it."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

from etw_double import etw_double

__all__ = ["etw_double"]

settings.register_profile("otel_etw", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("otel_etw")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
