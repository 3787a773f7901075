"""Which resource belongs to a record that comes from no SDK logger.

That of the global logger provider once the application has set one (noticed at the next record), else one
made by ``Resource.create()`` when the first record needs it, and again in each forked child, as the SDK's
``service.instance.id`` is one per process.
"""

from __future__ import annotations

import os
import sys
import threading

from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk.resources import Resource

# Resource.create() runs detectors on threads of its own and waits for them. One that logs comes back here
# on such a thread, and must not wait for the thread that waits for it.
_MAX_WAIT_SECONDS = 1.0

_PROVIDER_VARIABLE = "OTEL_PYTHON_LOGGER_PROVIDER"

# While no provider is set, get_logger_provider() looks into the environment at every call, which takes as
# long as encoding a record.  What it looks at first, in its own module, says whether it need be called at
# all; where that cannot be seen, it is called.
_api = sys.modules.get(get_logger_provider.__module__)


class CurrentResource:
    """Answers with the resource of a record that is logged now: ``given``, if there is one."""

    def __init__(self, given: Resource | None = None) -> None:
        self._given = given
        self._own = _OwnResource()
        self._is_provider_named = _PROVIDER_VARIABLE in os.environ
        self._asks_for_provider = True

    def get(self) -> Resource | None:
        """The resource, or ``None`` if there is none to be had now. Never raises."""
        if self._given is not None:
            return self._given
        if self._is_provider_named or getattr(_api, "_LOGGER_PROVIDER", self) is not None:
            resource = self._of_global_provider()
            if resource is not None:
                return resource
        own = self._own
        if own.process_id != os.getpid():
            own = self._own = _OwnResource()
        return own.resource or own.create()

    def _of_global_provider(self) -> Resource | None:
        if not self._asks_for_provider:
            return None
        try:
            resource = getattr(get_logger_provider(), "resource", None)
        except Exception:  # noqa: BLE001 - the one that the environment names cannot be loaded
            self._asks_for_provider = False
            return None
        return resource if isinstance(resource, Resource) else None


class _OwnResource:
    """The resource of one process, made once."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self.resource: Resource | None = None
        self._lock = threading.Lock()
        self._max_wait_seconds = _MAX_WAIT_SECONDS

    def create(self) -> Resource | None:
        """Make the resource, or have it from the thread that is making it, if that is soon."""
        if not self._lock.acquire(timeout=self._max_wait_seconds):
            self._max_wait_seconds = 0.0  # once is enough
            return None
        try:
            if self.resource is None:
                self.resource = _create()
            return self.resource
        finally:
            self._lock.release()


def _create() -> Resource:
    try:
        return Resource.create()
    except Exception:  # noqa: BLE001 - a detector that was told to raise
        return Resource.get_empty()
