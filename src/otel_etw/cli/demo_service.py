"""A small web shop, instrumented as any Python service is: the part of the demo that is worth copying.

:class:`Telemetry` is all that a service needs to export to ETW; :class:`Shop` is the service, which knows
nothing of ETW. It logs with the standard library, traces requests and what they wait for, and measures with
every kind of instrument there is.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import final

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, use_span

from otel_etw.logs import EtwLogRecordProcessor
from otel_etw.metrics import EtwMetricExporter
from otel_etw.sessions.embedded import EtlSession
from otel_etw.spans import EtwSpanProcessor
from otel_etw.tracelogging.types import Level

PROVIDER_NAME = "OtelEtw_Demo"
SERVICE_NAME = "webshop"

_EXPORT_INTERVAL_MS = 400
_RUN_S = 1.2
_MAX_PAUSE_S = 0.02
_PAUSE_SHARE = 0.03


def level_of(span: ReadableSpan) -> int:
    """Failed spans are errors, so that a session that only collects those has them."""
    return Level.ERROR if span.status.status_code is StatusCode.ERROR else Level.VERBOSE


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

        self.tracers = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self.tracers.add_span_processor(
            EtwSpanProcessor(PROVIDER_NAME, session=session, level=level_of, extended=True)
        )

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


class DatabaseTimeoutError(Exception):
    """The database did not answer in time."""


class Clock:
    """The time inside a request, which ends when it really does and began ``duration_s`` ago.

    Durations are drawn, not spent: a demo of a slow shop need not be slow.
    """

    def __init__(self, duration_s: float) -> None:
        self._duration_ns = int(duration_s * 1e9)
        self.start_ns = self.now_ns = time.time_ns() - self._duration_ns

    def reach(self, start_ns: int, share: float) -> None:
        """Go on until ``share`` of the request has passed since ``start_ns``, if it is not later already."""
        self.now_ns = max(self.now_ns, start_ns + int(share * self._duration_ns))


class Shop:
    """Answers requests of imaginary customers."""

    def __init__(self, telemetry: Telemetry, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a play, not a secret
        self._log = telemetry.log
        self._tracer = telemetry.tracers.get_tracer("webshop")
        self._bytes_sent = 0
        self._cache_lookups = self._cache_hits = 0
        self._orders = 0
        self._carts_filled_by: list[SpanContext] = []
        self._clock = Clock(0)
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
            weights=[4, 3, 3 if self._carts_filled_by else 0],
        )[0]
        links = []
        if route == "/checkout":
            links = [Link(self._carts_filled_by[0], {"shop.relation": "filled the cart"})]
        duration_s = self._random.lognormvariate(-3.4, 0.8)
        self._clock = Clock(duration_s)
        attributes: dict[str, str | int] = {"http.route": route, "http.request.method": method}
        with self._tracer.start_as_current_span(
            f"{method} {route}", None, SpanKind.SERVER, attributes, links, self._clock.start_ns
        ) as span:
            attributes["http.response.status_code"] = status = self._answer(route, span)
            span.set_attribute("http.response.status_code", status)
            if duration_s > 0.1:
                self._log.warning("slow answer", extra={"http.route": route, "seconds": round(duration_s, 3)})
            self._bytes_sent += self._random.randint(800, 60_000)
            self._duration.record(duration_s, attributes)

    @contextmanager
    def _step(
        self, share: float, name: str, attributes: dict[str, str | bool], kind: SpanKind = SpanKind.CLIENT
    ) -> Iterator[Span]:
        """A span inside the request that takes ``share`` of its time.

        An exception is recorded where it comes from, in a call to somebody else; further out it shows only
        in the status.
        """
        self._clock.reach(self._clock.now_ns, _PAUSE_SHARE)
        start_ns = self._clock.now_ns
        step = self._tracer.start_span(name, kind=kind, attributes=attributes, start_time=start_ns)
        try:
            with use_span(step, record_exception=kind is SpanKind.CLIENT):
                yield step
        finally:
            self._clock.reach(start_ns, share)
            step.end(self._clock.now_ns)

    def _answer(self, route: str, span: Span) -> int:
        """Do what was asked for; the HTTP status."""
        try:
            if route == "/products":
                self._browse()
            elif route == "/cart":
                self._fill_cart(span)
            else:
                self._check_out()
        except PaymentDeclinedError:
            return 402
        except DatabaseTimeoutError as timeout:
            self._log.exception("no answer from the database", extra={"http.route": route})
            span.set_status(Status(StatusCode.ERROR, str(timeout)))
            return 500
        return 200

    def _browse(self) -> None:
        self._cache_lookups += 1
        hit = self._random.random() < 0.8
        self._cache_hits += hit
        with self._step(0.1, "cache get", {"cache.key": "products", "cache.hit": hit}, SpanKind.INTERNAL):
            self._log.debug("page of products", extra={"cache.hit": hit})
        if not hit:
            self._query(0.6, "SELECT", "products", fails=self._random.random() < 0.15)

    def _query(self, share: float, operation: str, table: str, *, fails: bool = False) -> None:
        facts: dict[str, str | bool] = {"db.system.name": "postgresql", "db.namespace": "shop"}
        with self._step(share, f"{operation} {table}", facts):
            if fails:
                raise DatabaseTimeoutError("no answer in time")

    def _fill_cart(self, span: Span) -> None:
        lines = [
            {"sku": sku, "count": self._random.randint(1, 2)}
            for sku in self._random.sample([*self._stock], 2)
        ]
        self._query(0.7, "INSERT", "carts")
        self._carts_filled_by.append(span.get_span_context())
        self._carts.add(1)
        self._log.info("cart filled", extra={"cart.lines": lines})

    def _check_out(self) -> None:
        self._orders += 1
        method = self._random.choice(["card", "card", "invoice"])
        value = round(self._random.lognormvariate(3.5, 0.7), 2)
        facts = {"order.id": 1000 + self._orders, "payment.method": method, "order.value": value}
        self._query(0.15, "SELECT", "carts")
        try:
            with self._step(0.55, "pay", {"payment.method": method}, SpanKind.INTERNAL):
                self._charge(method)
        except PaymentDeclinedError:
            self._log.exception("payment failed", extra=facts)
            raise
        self._query(0.2, "INSERT", "orders")
        self._carts_filled_by.pop(0)
        self._carts.add(-1)
        self._placed.add(1, {"payment.method": method})
        self._value.record(value, {"payment.method": method})
        self._log.info("order placed", extra={**facts, "otel.event.name": "shop.order.placed"})
        self._take_from_stock()

    def _charge(self, method: str) -> None:
        if method != "card":
            return
        facts: dict[str, str | bool] = {"http.request.method": "POST", "server.address": "bank.example"}
        with self._step(0.5, "POST /charges", facts):
            if self._random.random() < 0.2:
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
