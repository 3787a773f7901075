"""Trace files to read: Common Schema log records of a web shop, written by this package's own encoders.

``three_shapes`` is the file of the table: requests, orders and failed payments, about 440 bytes an event with
header and metadata, as the reference's exporter would write them.  ``many_shapes`` has the same records with
ever other attribute names.  ``rotated`` brings the buffers of a file out of order.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from otel_etw import EtlSession
from otel_etw.layouts.common_schema import ResourceFacts
from otel_etw.log_writer import LogWriter
from otel_etw.options import writer_options

EVENTS = 500_000
FACTS = ResourceFacts("shop", "shop-1")
BUFFER_BYTES = 131_072

_METHODS = ("GET", "GET", "GET", "POST", "PUT")
_ROUTES = ("/products/{id}", "/cart", "/search", "/orders/{id}/items", "/login")
_CITIES = ("Ulm", "Zürich", "Łódź", "Den Haag", "東京", "Bern", "Graz", "Oslo")
_POOL = 997
"""Different values of each kind; prime, so that combinations take long to come again."""


class _Record(NamedTuple):
    severity_number: int
    severity_text: str
    body: str
    event_name: str
    is_traced: bool
    attributes: dict[str, object]


def three_shapes(path: Path, events: int = EVENTS) -> None:
    """A file of ``events`` log records in 3 shapes."""
    _write(path, events, lambda number, attributes: attributes)


def many_shapes(path: Path, events: int = EVENTS, shapes: int = 300) -> None:
    """The same records with other names of attributes, so that there are ``shapes`` shapes."""

    def renamed(number: int, attributes: dict[str, object]) -> dict[str, object]:
        group = number // 10 * 7919 % (shapes // 3)
        return {f"{key}.{group}": value for key, value in attributes.items()}

    _write(path, events, renamed)


def rotated(path: Path, source: Path) -> None:
    """The buffers of ``source`` as in a circular file: the oldest ones stand in the middle."""
    middle = source.stat().st_size // BUFFER_BYTES // 2 * BUFFER_BYTES
    with source.open("rb") as whole, path.open("wb") as file:
        file.write(whole.read(BUFFER_BYTES))
        whole.seek(middle)
        shutil.copyfileobj(whole, file, 1 << 20)
        whole.seek(BUFFER_BYTES)
        for _ in range(middle // BUFFER_BYTES - 1):
            file.write(whole.read(BUFFER_BYTES))


def _write(
    path: Path, events: int, attributes_of: Callable[[int, dict[str, object]], dict[str, object]]
) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    with EtlSession(unfinished, buffer_size=BUFFER_BYTES, max_files=1) as session:
        writer = LogWriter(writer_options(), session)
        dice = random.Random(5)  # noqa: S311 - the same file each time is what is wanted
        ids: tuple[int, int] = (0, 0)
        for number, record in enumerate(islice(_records(dice), events)):
            if number % 5 == 0:
                ids = dice.getrandbits(128), dice.getrandbits(64)
            writer.write_fields(
                time.time_ns(),
                record.severity_number,
                record.severity_text,
                record.body,
                record.event_name,
                *(ids if record.is_traced else (0, 0)),
                attributes_of(number, record.attributes),
                FACTS,
            )
        stats = writer.emitter.stats
    if stats.written != events:
        raise SystemExit(f"the trace file is not complete: {stats}")
    os.replace(unfinished, path)


def _records(dice: random.Random) -> Iterator[_Record]:
    """Seven requests, two orders, one failed payment, over and over."""
    addresses = [
        f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}" for _ in range(_POOL)
    ]
    numbers = [dice.randrange(1, 10**6) for _ in range(_POOL)]
    amounts = [round(dice.uniform(1, 500), 2) for _ in range(_POOL)]
    turn = 0
    while True:
        for at in range(turn, turn + 7):
            yield _request(at, addresses, amounts)
        for at in range(turn + 7, turn + 9):
            yield _order(at, numbers, amounts)
        yield _failure(turn + 9, numbers, amounts)
        turn += 10


def _request(at: int, addresses: list[str], amounts: list[float]) -> _Record:
    status = 404 if at % 50 == 0 else 200
    attributes: dict[str, object] = {
        "method": _METHODS[at % 5],
        "status": status,
        "duration_ms": amounts[at % _POOL],
        "client": addresses[at % _POOL],
    }
    return _Record(9, "INFO", f"answered {_ROUTES[at // 3 % 5]}", "request", False, attributes)


def _order(at: int, numbers: list[int], amounts: list[float]) -> _Record:
    number = numbers[at % _POOL]
    attributes: dict[str, object] = {
        "order.id": 10**12 + at,
        "customer": f"customer-{number}",
        "city": _CITIES[at // 9 % 8],
        "total": amounts[at * 3 % _POOL],
        "items": 1 + at % 7,
        "express": at % 3 == 0,
    }
    return _Record(9, "INFO", f"customer-{number} placed an order", "order.placed", True, attributes)


def _failure(at: int, numbers: list[int], amounts: list[float]) -> _Record:
    attributes: dict[str, object] = {
        "exception.type": "PaymentError",
        "exception.message": f"card declined, code {numbers[at % _POOL] % 90}",
        "order.id": 10**12 + at - 1,
        "amount": amounts[at * 7 % _POOL],
        "attempt": at // 10 % 3,
        "retried": at // 10 % 3 > 0,
        "bank": "north" if at % 4 else "south",
        "host": f"pay-{at % 12}.internal",
    }
    return _Record(17, "ERROR", "the payment failed", "payment.failed", True, attributes)
