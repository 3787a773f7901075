"""A small web shop, instrumented as any Python service is: the part of the demo that is worth copying.

:class:`Telemetry` is all that a service needs to export to ETW; :class:`Shop` is the service, which knows
nothing of ETW. It logs with the standard library and measures with every kind of instrument there is.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable
from types import TracebackType
from typing import final

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

from otel_etw.logs import EtwLogRecordProcessor
from otel_etw.metrics import EtwMetricExporter
from otel_etw.sessions.embedded import EtlSession

PROVIDER_NAME = "OtelEtw_Demo"
SERVICE_NAME = "webshop"

_EXPORT_INTERVAL_MS = 400
_RUN_S = 1.2
_MAX_PAUSE_S = 0.02


@final
class Telemetry:
    """The SDK with exporters to ETW; ``with`` shuts it down, which exports what is left."""

    def __init__(self, session: EtlSession) -> None:
        resource = Resource.create({"service.name": SERVICE_NAME, "service.instance.id": "webshop-1"})

        self.loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.loggers.add_log_record_processor(EtwLogRecordProcessor(PROVIDER_NAME, session=session))

        reader = PeriodicExportingMetricReader(
            EtwMetricExporter(session=session), export_interval_millis=_EXPORT_INTERVAL_MS
        )
        exponential = View(
            instrument_name="shop.order.value", aggregation=ExponentialBucketHistogramAggregation()
        )
        self.meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False, views=[exponential])

        # Spans are not exported here; they give log records their trace and span ids.
        self.tracers = TracerProvider(resource=resource, shutdown_on_exit=False)

        self.log = logging.getLogger("webshop")
        self.log.setLevel(logging.DEBUG)
        self.log.propagate = False
        self._handler = LoggingHandler(logger_provider=self.loggers)
        self.log.addHandler(self._handler)

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.log.removeHandler(self._handler)
        self.meters.shutdown()
        self.loggers.shutdown()
        self.tracers.shutdown()


class PaymentDeclinedError(Exception):
    """The bank said no."""


class Shop:
    """Answers requests of imaginary customers. Durations are drawn, not spent; times of day are real."""

    def __init__(self, telemetry: Telemetry, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a play, not a secret
        self._log = telemetry.log
        self._tracer = telemetry.tracers.get_tracer("webshop")
        self._bytes_sent = 0
        self._cache_lookups = self._cache_hits = 0
        self._orders = self._open_carts = 0
        self._stock = {"teapot": 9, "kettle": 14, "samovar": 2}
        self._create_instruments(telemetry.meters.get_meter("webshop", "1.0"))

    def _create_instruments(self, meter: Meter) -> None:
        self._placed = meter.create_counter("shop.orders", "{order}", "Orders placed")
        self._carts = meter.create_up_down_counter("shop.carts.open", "{cart}", "Carts not yet paid for")
        self._level = meter.create_gauge("shop.stock", "{item}", "Items left in stock")
        self._duration = meter.create_histogram(
            "http.server.request.duration",
            "s",
            "Time to answer a request",
            explicit_bucket_boundaries_advisory=[
                0.005,
                0.01,
                0.025,
                0.05,
                0.075,
                0.1,
                0.25,
                0.5,
                0.75,
                1,
                2.5,
            ],
        )
        self._value = meter.create_histogram("shop.order.value", "EUR", "Value of an order")
        meter.create_observable_counter("shop.sent", [self._observe_sent], "By", "Bytes sent to customers")
        meter.create_observable_up_down_counter(
            "shop.sessions.active", [self._observe_sessions], "{session}", "Customers logged in"
        )
        meter.create_observable_gauge(
            "shop.cache.hit_ratio", [self._observe_cache], "1", "Share of cache hits"
        )

    def serve(self, requests: int) -> None:
        """Handle that many requests in a second or so."""
        pause_s = min(_MAX_PAUSE_S, _RUN_S / max(requests, 1))
        self._log.info("shop open", extra={"workers": 4, "stock": dict(self._stock)})
        for _ in range(requests):
            self._handle_request()
            time.sleep(pause_s)
        self._log.info("shop closed", extra={"requests": requests, "orders": self._orders})

    def _handle_request(self) -> None:
        route, method = self._random.choices(
            [("/products", "GET"), ("/cart", "POST"), ("/checkout", "POST")],
            weights=[4, 3, 3 if self._open_carts else 0],
        )[0]
        with self._tracer.start_as_current_span(f"{method} {route}") as span:
            duration_s = self._random.lognormvariate(-3.4, 0.8)
            status = 200
            if route == "/products":
                self._browse()
            elif route == "/cart":
                self._fill_cart()
            else:
                status = self._check_out(span)
            if duration_s > 0.1:
                self._log.warning("slow answer", extra={"http.route": route, "seconds": round(duration_s, 3)})
            self._bytes_sent += self._random.randint(800, 60_000)
            attributes: dict[str, str | int] = {
                "http.route": route,
                "http.request.method": method,
                "http.response.status_code": status,
            }
            self._duration.record(duration_s, attributes)

    def _browse(self) -> None:
        self._cache_lookups += 1
        hit = self._random.random() < 0.8
        self._cache_hits += hit
        self._log.debug("page of products", extra={"cache.hit": hit})

    def _fill_cart(self) -> None:
        self._open_carts += 1
        self._carts.add(1)
        lines = [
            {"sku": sku, "count": self._random.randint(1, 2)}
            for sku in self._random.sample([*self._stock], 2)
        ]
        self._log.info("cart filled", extra={"cart.lines": lines})

    def _check_out(self, span: Span) -> int:
        self._orders += 1
        method = self._random.choice(["card", "card", "invoice"])
        value = round(self._random.lognormvariate(3.5, 0.7), 2)
        facts = {"order.id": 1000 + self._orders, "payment.method": method, "order.value": value}
        try:
            self._charge(method)
        except PaymentDeclinedError as declined:
            span.record_exception(declined)
            self._log.exception("payment failed", extra=facts)
            return 402
        self._open_carts -= 1
        self._carts.add(-1)
        self._placed.add(1, {"payment.method": method})
        self._value.record(value, {"payment.method": method})
        self._log.info("order placed", extra={**facts, "otel.event.name": "shop.order.placed"})
        self._take_from_stock()
        return 200

    def _charge(self, method: str) -> None:
        if method == "card" and self._random.random() < 0.2:
            raise PaymentDeclinedError("card declined: limit reached")

    def _take_from_stock(self) -> None:
        item = self._random.choice([*self._stock])
        self._stock[item] -= 1
        if self._stock[item] <= 0:
            self._log.critical("out of stock", extra={"item": item, "reordered": 20})
            self._stock[item] = 20
        elif self._stock[item] < 3:
            self._log.warning("stock is low", extra={"item": item, "left": self._stock[item]})
        self._level.set(self._stock[item], {"item": item})

    def _observe_sent(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._bytes_sent)

    def _observe_sessions(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(12 + self._orders % 5, {"customer.kind": "returning"})
        yield Observation(3 + self._orders % 3, {"customer.kind": "new"})

    def _observe_cache(self, options: CallbackOptions) -> Iterable[Observation]:
        if self._cache_lookups:
            yield Observation(self._cache_hits / self._cache_lookups)


def run_shop(session: EtlSession, requests: int, seed: int) -> None:
    """Open the shop, serve ``requests``, close it; all it has to say is in ``session`` then."""
    with Telemetry(session) as telemetry:
        Shop(telemetry, seed).serve(requests)
