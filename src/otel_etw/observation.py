"""OpenTelemetry's metrics of the SDK's own parts, for ours: what became of the items, and how long it took.

Names, units and attributes are those of the semantic conventions (``otel.sdk.*``), written out here since the
package that has them calls them incubating and moves them.  As in the SDK they are published only where
``OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`` is true, through the given meter provider or the global one.

====================================================  ====================================================
``otel.sdk.exporter.{log,span,metric_data_point}``    ``.exported``: counter; ``.inflight``: up-down counter
``otel.sdk.exporter.operation.duration``              histogram, seconds of each ``export`` call
``otel.sdk.processor.{log,span}.processed``           counter, also of ``EtwHandler``
====================================================  ====================================================

Each carries ``otel.component.type`` (``etw_log_exporter``, ``etw_span_processor``, ``etw_log_handler`` ...)
and ``otel.component.name`` (``<type>/<n>``, unique in the process).  Items that were written count as
exported (or processed), cut ones too; dropped ones have ``error.type``, the reason in ``.stats`` as one word:
``status_8``, ``too_large``, ``no_session``, and ``already_shutdown`` as the conventions call it.  Items that
no session wanted are neither: nothing was attempted, and nothing failed.

The counters are asynchronous: they read ``.stats`` when somebody collects, and writing an event costs nothing
more.  What is observed is held weakly; the counts that it had at :meth:`Observation.close` stay readable.

An exporter or processor does this::

    self._observation = observe_exporter("log", self._writer.emitter, meter_provider)   # in __init__
    with self._observation.export(len(batch)):                                          # in export
        ...
    self._observation.close()                                                           # in shutdown
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Literal, Protocol

from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider, UpDownCounter, get_meter_provider
from opentelemetry.metrics import Observation as Measurement

from otel_etw import environment
from otel_etw._version import __version__

if TYPE_CHECKING:
    from otel_etw.emitter import Stats

Signal = Literal["log", "span", "metric"]

_COMPONENT_TYPE = "otel.component.type"
_COMPONENT_NAME = "otel.component.name"
_ERROR_TYPE = "error.type"

# Signal -> its word in the names of metrics, the unit, and the items in words.
_ITEMS: dict[Signal, tuple[str, str, str]] = {
    "log": ("log", "{log_record}", "log records"),
    "span": ("span", "{span}", "spans"),
    "metric": ("metric_data_point", "{data_point}", "metric data points"),
}

_NOTHING: AbstractContextManager[None] = nullcontext()

_logger = logging.getLogger("otel_etw")
_numbers: dict[str, count[int]] = {}
_failures_logged: set[str] = set()


class HasStats(Protocol):
    """What can be observed: an emitter. It must allow weak references."""

    @property
    def stats(self) -> Stats:
        """What has become of the items so far."""


class Observation:
    """What is published of one exporter, processor or handler; this one publishes nothing."""

    def export(self, items: int) -> AbstractContextManager[None]:
        """Surrounds one export of ``items`` items."""
        return _NOTHING

    def close(self) -> None:
        """Remember the counts as they are now, for as long as somebody collects them. Idempotent."""


_DISABLED = Observation()


def check_meter_provider(meter_provider: object) -> None:
    """Raise ``TypeError`` for what is no meter provider, before anything is opened."""
    if meter_provider is not None and not callable(getattr(meter_provider, "get_meter", None)):
        raise TypeError(f"meter_provider must be a MeterProvider, not {type(meter_provider).__name__}")


def observe_exporter(signal: Signal, source: HasStats, meter_provider: MeterProvider | None) -> Observation:
    """Publish ``otel.sdk.exporter.*`` of ``source``. Raises ``TypeError`` for what is no meter provider."""
    return _observe(f"etw_{signal}_exporter", signal, source, meter_provider)


def observe_processor(
    signal: Literal["log", "span"], source: HasStats, meter_provider: MeterProvider | None
) -> Observation:
    """Publish ``otel.sdk.processor.*`` of ``source``. Raises ``TypeError`` for what is no meter provider."""
    return _observe(f"etw_{signal}_processor", signal, source, meter_provider)


def observe_handler(source: HasStats, meter_provider: MeterProvider | None) -> Observation:
    """The same for a ``logging.Handler``, which is its own processor."""
    return _observe("etw_log_handler", "log", source, meter_provider)


def _observe(
    component_type: str, signal: Signal, source: HasStats, meter_provider: MeterProvider | None
) -> Observation:
    check_meter_provider(meter_provider)
    if not environment.internal_metrics_enabled():
        return _DISABLED
    try:
        return _PublishedObservation(component_type, signal, source, meter_provider)
    except Exception as error:  # noqa: BLE001 - a meter provider of the application's
        _log_failure(error)
        return _DISABLED


class _PublishedObservation(Observation):
    def __init__(
        self, component_type: str, signal: Signal, source: HasStats, meter_provider: MeterProvider | None
    ) -> None:
        name = f"{component_type}/{next(_numbers.setdefault(component_type, count()))}"
        self._counts = _Counts(source, {_COMPONENT_TYPE: component_type, _COMPONENT_NAME: name})
        if meter_provider is None:
            meter_provider = get_meter_provider()
        # One meter for each component: the SDK drops the callback of an instrument that a meter has already.
        # It is told apart by its name, since a global provider that is set later learns no scope attributes.
        meter = meter_provider.get_meter(f"otel_etw/{name}", __version__)
        item, unit, items = _ITEMS[signal]
        self._inflight: UpDownCounter | None = None
        self._duration: Histogram | None = None
        callbacks = [self._counts.measure]
        if not component_type.endswith("_exporter"):
            meter.create_observable_counter(
                f"otel.sdk.processor.{item}.processed",
                callbacks,
                unit,
                f"The number of {items} for which the processing has finished, either successful or failed.",
            )
            return
        meter.create_observable_counter(
            f"otel.sdk.exporter.{item}.exported",
            callbacks,
            unit,
            f"The number of {items} for which the export has finished, either successful or failed.",
        )
        self._inflight = meter.create_up_down_counter(
            f"otel.sdk.exporter.{item}.inflight",
            unit,
            f"The number of {items} which were passed to the exporter, but that have not been exported yet "
            "(neither successful, nor failed).",
        )
        self._duration = meter.create_histogram(
            "otel.sdk.exporter.operation.duration",
            "s",
            "The duration of exporting a batch of telemetry records.",
        )

    def export(self, items: int) -> AbstractContextManager[None]:
        return self._operation(items)

    @contextmanager
    def _operation(self, items: int) -> Iterator[None]:
        _, before = self._counts.read()
        self._record_inflight(items)
        start_time = perf_counter()
        try:
            yield
        finally:
            duration_s = perf_counter() - start_time
            self._record_inflight(-items)
            _, after = self._counts.read()
            self._record_duration(duration_s, after - before)

    def _record_inflight(self, items: int) -> None:
        try:
            if self._inflight is not None:
                self._inflight.add(items, self._counts.attributes)
        except Exception as error:  # noqa: BLE001 - a meter provider of the application's
            _log_failure(error)

    def _record_duration(self, duration_s: float, lost: Counter[str]) -> None:
        """Where several reasons failed an export, the most frequent stands for all."""
        attributes = self._counts.attributes
        if lost:
            attributes = {**attributes, _ERROR_TYPE: lost.most_common(1)[0][0]}
        try:
            if self._duration is not None:
                self._duration.record(duration_s, attributes)
        except Exception as error:  # noqa: BLE001 - a meter provider of the application's
            _log_failure(error)

    def close(self) -> None:
        self._counts.read()


class _Counts:
    """The counts of one component, which is held weakly, as measurements; its last ones once it is gone."""

    def __init__(self, source: HasStats, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self._source = weakref.ref(source)
        self._last: tuple[int, Counter[str]] = (0, Counter())

    def read(self) -> tuple[int, Counter[str]]:
        """Items written, and dropped by error type, so far."""
        source = self._source()
        if source is None:
            return self._last
        try:
            stats = source.stats
            self._last = counts = (stats.written, _by_error_type(stats.dropped))
        except Exception as error:  # noqa: BLE001 - a collection must not suffer from us
            _log_failure(error)
            return self._last
        return counts

    def measure(self, options: CallbackOptions) -> Iterable[Measurement]:
        """Called by whoever collects. Takes no lock, so that an exporter may be observed through itself."""
        written, dropped = self.read()
        yield Measurement(written, self.attributes)
        for error_type, items in dropped.items():
            yield Measurement(items, {**self.attributes, _ERROR_TYPE: error_type})


def _by_error_type(dropped: Mapping[str, int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for reason, items in dropped.items():
        counts[_error_type(reason)] += items
    return counts


def _error_type(reason: str) -> str:
    """A reason for dropping as one word."""
    if reason == "shut down":
        return "already_shutdown"
    return "".join(letter if letter.isalnum() else "_" for letter in reason)


def _log_failure(error: Exception) -> None:
    kind = type(error).__name__
    if kind in _failures_logged:
        return
    _failures_logged.add(kind)
    try:
        _logger.warning("metrics about the exporters are incomplete: %s: %s", kind, error)
    except Exception:  # noqa: BLE001, S110 - a broken log handler is not ours to mend, nor to fall over
        pass
